// The three classes of errors, and what can be read from them.
import { equal, ok } from "../check.mjs";

export default function (check, { client, supabase, inBrowser, url, keys }) {
  const { createClient, FunctionsHttpError, FunctionsRelayError, FunctionsFetchError } = supabase;

  async function fails(name, kind, options, c = client()) {
    const { data, error } = await c.functions.invoke(name, options);
    ok(error instanceof kind, `the error is ${error?.name} (${error?.context?.status}), data ${JSON.stringify(data)}, want ${kind.name}`);
    equal(data, null, "data");
    return error.context;
  }
  async function platform(name, status, code, message, kind = FunctionsHttpError, c = client()) {
    const res = await fails(name, kind, {}, c);
    const body = await res.json();
    equal([res.status, body.code, body.message], [status, code, message], "the answer");
    equal(res.headers.get("sb-error-code"), code, "sb-error-code");
    equal(res.headers.get("x-relay-error"), kind === FunctionsRelayError ? "true" : null, "x-relay-error");
    return body;
  }

  check("a function's own 4xx", async () => {
    const res = await fails("answer/teapot", FunctionsHttpError);
    equal([res.status, await res.json()], [418, { error: "short and stout" }]);
    equal(res.headers.get("sb-error-code"), null, "sb-error-code");
  });
  check("a function's own 5xx", async () => {
    const res = await fails("answer/own-error", FunctionsHttpError);
    equal([res.status, await res.json()], [503, { error: "the database is asleep" }]);
    equal(res.headers.get("sb-error-code"), "EDGE_FUNCTION_ERROR", "sb-error-code");
  });
  // Such answers have no CORS headers: the function, which decides about them, set none.
  if (!inBrowser) check("a handler that throws", async () => {
    const res = await fails("faulty/throw", FunctionsHttpError);
    equal([res.status, await res.text()], [500, "Internal Server Error"]);
    equal(res.headers.get("sb-error-code"), "EDGE_FUNCTION_ERROR", "sb-error-code");
  });
  if (!inBrowser) check("a handler that returns nothing", async () => {
    const res = await fails("faulty/nothing", FunctionsHttpError);
    equal([res.status, await res.text()], [502, "Bad Gateway"]);
  });
  check("unknown function", () => platform("no-such-function", 404, "NOT_FOUND", "Requested function was not found"));
  check("function that does not start", () => platform("broken", 503, "BOOT_ERROR", "Function failed to start (please check logs)"));
  check("idle timeout", () => platform("slow", 504, "IDLE_TIMEOUT", "Request idle timeout limit (1s) reached"));
  check("unauthorized", async () => {
    const nobody = createClient(url, "sb_publishable_wrong", { ...client.options });
    const body = await platform("echo", 401, "UNAUTHORIZED_INVALID_JWT_FORMAT", "Invalid JWT format", FunctionsHttpError, nobody);
    equal(Object.keys(body), ["code", "message", "msg"], "its members");
    equal(body.msg, body.message, "msg");
  });
  check("worker gone before an answer", () => platform("faulty/exit", 500, "WORKER_ERROR", "Function exited due to an error (please check logs)", FunctionsRelayError));
  check("overloaded", async () => {
    // One is being served, at the latest, when two are on their way.
    const all = await Promise.all([1, 2].map(() => client().functions.invoke("busy?ms=1000")));
    const [refused] = all.map(({ error }) => error).filter(Boolean);
    equal(all.filter(({ data }) => data === "done").length, 1, "how many were served");
    ok(refused instanceof FunctionsRelayError, `the error is ${refused}`);
    const res = refused.context;
    equal([res.status, await res.json()], [503, { code: "OVERLOADED", message: "Too many requests are waiting for this function" }]);
    ok(Number(res.headers.get("retry-after")) > 0, `Retry-After ${res.headers.get("retry-after")}`);
  });
  check("too many calls", async () => {
    const all = [];
    for (let i = 0; i < 3; i++) all.push(await client().functions.invoke("limited"));
    const res = all[2].error?.context;
    ok(all[2].error instanceof FunctionsHttpError, `the third error is ${all[2].error}`);
    equal([res.status, (await res.json()).code], [429, "OVERLOADED"]);
    ok(Number(res.headers.get("retry-after")) > 0, `Retry-After ${res.headers.get("retry-after")}`);
  });
  check("body too large", async () => {
    const { data } = await client().functions.invoke("small", { body: new ArrayBuffer(1 << 20) });
    equal(data, String(1 << 20));
    const res = await fails("small", FunctionsHttpError, { body: new ArrayBuffer((1 << 20) + 1) });
    equal([res.status, (await res.json()).code], [413, "REQUEST_TOO_LARGE"]);
  });
  check("a function cannot claim a relay error", async () => {
    const res = await fails("answer/relay", FunctionsHttpError);
    equal([res.status, await res.text()], [500, "not a relay error"]);
    const { data, error } = await client().functions.invoke("answer/relay-ok");
    equal([data, error], ["fine", null]);
  });
  check("worker gone in mid-answer", async () => {
    // Begun, then cut: neither whole nor one of the platform's answers.
    const { data, error } = await client().functions.invoke("faulty/exit-in-answer");
    ok(data === null && error && !(error instanceof FunctionsHttpError) && !(error instanceof FunctionsRelayError), `${JSON.stringify(data)} ${error}`);
  });
  check("nobody listens", async () => {
    const nowhere = createClient("http://127.0.0.1:9", keys.anon, { ...client.options });
    await fails("echo", FunctionsFetchError, {}, nowhere);
  });
}
