import { corsHeaders } from "../_shared/cors.ts";

Deno.serve((req) => {
  // A preflight carries no token; the function answers it itself.
  if (req.method === "OPTIONS") {
    return new Response(null, { status: 204, headers: corsHeaders });
  }
  return Response.json({ shared: true }, { headers: corsHeaders });
});
