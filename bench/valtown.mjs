// Starts a worker of @valtown/deno-http-worker for every line it is given,
// calls it once, and answers with the milliseconds from before the start to the
// end of the answer. The worker is gone before the answer is printed.
import { newDenoHTTPWorker } from "@valtown/deno-http-worker";
import { createInterface } from "node:readline";

const [deno, script, want] = process.argv.slice(2);

function call(worker) {
  return new Promise((resolve, reject) => {
    const request = worker.request("http://localhost/", {}, (response) => {
      const chunks = [];
      response.on("error", reject);
      response.on("data", (chunk) => chunks.push(chunk));
      response.on("end", () => resolve(Buffer.concat(chunks).toString()));
    });
    request.on("error", reject);
    request.end();
  });
}

for await (const variant of createInterface({ input: process.stdin })) {
  const began = performance.now();
  const worker = await newDenoHTTPWorker(new URL(script), {
    denoExecutable: deno,
    runFlags: ["--allow-env", "--allow-net", "--no-lock", "--no-config"],
    next: variant === "fast" ? { cacheBootstrap: true, fastReady: true, skipWarm: true } : {},
  });
  const answer = await call(worker);
  const took = performance.now() - began;
  const gone = new Promise((resolve) => worker.addEventListener("exit", resolve));
  worker.terminate();
  await gone;
  if (answer !== want) throw new Error(`the answer is ${JSON.stringify(answer)}`);
  console.log(took.toFixed(3));
}
