// Server-sent events: one "tick" every `every` milliseconds, `count` of them.
// curl -N "http://localhost:9000/sse?count=3&every=100"
Deno.serve((req) => {
  const query = new URL(req.url).searchParams;
  const count = Number(query.get("count") ?? 10);
  const every = Number(query.get("every") ?? 1000);

  const encoder = new TextEncoder();
  let timer: ReturnType<typeof setInterval>;

  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      let sent = 0;
      timer = setInterval(() => {
        sent++;
        controller.enqueue(
          encoder.encode(`event: tick\nid: ${sent}\ndata: {"n":${sent}}\n\n`),
        );
        if (sent >= count) {
          clearInterval(timer);
          controller.close();
        }
      }, every);

      // A client that went away must not leave a timer behind: the signal
      // fires when the connection is lost, cancel() when the body is dropped.
      req.signal.addEventListener("abort", () => clearInterval(timer));
    },
    cancel() {
      clearInterval(timer);
    },
  });

  return new Response(body, {
    headers: {
      "Content-Type": "text/event-stream",
      "Cache-Control": "no-cache",
    },
  });
});
