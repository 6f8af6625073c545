// Takes its time; config.toml lets one request in and none wait.
import { serveWithCors } from "../_shared/cors.ts";

serveWithCors(async (req) => {
  await new Promise((resolve) => setTimeout(resolve, Number(new URL(req.url).searchParams.get("ms"))));
  return new Response("done");
});
