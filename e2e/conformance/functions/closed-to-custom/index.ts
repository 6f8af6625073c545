// Allows few headers: the gateway must not add to them.
const headers = { "Access-Control-Allow-Origin": "*", "Access-Control-Allow-Headers": "apikey, content-type, x-client-info" };

Deno.serve(() => new Response("ok", { headers }));
