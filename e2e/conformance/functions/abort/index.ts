// Never answers /wait, and remembers what became of it.
import { serveWithCors } from "../_shared/cors.ts";

const state = new Map<string, string>();

serveWithCors((req) => {
  const url = new URL(req.url);
  const id = url.searchParams.get("id") ?? "";
  if (!url.pathname.endsWith("/wait")) return new Response(state.get(id) ?? "never came");
  state.set(id, "waits");
  req.signal.addEventListener("abort", () => state.set(id, "aborted"));
  return new Promise<Response>(() => {});
});
