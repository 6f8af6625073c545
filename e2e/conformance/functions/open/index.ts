// Can be called without a key.
import { serveWithCors } from "../_shared/cors.ts";

serveWithCors((req) => {
  if (new URL(req.url).pathname !== "/open/events") return Response.json({ open: true, apikey: req.headers.get("sb-api-key") });
  const events = [1, 2, 3].map((n) => `id: ${n}\ndata: event ${n}\n\n`).join("");
  return new Response(events, { headers: { "content-type": "text/event-stream" } });
});
