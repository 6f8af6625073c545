// Lets everybody read its answers, but answers OPTIONS as many frameworks do.
Deno.serve((req) => {
  if (req.method === "OPTIONS") return new Response("no", { status: 405 });
  return Response.json({ plain: true }, { headers: { "Access-Control-Allow-Origin": "*" } });
});
