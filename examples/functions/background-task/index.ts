import "jsr:@supabase/functions-js/edge-runtime.d.ts";

// The count lives in one worker: another worker, or the next one, starts at 0.
let finished = 0;

async function work(ms: number) {
  await new Promise((resolve) => setTimeout(resolve, ms));
  finished++;
  console.log(`job finished after ${ms} ms`);
}

// The last chance to write down what is still open.
addEventListener("beforeunload", (event) => {
  const reason = (event as CustomEvent).detail?.reason;
  console.log(`worker stops (${reason}), ${finished} jobs finished`);
});

Deno.serve(async (req) => {
  if (req.method === "GET") {
    return Response.json({ finished });
  }

  const { ms = 1000 } = await req.json();
  // The answer goes out at once; the worker stays until the job has settled.
  EdgeRuntime.waitUntil(work(ms));
  return Response.json({ accepted: true }, { status: 202 });
});
