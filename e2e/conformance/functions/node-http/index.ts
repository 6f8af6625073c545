// A server of node:http, which can do what Deno.serve cannot: send trailers.
import { createServer } from "node:http";

createServer((req, res) => {
  let size = 0;
  req.on("data", (chunk) => size += chunk.length);
  req.on("end", () => {
    res.writeHead(200, { "content-type": "text/plain", "trailer": "x-sum" });
    res.write(`${req.method} ${req.url} ${size} ${req.headers["x-sum"]} ${req.trailers["x-sum"]}`);
    res.addTrailers({ "x-sum": "1" });
    res.end();
  });
}).listen(3000);
