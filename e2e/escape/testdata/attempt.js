// Runs one attempt and says how it went. What an attempt returns is what it got
// hold of; an error, and an attempt that returns nothing, is one that was held.
const AsyncFunction = (async () => {}).constructor;

export async function attempt({ source, p }) {
  let timer;
  const patience = new Promise((resolve) => timer = setTimeout(() => resolve("held: nothing came of it"), 4000));
  const trying = (async () => {
    try {
      const got = await new AsyncFunction("p", source)(p);
      return got === undefined || got === null ? "held: it got nothing" : "ESCAPED: " + (typeof got === "string" ? got : Deno.inspect(got));
    } catch (error) {
      // All of it: what was read can be in a message.
      return "held: " + (error?.message ?? error) + " " + (error?.cause?.message ?? "") + "\n" + Deno.inspect(error);
    }
  })();
  const said = await Promise.race([trying, patience]);
  clearTimeout(timer);
  return said;
}
