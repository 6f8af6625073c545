// Sends every message back as it came, text as text and binary as binary.
// npx wscat -c ws://localhost:9000/websocket-echo
Deno.serve((req) => {
  if (req.headers.get("upgrade")?.toLowerCase() !== "websocket") {
    return new Response("expected a WebSocket\n", {
      status: 426,
      headers: { Upgrade: "websocket" },
    });
  }

  const { socket, response } = Deno.upgradeWebSocket(req);
  socket.binaryType = "arraybuffer";
  socket.addEventListener("open", () => console.log("socket opened"));
  socket.addEventListener("message", (event) => socket.send(event.data));
  socket.addEventListener("close", (event) => {
    console.log(`socket closed with code ${event.code}`);
  });

  // The handshake is finished only once this response is returned.
  return response;
});
