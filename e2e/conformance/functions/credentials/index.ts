// Takes cookies of pages, which needs the page's origin instead of a star.
Deno.serve((req) => {
  const headers = {
    "Access-Control-Allow-Origin": req.headers.get("origin") ?? "",
    "Access-Control-Allow-Credentials": "true",
    "Access-Control-Allow-Headers": "apikey, content-type, x-client-info",
    "Vary": "Origin",
  };
  if (req.method === "OPTIONS") return new Response(null, { status: 204, headers });
  return Response.json({ cookie: req.headers.get("cookie") }, { headers: { ...headers, "Set-Cookie": "visited=yes; Path=/" } });
});
