// Every type of body that functions-js takes, as the function received it.
import { equal, ok } from "../check.mjs";

const allBytes = Uint8Array.from({ length: 256 }, (_, i) => i);
const base64 = (bytes) => btoa(Array.from(bytes, (b) => String.fromCharCode(b)).join(""));

export default function (check, { client, newest }) {
  async function echo(body, options = {}) {
    const { data, error } = await client().functions.invoke("echo", { body, ...options });
    if (error) throw error;
    return data;
  }
  const sent = async (body, type, text, options) => {
    const got = await echo(body, options);
    equal([got.headers["content-type"], got.text], [type, text], "what arrived");
  };

  check("JSON object", () => sent({ a: [1, null, "ž"] }, "application/json", '{"a":[1,null,"ž"]}'));
  check("JSON array", () => sent([1, 2], "application/json", "[1,2]"));
  check("string", () => sent("text, žluťoučký", "text/plain", "text, žluťoučký"));
  check("ArrayBuffer", async () => {
    const got = await echo(allBytes.buffer.slice(0));
    equal([got.headers["content-type"], got.base64], ["application/octet-stream", base64(allBytes)], "what arrived");
  });
  check("Blob", async () => {
    const got = await echo(new Blob([allBytes]));
    equal([got.headers["content-type"], got.base64], ["application/octet-stream", base64(allBytes)], "what arrived");
  });
  check("File", async () => {
    const got = await echo(new File([allBytes], "a.png", { type: "image/png" }));
    // Older clients send every Blob as octets.
    equal([got.headers["content-type"], got.base64], [newest ? "image/png" : "application/octet-stream", base64(allBytes)], "what arrived");
  });
  check("FormData", async () => {
    const form = new FormData();
    form.append("field", "value, ž");
    form.append("field", "again");
    form.append("file", new File([allBytes], "a b.bin", { type: "application/x-own" }));
    const got = await echo(form);
    ok(/^multipart\/form-data; ?boundary=/.test(got.headers["content-type"]), `content type ${got.headers["content-type"]}`);
    equal(got.form, [
      { name: "field", value: "value, ž" },
      { name: "field", value: "again" },
      { name: "file", file: "a b.bin", type: "application/x-own", base64: base64(allBytes) },
    ], "the form");
  });
  // Older clients send no body when they are given a content type.
  if (newest) check("string with a content type of its own", () => sent("<a/>", "application/xml", "<a/>", { headers: { "Content-Type": "application/xml" } }));
  if (newest) check("URLSearchParams", async () => {
    // functions-js makes JSON of them, so they go as text.
    const got = await echo(new URLSearchParams({ q: "a b&c", r: "ž" }).toString(), {
      headers: { "Content-Type": "application/x-www-form-urlencoded" },
    });
    equal(got.form, [{ name: "q", value: "a b&c" }, { name: "r", value: "ž" }], "the form");
  });
  check("none", async () => {
    const got = await echo(undefined);
    equal([got.method, got.length, got.headers["content-type"]], ["POST", 0, undefined], "what arrived");
  });
  check("ten megabytes", async () => {
    const bytes = new Uint8Array(10 << 20);
    for (let i = 0; i < bytes.length; i += 4093) bytes[i] = i;
    const digest = base64(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)));
    const got = await echo(bytes.buffer);
    equal([got.length, got.digest], [bytes.length, digest], "what arrived");
  });
}
