// Streams whose next part is sent only when another request releases it, so
// that a client that has it knows that nothing held it back.
import { corsHeaders, serveWithCors } from "../_shared/cors.ts";

const gates = new Map<string, { promise: Promise<void>; resolve: () => void }>();

function gate(id: string) {
  let found = gates.get(id);
  if (!found) gates.set(id, found = Promise.withResolvers<void>());
  return found;
}

const encoder = new TextEncoder();

function parts(id: string, type: string, part: (n: number) => string) {
  const body = new ReadableStream({
    async start(controller) {
      for (let n = 1; n <= 3; n++) {
        controller.enqueue(encoder.encode(part(n)));
        if (n < 3) await gate(`${id}/${n}`).promise;
      }
      controller.close();
    },
  });
  return new Response(body, { headers: { "content-type": type } });
}

/** Answers each chunk of the upload with its length while the rest is on its way. */
function lengths(req: Request) {
  const body = req.body!.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform: (chunk, controller) => controller.enqueue(encoder.encode(chunk.length + "\n")),
    }),
  );
  return new Response(body, { headers: corsHeaders });
}

const seen = new Map<string, string>();

/** Remembers what has come so far, and answers at the end. */
async function upload(req: Request, id: string) {
  for await (const text of req.body!.pipeThrough(new TextDecoderStream())) seen.set(id, (seen.get(id) ?? "") + text);
  return new Response(seen.get(id));
}

serveWithCors((req) => {
  const url = new URL(req.url);
  const id = url.searchParams.get("id") ?? "";
  switch (url.pathname) {
    case "/streams/release":
      gate(id).resolve();
      return new Response("released");
    case "/streams/events":
      return parts(id, "text/event-stream", (n) => `id: ${n}\ndata: event ${n}\n\n`);
    case "/streams/chunks":
      return parts(id, "text/plain", (n) => `chunk ${n}\n`);
    case "/streams/upload":
      return upload(req, id);
    case "/streams/seen":
      return new Response(seen.get(id));
    case "/streams/lengths":
      return lengths(req);
    case "/streams/early":
      return Response.json({ error: "too large for me" }, { status: 422 });
  }
  return new Response("no such stream", { status: 404 });
});
