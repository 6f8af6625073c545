// Takes bodies of one megabyte at most, says config.toml.
import { serveWithCors } from "../_shared/cors.ts";

serveWithCors(async (req) => new Response(String((await req.arrayBuffer()).byteLength)));
