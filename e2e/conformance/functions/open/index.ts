// Can be called without a key.
import { serveWithCors } from "../_shared/cors.ts";

serveWithCors((req) => Response.json({ open: true, apikey: req.headers.get("sb-api-key") }));
