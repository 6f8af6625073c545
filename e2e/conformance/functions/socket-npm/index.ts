// A WebSocket server of the ws package.
import { createServer } from "node:http";
import { WebSocketServer } from "npm:ws@8.18.0";

const server = createServer((_, res) => res.writeHead(426).end("a WebSocket is wanted"));
new WebSocketServer({ server }).on("connection", (socket) => {
  socket.send("open");
  socket.on("message", (data, binary) => socket.send(data, { binary }));
});
server.listen(3000);
