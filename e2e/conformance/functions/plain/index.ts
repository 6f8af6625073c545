// Knows nothing of CORS and answers OPTIONS as many frameworks do.
Deno.serve((req) => {
  if (req.method === "OPTIONS") return new Response("no", { status: 405 });
  return Response.json({ plain: true });
});
