// May be called twice a minute, says config.toml.
import { serveWithCors } from "../_shared/cors.ts";

serveWithCors(() => new Response("called"));
