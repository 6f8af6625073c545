// The trusted side of a worker. It runs before any code of a function, tells
// the supervisor it is up, waits to be told which function to be, and then
// serves that function's requests on a unix socket.
//
// Everything it needs after user code has run is captured first, in locals:
// a function may replace any global, and must not thereby reach the control
// channel or change what is said over it.
//
// Control channel: one unix socket connection, lines in both directions.
//   to the worker:   JSON, {"c":"warm"}, {"c":"load",...} once, then
//                    {"c":"ping"}, {"c":"gc"} and {"c":"unload","reason"}
//   to the supervisor: "up", "ready <mode> <ms>", "failed <json>",
//                      "wait 1" while promises of waitUntil are pending, else
//                      "wait 0", "unloaded"
// Console output goes to stderr in frames that carry a secret of this worker,
// written synchronously so that it survives a crash or an endless loop:
//   0x1e <secret> <level> <request id or -> <length> "\n" <text> "\n"
// A sign of life is such a frame, too, so that it gets out while the event loop
// is busy:
//   0x1e <secret> alive "\n"
{
  const dir = Deno.env.get("TMPDIR").slice(0, -"/tmp".length);
  const controlPath = dir + "/c.sock";
  const servePath = dir + "/w.sock"; // all that is served through Deno
  const nodePath = dir + "/n.sock"; // node:http

  const D = Deno;
  const collect = globalThis.gc;
  globalThis.gc = undefined; // it cannot be deleted
  const { listen, stderr, env, lstatSync, inspect } = Deno;
  const internals = Deno[Deno.internal];
  const { getAsyncContext, setAsyncContext, createSystemTimer } = internals.core;
  const { serveHttpOnListener } = internals;
  const writeSync = stderr.writeSync.bind(stderr);
  const encoder = new TextEncoder();
  const encode = encoder.encode.bind(encoder);
  const decoder = new TextDecoder();
  const decode = decoder.decode.bind(decoder);
  const { stringify, parse } = JSON;
  const now = performance.now.bind(performance);
  const wallClock = Date.now;
  // Not setTimeout: the first look at it loads Node's timers, which takes 4 ms
  // of CPU and 1.2 MB. A process that waits in the pool does so when told to.
  const later = (callback, ms) => createSystemTimer(callback, ms, true);
  // A turn of the event loop; a timer takes at least 1 ms.
  const turn = internals.core.ops.op_void_async_deferred;
  const { Response: R, Event: Ev, Promise: P, Error: E, Headers: H } = globalThis;
  const uncurry = Function.prototype.bind.bind(Function.prototype.call);
  const getterOf = (proto, name) => uncurry(Object.getOwnPropertyDescriptor(proto, name).get);
  const isPrototypeOf = uncurry(Object.prototype.isPrototypeOf);
  const then = uncurry(P.prototype.then);
  const headerGet = uncurry(H.prototype.get);
  const headersOf = getterOf(Request.prototype, "headers");
  // Bytes with a secret in them are touched by nothing that can be replaced:
  // not by methods of Uint8Array, whose this would be the bytes.
  const U8 = Uint8Array;
  const bytesProto = Object.getPrototypeOf(U8.prototype);
  const lengthOf = getterOf(bytesProto, "length");
  const bufferOf = getterOf(bytesProto, "buffer");
  const endsWith = uncurry(String.prototype.endsWith);
  const cut = uncurry(String.prototype.slice);
  const find = uncurry(String.prototype.indexOf);
  const toFixed = uncurry(Number.prototype.toFixed);
  const responsePrototype = R.prototype;
  const dispatchEvent = globalThis.dispatchEvent.bind(globalThis);
  const { defineProperty, keys } = Object;
  const exit = Deno.exit;

  const control = await Deno.connect({ transport: "unix", path: controlPath });
  const controlWrite = control.write.bind(control);
  const controlRead = control.read.bind(control);

  // Control writes are chained: a partial write must not interleave with the
  // next line.
  let sending = P.resolve();
  function send(line) {
    const bytes = encode(line + "\n");
    const size = lengthOf(bytes);
    sending = then(sending, async () => {
      for (let at = 0; at < size;) at += await controlWrite(new U8(bufferOf(bytes), at, size - at));
    });
    return sending;
  }

  // --- the function's handler, and what surrounds a call to it

  let handler; // (request, info) => Response | Promise<Response>
  let onError; // the function's own, from Deno.serve's options

  // The call that code runs for is in the async context, beside what Deno's
  // AsyncVariable keeps there, under numbers, and copies with the rest. An
  // AsyncVariable would do but for the 0.4 µs that entering one takes.
  class Context {
    constructor(call) {
      this.call = call;
    }
  }
  Object.setPrototypeOf(Context.prototype, null);
  const getCall = () => toCall(getAsyncContext()?.call);
  function enterCall(call) {
    const before = getAsyncContext();
    setAsyncContext(before === undefined ? new Context(call) : { __proto__: null, ...before, call });
    return before;
  }

  // Node's modules show the context to functions, so a call's parts are private,
  // and what is in a call's place may not be one.
  class Call {
    #request;
    #id; // read only when something is logged: most calls log nothing
    constructor(request) {
      this.#request = request;
    }
    static from(x) {
      return typeof x === "object" && x !== null && #id in x ? x : undefined;
    }
    static idOf(call) {
      if (call.#id === undefined) {
        try {
          call.#id = headerGet(headersOf(call.#request), "sb-request-id") ?? "-";
        } catch {
          call.#id = "-"; // the request is over and its headers are gone
        }
        call.#request = undefined;
      }
      return call.#id;
    }
  }
  const { from: toCall, idOf } = Call;

  class Info {
    #request;
    #native;
    constructor(request, native) {
      this.#request = request;
      this.#native = native;
    }
    get remoteAddr() {
      const forwarded = headerGet(headersOf(this.#request), "x-forwarded-for") ?? "";
      return { transport: "tcp", hostname: forwarded.split(",")[0].trim() || "127.0.0.1", port: 0 };
    }
    get completed() {
      return this.#native.completed;
    }
  }

  function failed(error) {
    if (onError) {
      try {
        const answer = onError(error);
        return isThenable(answer) ? then(answer, checked, lastResort) : checked(answer);
      } catch (e) {
        return lastResort(e);
      }
    }
    return lastResort(error);
  }

  function lastResort(error) {
    emit(3, inspectError(error));
    return new R("Internal Server Error", { status: 500, headers: { "content-type": "text/plain;charset=UTF-8" } });
  }

  function checked(answer) {
    if (isPrototypeOf(responsePrototype, answer)) return answer;
    emit(3, "The function's handler did not return a Response but " + (answer === null ? "null" : typeof answer));
    return new R("Bad Gateway", { status: 502, headers: { "content-type": "text/plain;charset=UTF-8" } });
  }

  const isThenable = (x) => x !== null && typeof x === "object" && typeof x.then === "function";

  // That a handler begins or ends shows that what ran before it is over. The
  // supervisor cannot see that from outside while one handler follows the
  // other, because no answer leaves before the event loop turns.
  let aliveFrame;
  let aliveAt = 0;
  function alive() {
    const at = wallClock(); // at half the cost of now(); it may be set back
    if (at - aliveAt < 50 && at >= aliveAt) return;
    aliveAt = at;
    sayAlive();
  }
  function sayAlive() {
    if (aliveFrame !== undefined) writeSync(aliveFrame);
  }

  function dispatch(request, native) {
    if (handler === undefined) return new R(null, { status: 204 });
    alive();
    const before = enterCall(new Call(request));
    try {
      const answer = handler(request, new Info(request, native));
      // await, not then: a foreign thenable must not see our callbacks twice.
      return isThenable(answer) ? settle(answer) : checked(answer);
    } catch (error) {
      return failed(error);
    } finally {
      setAsyncContext(before);
    }
  }

  async function settle(answer) {
    try {
      const settled = await answer;
      alive();
      return checked(settled);
    } catch (error) {
      return failed(error);
    }
  }

  // Not Deno.serve, which would bind the address that is meant for node:http.
  serveHttpOnListener(listen({ transport: "unix", path: servePath }), undefined, dispatch, lastResort, () => {});

  // --- how a function says that it serves

  let mode; // "serve" or "node" once known
  let served;
  const serving = new P((resolve) => served = resolve);
  function register(how) {
    if (mode !== undefined) return false;
    mode = how;
    served();
    return true;
  }

  // The object Deno.serve returns. The gateway decides when serving ends, so
  // shutdown only settles `finished`.
  function fakeServer(addr) {
    let finish;
    const finished = new P((resolve) => finish = resolve);
    const server = {
      addr,
      finished,
      ref() {},
      unref() {},
      shutdown() {
        finish();
        return finished;
      },
      [Symbol.asyncDispose]() {
        return this.shutdown();
      },
    };
    return server;
  }

  D.serve = function (first, second) {
    const options = typeof first === "function" ? {} : first ?? {};
    const chosen = typeof first === "function" ? first : second ?? options.handler;
    if (typeof chosen !== "function") {
      throw new TypeError("Deno.serve needs a handler function");
    }
    const addr = { transport: "tcp", hostname: options.hostname ?? "0.0.0.0", port: options.port ?? 8000 };
    if (register("serve")) {
      handler = chosen;
      onError = options.onError;
      if (typeof options.onListen === "function") options.onListen(addr);
    } else {
      emit(2, "Deno.serve was called more than once; only the first server receives requests");
    }
    return fakeServer(addr);
  };

  // std's serve() listens, accepts connections and reads requests off each by
  // Deno.serveHttp. It gets one connection that never ends and carries every
  // request, so that such functions behave as those of Deno.serve do.
  D.listen = function (options = {}) {
    if (options.transport === "unix") return listen(options);
    if (mode !== undefined) {
      throw new D.errors.AddrInUse("the function already serves; a function has one server");
    }
    const addr = { transport: "tcp", hostname: options.hostname ?? "0.0.0.0", port: options.port ?? 8000 };
    const never = new P(() => {});
    let accepted = false;
    const listener = {
      addr,
      accept() {
        if (accepted) return never;
        accepted = true;
        return P.resolve(connection);
      },
      close() {},
      ref() {},
      unref() {},
      async *[Symbol.asyncIterator]() {
        for (;;) yield await this.accept();
      },
      [Symbol.dispose]() {},
    };
    const connection = {
      localAddr: addr,
      remoteAddr: { transport: "tcp", hostname: "127.0.0.1", port: 0 },
      close() {},
      [Symbol.dispose]() {},
      get readable() {
        throw new D.errors.NotSupported("a function receives HTTP requests, not raw connections; use Deno.serve");
      },
      read() {
        throw new D.errors.NotSupported("a function receives HTTP requests, not raw connections; use Deno.serve");
      },
    };
    fakeConnections.add(connection);
    return listener;
  };

  const fakeConnections = new WeakSet();
  const isFake = fakeConnections.has.bind(fakeConnections);
  const realServeHttp = D.serveHttp;

  D.serveHttp = function (conn) {
    if (!isFake(conn)) return realServeHttp.call(D, conn);
    const queue = [];
    let wake;
    register("serve");
    handler = (request) =>
      new P((resolve, reject) => {
        const respondWith = async (answer) => {
          try {
            resolve(await answer);
          } catch (error) {
            reject(error);
          }
        };
        queue.push({ request, respondWith });
        wake?.();
      });
    return {
      rid: -1,
      async nextRequest() {
        while (queue.length === 0) await new P((resolve) => wake = resolve);
        return queue.shift();
      },
      close() {},
      [Symbol.dispose]() {},
      async *[Symbol.asyncIterator]() {
        for (;;) yield await this.nextRequest();
      },
    };
  };

  // node:http binds nodePath by itself (DENO_SERVE_ADDRESS in its environment). It
  // cannot be hooked without loading it, which costs 10 ms, so it is looked for.
  function pollNode() {
    if (mode !== undefined) return;
    try {
      lstatSync(nodePath);
      register("node");
    } catch {
      later(pollNode, 2);
    }
  }

  // --- EdgeRuntime

  let pending = 0;
  function waitUntil(promise) {
    const call = getCall();
    if (call !== undefined) idOf(call); // keep the id: the request may be gone when the task logs
    pending++;
    if (pending === 1) send("wait 1");
    const done = () => {
      pending--;
      if (pending === 0) send("wait 0");
    };
    then(P.resolve(promise), done, (error) => {
      emit(3, "A promise given to EdgeRuntime.waitUntil was rejected: " + inspectError(error));
      done();
    });
    return promise;
  }
  defineProperty(globalThis, "EdgeRuntime", {
    value: Object.freeze({ waitUntil }),
    enumerable: false,
    configurable: true,
    writable: true,
  });

  // --- console

  let secret = "";
  function emit(level, text) {
    const body = endsWith(text, "\n") ? text : text + "\n";
    const call = getCall();
    const id = call === undefined ? "-" : idOf(call);
    const frame = encode("\x1e" + secret + " " + level + " " + id + " " + (lengthOf(encode(body)) - 1) + "\n" + body);
    const size = lengthOf(frame);
    let at = writeSync(frame);
    while (at < size) at += writeSync(new U8(bufferOf(frame), at, size - at));
  }

  function inspectError(error) {
    try {
      return error instanceof E && typeof error.stack === "string" ? inspect(error, { colors: false }) : inspect(error);
    } catch {
      return "an error that cannot be shown";
    }
  }

  const ours = new internals.Console((text, level) => emit(level, text));
  for (const name of Reflect.ownKeys(ours)) {
    try {
      console[name] = ours[name];
    } catch { /* a read-only symbol */ }
  }

  // --- what a function has no use for

  // Raw operations and resources, the control channel among them.
  delete D[D.internal];
  // Both would be shared by all functions: Deno keeps them by main module.
  delete globalThis.localStorage;
  delete globalThis.caches;
  for (const name of ["read", "write"]) {
    for (const path of [controlPath, servePath]) D.permissions.revokeSync({ name, path });
  }

  // --- the life of a worker

  async function load({ specifier, env: variables, secret: s, node }) {
    secret = s;
    aliveFrame = encode("\x1e" + s + " alive\n");
    const began = now();
    for (const name of keys(env.toObject())) {
      if (name !== "TMPDIR" && name !== "HOME" && name !== "TZ") env.delete(name);
    }
    for (const name of keys(variables)) env.set(name, variables[name]);
    defineProperty(D, "mainModule", { value: specifier, enumerable: true, configurable: true });
    let stage = "load";
    try {
      if (node) await giveAddress();
      const loading = import(specifier);
      const settled = then(loading, (module) => {
        if (mode === undefined && typeof module.default?.fetch === "function") {
          const target = module.default;
          handler = (request, info) => target.fetch(request, info);
          register("serve");
        }
        if (mode === undefined) pollNode();
      });
      // `await Deno.serve(...).finished` at the top level never settles the
      // import, so beginning to serve is enough; the turn of the event loop
      // lets an error right after it surface first.
      await P.race([then(settled, () => serving), then(serving, turn)]);
      await P.race([settled, P.resolve()]);
      then(loading, undefined, (error) => {
        emit(3, "The function's module failed after it began to serve: " + inspectError(error));
      });
    } catch (error) {
      await send("failed " + stringify({ stage, message: messageOf(error), detail: inspectError(error) }));
      return;
    }
    await send("ready " + mode + " " + toFixed(now() - began, 3));
  }

  // A node:http server that was moved to a socket says that it has no address;
  // frameworks such as Fastify ask for it as soon as it listens.
  async function giveAddress() {
    const { Server } = await import("node:http");
    const own = uncurry(Server.prototype.address);
    Server.prototype.address = function () {
      return own(this) ?? { address: "127.0.0.1", family: "IPv4", port: 8000 };
    };
  }

  function messageOf(error) {
    try {
      return error instanceof E ? error.name + ": " + error.message : String(error);
    } catch {
      return "an error that cannot be shown";
    }
  }

  function unload(reason) {
    const event = new Ev("beforeunload", { cancelable: true });
    defineProperty(event, "detail", { value: { reason }, enumerable: true });
    try {
      dispatchEvent(event);
    } catch (error) {
      emit(3, "A beforeunload listener threw: " + inspectError(error));
    }
    // What listeners handed to waitUntil is announced before this line is.
    send("unloaded");
  }

  async function follow() {
    const chunk = new U8(16384);
    let rest = "";
    for (;;) {
      const n = await controlRead(chunk);
      if (n === null) exit(0); // the supervisor is gone
      rest += decode(new U8(bufferOf(chunk), 0, n), { stream: true });
      for (let end; (end = find(rest, "\n")) >= 0;) {
        const message = parse(cut(rest, 0, end));
        rest = cut(rest, end + 1);
        if (message.c === "load") load(message);
        else if (message.c === "warm") void globalThis.setTimeout;
        else if (message.c === "ping") sayAlive();
        else if (message.c === "gc") collect();
        else if (message.c === "unload") unload(message.reason);
      }
    }
  }

  // Deno reads these when the first request of fetch makes its client, which
  // would be after they were removed. A data URL makes the client and sends
  // nothing; it takes 8 ms and 1 MB, so only where there is something to read.
  const network = [
    "DENO_CERT", "DENO_TLS_CA_STORE", "SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
  ];
  if (network.some((name) => env.has(name))) await (await fetch("data:,")).text();

  await send("up");
  follow();
}
