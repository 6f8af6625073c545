// "hono" is resolved by the deno.json beside this file.
import { Hono } from "hono";

// The base path is the function's name, which is the first part of every path.
const app = new Hono().basePath("/hono");

app.get("/", (c) => c.text("Hello from Hono!"));
app.get("/greet/:name", (c) => c.json({ hello: c.req.param("name") }));
app.post("/echo", async (c) => c.json(await c.req.json(), 201));
app.notFound((c) => c.json({ error: "no such route" }, 404));

Deno.serve(app.fetch);
