// What functions for browsers do in every guide: allow all origins, and answer
// preflights themselves.
export const corsHeaders = {
  "Access-Control-Allow-Origin": "*",
  "Access-Control-Allow-Headers": "*, authorization, x-client-info, apikey, content-type, x-region, x-custom",
  "Access-Control-Allow-Methods": "GET, POST, PUT, PATCH, DELETE",
  "Access-Control-Expose-Headers": "*",
};

type Handler = (req: Request) => Response | Promise<Response>;

/** Serves with CORS headers on every answer and an answer to preflights. */
export function serveWithCors(handler: Handler) {
  Deno.serve(async (req) => {
    if (req.method === "OPTIONS") return new Response("ok", { headers: corsHeaders });
    const answer = await handler(req);
    if (!(answer instanceof Response)) return answer; // a fault that one test is about
    for (const [name, value] of Object.entries(corsHeaders)) answer.headers.set(name, value);
    return answer;
  });
}
