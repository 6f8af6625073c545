// HTTP/2 by Node's own client: without TLS by prior knowledge, with TLS by ALPN.
import http2 from "node:http2";
import { equal, ok, within } from "../check.mjs";

export default function (check, { url, keys }) {
  async function connected(f) {
    const session = http2.connect(url);
    try {
      await new Promise((resolve, reject) => session.on("connect", resolve).on("error", reject));
      return await f(session);
    } finally {
      session.destroy();
    }
  }
  async function answerTo(session, headers, body) {
    const req = session.request({ apikey: keys.anon, ...headers });
    const head = new Promise((resolve, reject) => req.on("response", resolve).on("error", reject));
    req.end(body);
    const got = await within(10_000, "the head", head);
    let text = "";
    for await (const chunk of req) text += chunk;
    return { head: got, text };
  }

  check("a hundred streams of one connection", () => connected(async (session) => {
    const all = await Promise.all(Array.from({ length: 100 }, (_, i) =>
      answerTo(session, { ":method": "POST", ":path": "/functions/v1/echo/" + i }, "body " + i)));
    all.forEach(({ head, text }, i) => {
      const got = JSON.parse(text);
      equal([head[":status"], new URL(got.url).pathname, got.text], [200, "/echo/" + i, "body " + i]);
    });
  }));
  check("scheme and authority", () => connected(async (session) => {
    const { text } = await answerTo(session, { ":path": "/functions/v1/echo/a%2Fb//?x=1" });
    equal(JSON.parse(text).url, url + "/echo/a%2Fb//?x=1");
  }));
  check("several cookies both ways", () => connected(async (session) => {
    equal((await answerTo(session, { ":path": "/functions/v1/answer/cookies" })).head["set-cookie"], ["a=1; Path=/", "b=2, still b", "c=3"]);
    const { text } = await answerTo(session, { ":path": "/functions/v1/echo", cookie: ["a=1", "b=2"] });
    equal(JSON.parse(text).headers.cookie, "a=1; b=2");
  }));
  check("no header that belongs to a connection", () => connected(async (session) => {
    const { head } = await answerTo(session, { ":path": "/functions/v1/answer/large" });
    for (const name of ["connection", "keep-alive", "transfer-encoding"]) ok(!(name in head), name + " is there");
  }));
  check("401", () => connected(async (session) => {
    const { head, text } = await answerTo(session, { ":path": "/functions/v1/echo", apikey: "wrong" });
    equal([head[":status"], head["sb-error-code"], JSON.parse(text).code], [401, "UNAUTHORIZED_INVALID_JWT_FORMAT", "UNAUTHORIZED_INVALID_JWT_FORMAT"]);
  }));
  check("a reset stream aborts the function's req.signal", () => connected(async (session) => {
    const id = `h2-${url}-${Date.now()}-${Math.random()}`;
    const state = async () => (await answerTo(session, { ":path": "/functions/v1/abort/state?id=" + encodeURIComponent(id) })).text;
    const becomes = async (want) => {
      for (const end = Date.now() + 20_000; Date.now() < end;) if (await state() === want) return;
      equal(await state(), want, "the call");
    };
    const req = session.request({ ":path": "/functions/v1/abort/wait?id=" + encodeURIComponent(id), apikey: keys.anon });
    req.on("error", () => {});
    await becomes("waits");
    req.close(http2.constants.NGHTTP2_CANCEL);
    await becomes("aborted");
  }));
}
