// Streams whose next part is released by another request: whoever has the
// first part before that knows that nothing held it back.
import { equal, within } from "../check.mjs";

export default function (check, { client, oldest, url, keys }) {
  const once = `${Date.now()}-${Math.random()}`;

  async function* texts(body) {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    for (let part; !(part = await reader.read()).done;) yield part.value;
  }

  async function partByPart(body, id, wanted) {
    let got = "", n = 0;
    for await (const text of texts(body)) {
      got += text;
      while (n < wanted.length && got.startsWith(wanted.slice(0, n + 1).join(""))) {
        n++;
        if (n < wanted.length) {
          equal(got, wanted.slice(0, n).join(""), "what came before the release");
          await client().functions.invoke(`streams/release?id=${id}/${n}`);
        }
      }
    }
    equal([n, got], [wanted.length, wanted.join("")], "the stream");
  }

  if (!oldest) check("events come one by one", async () => {
    const id = "events-" + once;
    const { data, error } = await client().functions.invoke(`streams/events?id=${id}`);
    if (error) throw error;
    await within(20_000, "all events", partByPart(data.body, id, [1, 2, 3].map((n) => `id: ${n}\ndata: event ${n}\n\n`)));
  });
  check("chunks of an answer come one by one", async () => {
    const id = "chunks-" + once;
    const res = await fetch(`${url}/functions/v1/streams/chunks?id=${id}`, { headers: { apikey: keys.anon } });
    await within(20_000, "all chunks", partByPart(res.body, id, [1, 2, 3].map((n) => `chunk ${n}\n`)));
  });
  check("an early answer to an upload", async () => {
    const { error } = await client().functions.invoke("streams/early", { body: new ArrayBuffer(8 << 20) });
    equal([error?.context?.status, await error?.context?.json()], [422, { error: "too large for me" }]);
  });
}
