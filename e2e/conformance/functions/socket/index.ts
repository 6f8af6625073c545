// A WebSocket for clients that can send a token in a header.
import { echo } from "../_shared/socket.ts";

Deno.serve((req) => {
  if (req.headers.get("upgrade") !== "websocket") return new Response("a WebSocket is wanted", { status: 426 });
  const offered = req.headers.get("sec-websocket-protocol")?.split(",").map((p) => p.trim()) ?? [];
  return echo(req, offered.includes("chat") ? { protocol: "chat" } : {});
});
