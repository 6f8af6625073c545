import { createServer } from "node:http";

// curl http://localhost:9000/node-http -d 'some text'
const server = createServer((req, res) => {
  let bytes = 0;
  req.on("data", (chunk: Uint8Array) => bytes += chunk.byteLength);
  req.on("end", () => {
    res.writeHead(200, { "Content-Type": "application/json" });
    res.end(JSON.stringify({ method: req.method, url: req.url, bytes }));
  });
});

// Whatever the port, the function is reached through its own URL.
server.listen(8080);
