// Runs the suites in a browser, on a page of another origin than the server's.
// What to call comes from /target, each check is told to /report.
import { run } from "./check.mjs";
import answers from "./suites/answers.mjs";
import bodies from "./suites/bodies.mjs";
import browser from "./suites/browser.mjs";
import errors from "./suites/errors.mjs";
import requests from "./suites/requests.mjs";
import socket from "./suites/socket.mjs";
import streams from "./suites/streams.mjs";

const post = (path, body) => fetch(path, { method: "POST", body });
const report = (result) => post("/report", JSON.stringify(result));
addEventListener("error", (e) => report({ group: "page", name: "loads", error: String(e.message) }));
addEventListener("unhandledrejection", (e) => report({ group: "page", name: "rejects nothing", error: String(e.reason?.stack ?? e.reason) }));

const target = await (await fetch("/target")).json();
const { supabase } = globalThis;
const options = { auth: { persistSession: false, autoRefreshToken: false } };

function context(url) {
  const client = () => supabase.createClient(url, target.keys.anon, options);
  client.options = options;
  return { ...target, url, supabase, client, WebSocket, newest: true, inBrowser: true };
}

const ctx = context(target.url);
for (const [name, suite] of Object.entries({ bodies, answers, errors, requests, streams })) {
  await run(`supabase-js/${name}`, suite, ctx, report);
}
await run("WebSocket", socket, ctx, report);
await run("fetch", browser, ctx, report);

// Over TLS the browser takes HTTP/2, but for WebSockets.
const secure = context(target.secure);
for (const [name, suite] of Object.entries({ bodies, streams })) {
  await run(`TLS/supabase-js/${name}`, suite, secure, report);
}
await run("TLS/WebSocket", socket, secure, report);
await post("/done");
