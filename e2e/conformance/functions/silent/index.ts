// Knows nothing of CORS.
Deno.serve((req) => req.method === "OPTIONS" ? new Response("what?") : Response.json({ silent: true }));
