// Writes V8's code cache anew, with the entries of functions alone: those of
// Deno's own modules are five times as large, and a container compiles them
// once for all functions. Rows come in the order of their names; free pages and
// the log of the database are left behind.
import { DatabaseSync } from "node:sqlite";

const [from, to] = Deno.args;
const old = new DatabaseSync(from);
const db = new DatabaseSync(to);
db.exec("PRAGMA page_size = 4096; PRAGMA journal_mode = DELETE; BEGIN");
const tables = old.prepare(
  "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name",
).all();
for (const { name, sql } of tables) {
  db.exec(sql);
  const which = name === "codecache" ? "WHERE specifier LIKE 'file:%'" : "";
  const rows = old.prepare(`SELECT * FROM "${name}" ${which} ORDER BY 1, 2`);
  rows.setReadBigInts(true); // hashes have 64 bits
  for (const row of rows.iterate()) {
    const values = Object.values(row);
    db.prepare(`INSERT INTO "${name}" VALUES (${values.map(() => "?")})`).run(...values);
  }
}
db.exec("COMMIT");
db.close();
old.close();
