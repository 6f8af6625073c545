// Fails in the way that its path names.
import { serveWithCors } from "../_shared/cors.ts";

serveWithCors((req) => {
  switch (new URL(req.url).pathname) {
    case "/faulty/throw":
      throw new Error("a secret of the function");
    case "/faulty/nothing":
      return undefined as unknown as Response;
    case "/faulty/exit":
      Deno.exit(7);
      break;
    case "/faulty/exit-in-answer": {
      const begun = new ReadableStream({
        async start(controller) {
          controller.enqueue(new TextEncoder().encode("the beginning"));
          await new Promise((resolve) => setTimeout(resolve, 300));
          Deno.exit(7);
        },
      });
      return new Response(begun);
    }
    case "/faulty/upgrade":
      return new Response("I do not speak WebSocket", { status: 426 });
  }
  return new Response("well");
});
