// What only Node's own client does over HTTP/1.1: uploads in parts, trailers.
import plain from "node:http";
import tls from "node:https";
import { becomes, equal } from "../check.mjs";

export default function (check, { url, keys, duplex }) {
  const http = url.startsWith("https:") ? tls : plain;
  const headers = { apikey: keys.anon };
  const start = (path) => {
    const req = http.request(url + "/functions/v1" + path, { method: "POST", headers });
    const answer = new Promise((resolve, reject) => req.on("response", resolve).on("error", reject));
    answer.catch(() => {}); // until it is waited for
    return { req, answer };
  };

  check("an upload reaches the function part by part", async () => {
    const id = `upload-${Date.now()}-${Math.random()}`;
    const { req, answer } = start("/streams/upload?id=" + id);
    const seen = async () => (await fetch(`${url}/functions/v1/streams/seen?id=${id}`, { headers })).text();
    for (const sent of ["1", "12", "123"]) {
      req.write(sent.at(-1));
      await becomes(sent, "what arrived", seen);
    }
    req.end();
    let got = "";
    for await (const chunk of await answer) got += chunk;
    equal(got, "123");
  });
  check("answers to parts while the upload goes on", duplex || (async () => {
    const { req, answer } = start("/streams/lengths");
    req.write("x");
    const res = await answer;
    let got = "";
    res.on("data", (chunk) => got += chunk);
    const ended = new Promise((resolve) => res.on("end", resolve));
    await becomes("1\n", "the answer", () => got);
    req.write("x".repeat(20));
    await becomes("1\n20\n", "the answer", () => got);
    req.write("x".repeat(300));
    await becomes("1\n20\n300\n", "the answer", () => got);
    req.end();
    await ended;
  }));
  check("trailers are dropped both ways", async () => {
    const req = http.request(url + "/functions/v1/node-http", { method: "POST", headers: { ...headers, trailer: "x-sum", "transfer-encoding": "chunked" } });
    const answer = new Promise((resolve, reject) => req.on("response", resolve).on("error", reject));
    req.write("body");
    req.addTrailers({ "x-sum": "7" });
    req.end();
    const res = await answer;
    let got = "";
    for await (const chunk of res) got += chunk;
    equal([got, res.headers.trailer, res.trailers], ["POST /node-http 4 undefined undefined", undefined, {}]);
  });
}
