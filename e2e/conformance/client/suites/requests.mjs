// What a call carries besides its body: keys, methods, headers, region, and
// what ends it early.
import { becomes, equal, ok } from "../check.mjs";

export default function (check, { client, supabase, newest, oldest, inBrowser, url, keys }) {
  const { createClient, FunctionsHttpError, FunctionsFetchError } = supabase;

  async function echo(options = {}, c = client(), name = "echo") {
    const { data, error } = await c.functions.invoke(name, options);
    if (error) throw error;
    return data;
  }
  const as = (key, options = {}) => createClient(url, key, { ...client.options, ...options });

  for (const [name, key] of [["publishable", keys.publishable], ["secret", keys.secret]]) {
    check(`${name} key`, async () => {
      const got = await echo({}, as(key));
      equal(got.headers.apikey, key, "apikey");
      // The newest client sends such keys in apikey alone.
      equal(got.headers.authorization, newest ? undefined : "Bearer " + key, "authorization");
    });
  }
  for (const [name, key] of [["anon", keys.anon], ["service_role", keys.service]]) {
    check(`${name} key`, async () => {
      const got = await echo({}, as(key));
      equal([got.headers.apikey, got.headers.authorization], [key, "Bearer " + key], "its headers");
    });
  }
  for (const [name, token] of [["HS256", keys.user], ["ES256", keys.userES256]]) {
    check(`user's ${name} token beside a publishable key`, async () => {
      const got = await echo({}, as(keys.publishable, { global: { headers: { Authorization: "Bearer " + token } } }));
      equal([got.headers.apikey, got.headers.authorization], [keys.publishable, "Bearer " + token], "its headers");
    });
  }
  check("setAuth", async () => {
    const functions = client().functions;
    functions.setAuth(keys.user);
    const { data, error } = await functions.invoke("echo");
    if (error) throw error;
    equal(data.headers.authorization, "Bearer " + keys.user, "authorization");
  });
  for (const [name, token, code] of [
    ["expired", keys.expired, "UNAUTHORIZED_LEGACY_JWT"],
    ["another secret's", keys.foreign, "UNAUTHORIZED_LEGACY_JWT"],
    ["expired ES256", keys.expiredES256, "UNAUTHORIZED_ASYMMETRIC_JWT"],
  ]) {
    check(`${name} token is refused beside a good key`, async () => {
      const c = as(keys.anon, { global: { headers: { Authorization: "Bearer " + token } } });
      const { error } = await c.functions.invoke("echo");
      ok(error instanceof FunctionsHttpError, `the error is ${error}`);
      equal([error.context.status, (await error.context.json()).code], [401, code]);
    });
  }
  check("no key is asked for with verify_jwt = false", async () => {
    const { data, error } = await as("none").functions.invoke("open");
    equal([data?.open, error], [true, null]);
  });
  // A browser would ask for leave to send it first.
  if (!inBrowser) check("a forged sb-api-key is stripped", async () => {
    const { data, error } = await client().functions.invoke("open", { headers: { "sb-api-key": "forged" } });
    equal([data?.apikey, error], [null, null]);
  });

  for (const method of ["POST", "PUT", "PATCH", "DELETE"]) {
    check(`method ${method}`, async () => {
      const got = await echo({ method, body: { a: 1 } });
      equal([got.method, got.text], [method, '{"a":1}']);
    });
  }
  check("method GET", async () => equal((await echo({ method: "GET" })).method, "GET"));
  check("headers of the caller's own", async () => {
    const got = await echo({ headers: { "x-custom": "a, b;c=\"d\"" } });
    equal(got.headers["x-custom"], "a, b;c=\"d\"");
    ok(got.headers["x-client-info"].startsWith("supabase-js"), `x-client-info ${got.headers["x-client-info"]}`);
    ok(got.headers["sb-request-id"], "the function gets no sb-request-id");
  });
  check("path and query below the function", async () => {
    const got = await echo({ method: "GET" }, client(), "echo/a%2Fb/c%20d//e?x=1&x=%C5%BE");
    const seen = new URL(got.url);
    equal(seen.pathname + seen.search, "/echo/a%2Fb/c%20d//e?x=1&x=%C5%BE");
    equal(seen.host, new URL(url).host, "host");
  });
  if (!oldest) check("region", async () => {
    const got = await echo({ region: "us-east-1" });
    equal(got.headers["x-region"], "us-east-1", "x-region");
    equal(new URL(got.url).searchParams.get("forceFunctionRegion"), "us-east-1", "forceFunctionRegion");
  });
  check("fifty at once", async () => {
    const all = await Promise.all(Array.from({ length: 50 }, (_, i) => echo({ body: { i } })));
    all.forEach((got, i) => equal(got.text, JSON.stringify({ i })));
  });

  if (newest) {
    // Aborting is for the server to tell the function.
    const state = (id) => echo({}, client(), `abort/state?id=${id}`);
    const once = `${Date.now()}-${Math.random()}`;
    check("AbortSignal aborts the function's req.signal", async () => {
      const id = "signal-" + once;
      const aborter = new AbortController();
      const call = client().functions.invoke(`abort/wait?id=${id}`, { signal: aborter.signal });
      await becomes("waits", "the call", () => state(id));
      aborter.abort();
      const { error } = await call;
      ok(error instanceof FunctionsFetchError, `the error is ${error}`);
      await becomes("aborted", "the call", () => state(id));
    });
    check("timeout aborts the function's req.signal", async () => {
      const id = "timeout-" + once;
      const { error } = await client().functions.invoke(`abort/wait?id=${id}`, { timeout: 500 });
      ok(error instanceof FunctionsFetchError, `the error is ${error}`);
      await becomes("aborted", "the call", () => state(id));
    });
  }
}
