// Answers in the form that its path names.
import { serveWithCors } from "../_shared/cors.ts";

const forms: Record<string, (req: Request) => Response> = {
  "json": () => Response.json({ answer: 42, text: "žluťoučký" }),
  "json-charset": () => new Response('{"answer":42}', { headers: { "content-type": "application/json; charset=utf-8" } }),
  "text": () => new Response("plain žluťoučký"),
  "html": () => new Response("<h1>hi</h1>", { headers: { "content-type": "text/html" } }),
  "bytes": () => new Response(Uint8Array.from({ length: 256 }, (_, i) => i), { headers: { "content-type": "application/octet-stream" } }),
  "pdf": () => new Response("%PDF-1.4", { headers: { "content-type": "application/pdf" } }),
  "form": () => {
    const form = new FormData();
    form.set("field", "value");
    form.set("file", new File(["content"], "a.txt", { type: "text/plain" }));
    return new Response(form);
  },
  "created": () => Response.json({ id: 7 }, { status: 201, headers: { location: "/answer/json", "x-custom": "its own" } }),
  "none": () => new Response(null, { status: 204 }),
  "not-modified": () => new Response(null, { status: 304, headers: { etag: '"1"' } }),
  "empty": () => new Response(""),
  "cookies": () => new Response("cookies", { headers: [["set-cookie", "a=1; Path=/"], ["set-cookie", "b=2, still b"], ["set-cookie", "c=3"]] }),
  "redirect": () => new Response(null, { status: 302, headers: { location: "/functions/v1/answer/json" } }),
  "gzip": () =>
    new Response(new Blob(["zipped by the function ".repeat(100)]).stream().pipeThrough(new CompressionStream("gzip")), {
      headers: { "content-type": "text/plain", "content-encoding": "gzip" },
    }),
  "large": () => {
    const chunk = new Uint8Array(64 << 10).fill(120);
    let left = 160;
    return new Response(
      new ReadableStream({
        pull(controller) {
          if (left-- > 0) controller.enqueue(chunk);
          else controller.close();
        },
      }),
      { headers: { "content-type": "application/octet-stream" } },
    );
  },
  "teapot": () => Response.json({ error: "short and stout" }, { status: 418 }),
  "own-error": () => Response.json({ error: "the database is asleep" }, { status: 503, headers: { "retry-after": "7" } }),
  "relay": () => new Response("not a relay error", { status: 500, headers: { "x-relay-error": "true" } }),
  "relay-ok": () => new Response("fine", { headers: { "x-relay-error": "true" } }),
};

serveWithCors((req) => {
  const form = forms[new URL(req.url).pathname.split("/")[2]];
  return form ? form(req) : Response.json({ error: "no such form" }, { status: 404 });
});
