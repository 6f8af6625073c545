// Runs the suites in Node. What to call comes as JSON in CONFORMANCE; each
// check is told as a line of JSON on stdout.
import WebSocket from "ws";
import * as functions from "@supabase/functions-js";
import { equal, ok, run } from "./check.mjs";
import answers from "./suites/answers.mjs";
import bodies from "./suites/bodies.mjs";
import errors from "./suites/errors.mjs";
import http2 from "./suites/http2.mjs";
import nodeStreams from "./suites/node-streams.mjs";
import requests from "./suites/requests.mjs";
import socket from "./suites/socket.mjs";
import streams from "./suites/streams.mjs";
import ws from "./suites/ws.mjs";

// Node 18 has these elsewhere.
globalThis.File ??= (await import("node:buffer")).File;
globalThis.crypto ??= (await import("node:crypto")).webcrypto;

const target = JSON.parse(process.env.CONFORMANCE);
const report = (result) => console.log(JSON.stringify(result));
// Node before 22 has no WebSocket, which supabase-js asks for at once.
const options = { realtime: { transport: WebSocket }, auth: { persistSession: false, autoRefreshToken: false } };

for (const [group, module, has] of [
  ["supabase-js", "@supabase/supabase-js", { newest: true }],
  ["supabase-js 2.57", "supabase-js-2.57", {}],
  ["supabase-js 2.39", "supabase-js-2.39", { oldest: true }],
]) {
  const supabase = await import(module);
  const client = () => supabase.createClient(target.url, target.keys.anon, options);
  client.options = options;
  const ctx = { ...target, ...has, supabase, client, inBrowser: false };
  for (const [name, suite] of Object.entries({ bodies, answers, errors, requests, streams })) {
    await run(`${group}/${name}`, suite, ctx, report);
  }
}

const alone = (check, { url, keys }) => {
  const client = new functions.FunctionsClient(url + "/functions/v1", { headers: { apikey: keys.publishable } });
  check("invoke", async () => {
    const { data, error } = await client.invoke("echo", { body: { a: 1 }, region: functions.FunctionRegion.UsEast1 });
    equal([error, data.text, data.headers["x-region"]], [null, '{"a":1}', "us-east-1"]);
  });
  check("error classes", async () => {
    ok((await client.invoke("answer/teapot")).error instanceof functions.FunctionsHttpError, "no FunctionsHttpError");
    ok((await client.invoke("faulty/exit")).error instanceof functions.FunctionsRelayError, "no FunctionsRelayError");
    const nowhere = new functions.FunctionsClient("http://127.0.0.1:9/functions/v1");
    ok((await nowhere.invoke("echo")).error instanceof functions.FunctionsFetchError, "no FunctionsFetchError");
  });
};
await run("functions-js", alone, target, report);
await run("node-http", nodeStreams, target, report);
await run("ws", ws, target, report);
await run("WebSocket", socket, { ...target, WebSocket }, report);
await run("http2", http2, target, report);

// The same over TLS, where it could differ.
const secure = { ...target, url: target.secure };
await run("TLS/http2", http2, secure, report);
await run("TLS/ws", ws, secure, report);
await run("TLS/node-http", nodeStreams, secure, report);
// Connections that are kept alive would hold the process.
process.exit(0);
