// Every type of answer that functions-js parses.
import { equal, ok } from "../check.mjs";

export default function (check, { client, newest, oldest, inBrowser, url, keys }) {
  async function answer(form, options) {
    const { data, error, response } = await client().functions.invoke("answer/" + form, options);
    if (error) throw error;
    return { data, response };
  }

  check("JSON", async () => equal((await answer("json")).data, { answer: 42, text: "žluťoučký" }));
  check("JSON with a charset", async () => equal((await answer("json-charset")).data, { answer: 42 }));
  check("text", async () => equal((await answer("text")).data, "plain žluťoučký"));
  check("HTML is text", async () => equal((await answer("html")).data, "<h1>hi</h1>"));
  check("octet-stream is a Blob", async () => {
    const { data } = await answer("bytes");
    ok(data instanceof Blob, `it is ${data}`);
    equal(Array.from(new Uint8Array(await data.arrayBuffer())), Array.from({ length: 256 }, (_, i) => i), "its bytes");
  });
  if (newest) check("PDF is a Blob", async () => {
    const { data } = await answer("pdf");
    ok(data instanceof Blob, `it is ${data}`);
    equal(await data.text(), "%PDF-1.4");
  });
  check("multipart is FormData", async () => {
    const { data } = await answer("form");
    equal([data.get("field"), data.get("file").name, await data.get("file").text()], ["value", "a.txt", "content"]);
  });
  if (!oldest) check("event-stream is the raw Response", async () => {
    // Released from the start: what is streamed when is the subject of another suite.
    for (const n of [1, 2]) await client().functions.invoke(`streams/release?id=raw/${n}`);
    const { data, error } = await client().functions.invoke("streams/events?id=raw");
    if (error) throw error;
    ok(data instanceof Response, `it is ${data}`);
    equal(await data.text(), [1, 2, 3].map((n) => `id: ${n}\ndata: event ${n}\n\n`).join(""));
  });
  check("201 with headers of its own", async () => {
    const { data, response } = await answer("created");
    equal(data, { id: 7 });
    if (newest) equal([response.status, response.headers.get("x-custom")], [201, "its own"]);
  });
  check("204", async () => equal((await answer("none")).data, ""));
  check("empty", async () => equal((await answer("empty")).data, ""));
  check("ten megabytes", async () => equal((await answer("large")).data.size, 10 << 20));
  check("gzip of the function's own", async () => equal((await answer("gzip")).data, "zipped by the function ".repeat(100)));
  check("a redirect is followed", async () => equal((await answer("redirect", { method: "GET" })).data, { answer: 42, text: "žluťoučký" }));

  check("platform headers", async () => {
    const res = await fetch(url + "/functions/v1/answer/json", { headers: { apikey: keys.anon } });
    ok(/^[0-9a-f]{8}-[0-9a-f]{4}-7/.test(res.headers.get("sb-request-id")), `sb-request-id ${res.headers.get("sb-request-id")}`);
    if (inBrowser) return; // the others are not exposed
    ok(/^[0-9a-f-]{36}$/.test(res.headers.get("x-deno-execution-id")), `x-deno-execution-id ${res.headers.get("x-deno-execution-id")}`);
    equal([res.headers.get("x-sb-edge-region"), Boolean(res.headers.get("x-served-by"))], ["eu-central-1", true]);
  });
  if (!inBrowser) check("several cookies", async () => {
    const res = await fetch(url + "/functions/v1/answer/cookies", { headers: { apikey: keys.anon } });
    equal(res.headers.getSetCookie(), ["a=1; Path=/", "b=2, still b", "c=3"]);
  });
}
