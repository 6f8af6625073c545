// What only a browser does: it asks before it sends, and hides what it was not
// told to show.
import { becomes, equal, ok, within } from "../check.mjs";

export default function (check, { url, secure, keys }) {
  const at = (path) => url + "/functions/v1" + path;
  const headers = { apikey: keys.anon, "content-type": "application/json", "x-client-info": "test" };
  const call = (path, init = {}) => fetch(at(path), { method: "POST", headers, body: "{}", ...init });

  async function unreadable(answer) {
    let got;
    try {
      got = await answer;
    } catch (e) {
      return ok(e instanceof TypeError, `the error is ${e}`);
    }
    throw new Error(`the page can read it: ${got.status}`);
  }

  check("the page is of another origin", () => ok(new URL(url).origin !== location.origin, location.origin));
  check("preflight answered by the function", async () => {
    equal(await (await call("/open")).json(), { open: true, apikey: null });
    // A header that the function does not allow is not sent.
    await unreadable(call("/closed-to-custom", { headers: { ...headers, "x-other": "1" } }));
  });
  check("preflight that the function answers with 405", async () => {
    // Every header that clients of the platform send is allowed by the gateway.
    const all = { ...headers, authorization: "Bearer " + keys.anon, "x-retry-count": "1", "x-region": "any", traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", tracestate: "a=1", baggage: "b=1" };
    equal(await (await call("/plain", { headers: all })).json(), { plain: true });
    for (const method of ["PUT", "PATCH", "DELETE"]) equal((await call("/plain", { method })).status, 200, method);
    await unreadable(call("/plain", { headers: { ...headers, "x-other": "1" } }));
  });
  check("401 can be read", async () => {
    const res = await call("/echo", { headers: { "content-type": "application/json" } });
    equal([res.status, res.headers.get("sb-error-code")], [401, "UNAUTHORIZED_NO_AUTH_HEADER"]);
    ok(res.headers.get("sb-request-id"), "sb-request-id is hidden");
    equal(await res.json(), { code: "UNAUTHORIZED_NO_AUTH_HEADER", message: "Missing authorization header", msg: "Missing authorization header" });
  });
  check("404 and 503 can be read", async () => {
    const unknown = await call("/no-such-function");
    equal([unknown.status, unknown.headers.get("sb-error-code")], [404, "NOT_FOUND"]);
    const broken = await call("/broken");
    equal([broken.status, broken.headers.get("sb-error-code")], [503, "BOOT_ERROR"]);
  });
  check("credentials, where the function allows them", async () => {
    const first = await call("/credentials", { credentials: "include" });
    equal(await first.json(), { cookie: null });
    const second = await call("/credentials", { credentials: "include" });
    equal(await second.json(), { cookie: "visited=yes" });
    // A star is not enough for them, and nothing makes a name of it.
    await unreadable(call("/open", { credentials: "include" }));
  });
  check("EventSource", async () => {
    const events = new EventSource(at("/open/events"));
    const got = [];
    await within(10_000, "three events", new Promise((resolve, reject) => {
      events.onmessage = (e) => got.push([e.lastEventId, e.data]) === 3 && resolve();
      events.onerror = () => reject(new Error("EventSource failed"));
    }));
    events.close();
    equal(got, [["1", "event 1"], ["2", "event 2"], ["3", "event 3"]]);
  });
  check("a function that knows nothing of CORS", () => unreadable(call("/silent")));
  check("the same with --cors", async () => {
    const res = await fetch(secure + "/functions/v1/silent", { method: "POST", headers, body: "{}" });
    equal(await res.json(), { silent: true });
    // What the function says itself stands.
    equal(await (await fetch(secure + "/functions/v1/open", { method: "POST", headers })).json(), { open: true, apikey: null });
  });
  // Browsers stream uploads over HTTP/2 alone.
  check("an upload reaches the function part by part, over HTTP/2", async () => {
    const id = `browser-${Date.now()}-${Math.random()}`;
    const seen = async () => (await fetch(`${secure}/functions/v1/streams/seen?id=${id}`, { headers: { apikey: keys.anon } })).text();
    const { readable, writable } = new TextEncoderStream();
    const answer = fetch(`${secure}/functions/v1/streams/upload?id=${id}`, { method: "POST", headers: { apikey: keys.anon }, body: readable, duplex: "half" });
    const writer = writable.getWriter();
    for (const sent of ["1", "12", "123"]) {
      await writer.write(sent.at(-1));
      await becomes(sent, "what arrived", seen);
    }
    await writer.close();
    equal(await (await answer).text(), "123");
    const used = performance.getEntriesByName(`${secure}/functions/v1/streams/upload?id=${id}`)[0]?.nextHopProtocol;
    ok(!used || used === "h2", `the protocol is ${used}`);
  });
}
