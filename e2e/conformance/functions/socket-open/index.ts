// A WebSocket for browsers, which can send no header: verify_jwt is off, and
// the function looks at the token itself, in the query or among the protocols.
import { echo } from "../_shared/socket.ts";

const wanted = Deno.env.get("SUPABASE_ANON_KEY");

Deno.serve((req) => {
  if (new URL(req.url).searchParams.get("jwt") === wanted) return echo(req);
  for (const offered of req.headers.get("sec-websocket-protocol")?.split(",") ?? []) {
    if (offered.trim() === "jwt-" + wanted) return echo(req, { protocol: offered.trim() });
  }
  return new Response("who are you?", { status: 403 });
});
