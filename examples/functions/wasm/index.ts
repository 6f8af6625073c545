// Two ways to WebAssembly. Imported as a module, the binary is part of the
// bundle and its exports are typed.
import { add } from "./add.wasm";

// Read as a file, it must be declared under static_files in config.toml, or it
// does not travel with the function.
const bytes = await Deno.readFile(new URL("./add.wasm", import.meta.url));
const { instance } = await WebAssembly.instantiate(bytes);
const addAgain = instance.exports.add as (a: number, b: number) => number;

// curl "http://localhost:9000/wasm?a=2&b=3"
Deno.serve((req) => {
  const query = new URL(req.url).searchParams;
  const a = Number(query.get("a") ?? 0);
  const b = Number(query.get("b") ?? 0);
  return Response.json({ imported: add(a, b), instantiated: addAgain(a, b) });
});
