// WebSockets by the class that browsers have. It can send no header, so the
// function looks for the token itself; see functions/socket-open.
import { equal, within } from "../check.mjs";

export default function (check, { url, keys, WebSocket }) {
  const base = url.replace("http", "ws") + "/functions/v1";

  const outcome = (path, protocols) =>
    within(10_000, "an outcome", new Promise((resolve) => {
      const socket = new WebSocket(base + path, protocols);
      const got = [];
      socket.onmessage = ({ data }) => {
        got.push(data);
        if (got.length === 1) socket.send("hello");
        else socket.send("close 4003 done");
      };
      socket.onclose = ({ code, reason }) => resolve([...got, socket.protocol, code, reason]);
      socket.onerror = () => {};
    }));

  check("token in the query", async () => {
    const query = "?jwt=" + keys.anon;
    equal(await outcome("/socket-open" + query), ["open " + query, "hello", "", 4003, "done"]);
  });
  check("token among the protocols", async () => {
    const protocol = "jwt-" + keys.anon;
    equal(await outcome("/socket-open", [protocol]), ["open ", "hello", protocol, 4003, "done"]);
  });
  check("no token", async () => equal(await outcome("/socket-open"), ["", 1006, ""]));
  check("a function that wants a header", async () => equal(await outcome("/socket"), ["", 1006, ""]));
}
