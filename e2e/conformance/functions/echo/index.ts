// Says what it received.
import { serveWithCors } from "../_shared/cors.ts";

const base64 = (bytes: Uint8Array) => btoa(Array.from(bytes, (b) => String.fromCharCode(b)).join(""));

async function digest(bytes: Uint8Array<ArrayBuffer>) {
  return base64(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)));
}

async function form(req: Request) {
  const entries = [];
  for (const [name, value] of await req.formData()) {
    entries.push(
      typeof value === "string" ? { name, value } : {
        name,
        file: value.name,
        type: value.type,
        base64: base64(new Uint8Array(await value.arrayBuffer())),
      },
    );
  }
  return { form: entries };
}

async function bytes(req: Request) {
  const body = new Uint8Array(await req.arrayBuffer());
  if (body.length > 64 << 10) return { length: body.length, digest: await digest(body) };
  return { length: body.length, text: new TextDecoder().decode(body), base64: base64(body) };
}

serveWithCors(async (req) => {
  const type = req.headers.get("content-type") ?? "";
  const isForm = type.startsWith("multipart/form-data") || type.startsWith("application/x-www-form-urlencoded");
  return Response.json({
    method: req.method,
    url: req.url,
    headers: Object.fromEntries(req.headers),
    ...(isForm ? await form(req) : await bytes(req)),
  });
});
