// WebSockets by the ws package, which can send headers.
import WebSocket from "ws";
import { equal, ok, within } from "../check.mjs";

export default function (check, { url, keys }) {
  const base = url.replace("http", "ws") + "/functions/v1";
  const authorized = { headers: { Authorization: "Bearer " + keys.anon } };

  /** Connects, and gives messages to whoever asks for the next. */
  async function connect(path, protocols = [], options = authorized) {
    const socket = new WebSocket(base + path, protocols, options);
    const messages = [], waiting = [];
    socket.on("message", (data, binary) => {
      const message = binary ? data : data.toString();
      waiting.length ? waiting.shift()(message) : messages.push(message);
    });
    const closed = new Promise((resolve) => socket.on("close", (code, reason) => resolve([code, reason.toString()])));
    await new Promise((resolve, reject) => socket.on("open", resolve).on("error", reject));
    const next = () => within(10_000, "a message", messages.length ? messages.shift() : new Promise((r) => waiting.push(r)));
    equal((await next()).slice(0, 4), "open");
    return { socket, next, closed };
  }
  /** Is refused, and returns the answer. */
  async function refused(path, options) {
    const socket = new WebSocket(base + path, [], options);
    const res = await new Promise((resolve, reject) => {
      socket.on("unexpected-response", (_, res) => resolve(res)).on("open", () => reject(new Error("it is taken"))).on("error", reject);
    });
    let body = "";
    for await (const chunk of res) body += chunk;
    return { status: res.statusCode, code: res.headers["sb-error-code"], body };
  }
  async function done({ socket, closed }) {
    socket.close(1000);
    await within(10_000, "the close", closed);
  }

  check("text, binary and a megabyte are echoed", async () => {
    const c = await connect("/socket?a=%20b");
    c.socket.send("žluťoučký");
    equal(await c.next(), "žluťoučký");
    c.socket.send(Buffer.from([0, 255, 1]));
    equal([...await c.next()], [0, 255, 1]);
    const large = "x".repeat(1 << 20);
    c.socket.send(large);
    ok(await c.next() === large, "the megabyte differs");
    await done(c);
  });
  check("a server of npm:ws", async () => {
    const c = await connect("/socket-npm");
    c.socket.send("by the same package");
    equal(await c.next(), "by the same package");
    await done(c);
  });
  check("apikey instead of a token", async () => done(await connect("/socket", [], { headers: { apikey: keys.publishable } })));
  check("sub-protocol", async () => {
    const c = await connect("/socket", ["chat"]);
    equal(c.socket.protocol, "chat");
    await done(c);
  });
  check("ping is answered", async () => {
    const c = await connect("/socket");
    const pong = new Promise((resolve) => c.socket.on("pong", (data) => resolve(data.toString())));
    c.socket.ping("are you there");
    equal(await within(10_000, "the pong", pong), "are you there");
    await done(c);
  });
  check("the function's close code and reason", async () => {
    const c = await connect("/socket");
    c.socket.send("close 4001 had enough");
    equal(await within(10_000, "the close", c.closed), [4001, "had enough"]);
  });
  check("the client's close code is answered", async () => {
    const c = await connect("/socket");
    c.socket.close(4002, "gone home");
    equal(await within(10_000, "the close", c.closed), [4002, "gone home"]);
  });
  check("no key is 401 before the upgrade", async () => {
    const { status, code, body } = await refused("/socket", {});
    equal([status, code, JSON.parse(body).message], [401, "UNAUTHORIZED_NO_AUTH_HEADER", "Missing authorization header"]);
  });
  check("a bad token is 401 before the upgrade", async () => {
    const { status, code } = await refused("/socket", { headers: { Authorization: "Bearer " + keys.expired } });
    equal([status, code], [401, "UNAUTHORIZED_LEGACY_JWT"]);
  });
  check("unknown function is 404", async () => {
    const { status, code } = await refused("/no-such-function", authorized);
    equal([status, code], [404, "NOT_FOUND"]);
  });
  check("an upgrade that the function does not take is 502", async () => {
    const { status, code } = await refused("/echo", authorized);
    equal([status, code], [502, "BAD_GATEWAY"]);
  });
}
