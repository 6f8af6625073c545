// Checks are run one after the other and told to `report`, in Node as in a
// browser.

export class Wrong extends Error {}

/** Fails unless the two are the same, as JSON sees them. */
export function equal(got, want, what = "it") {
  const [g, w] = [JSON.stringify(got), JSON.stringify(want)];
  if (g !== w) throw new Wrong(`${what} is ${g}, want ${w}`);
}

/** Fails unless the condition holds. */
export function ok(condition, what) {
  if (!condition) throw new Wrong(what);
}

/** Waits for a promise, no longer than ms. */
export async function within(ms, what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Wrong(`not within ${ms} ms: ${what}`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Asks until the answer is the wanted one. */
export async function becomes(want, what, ask) {
  let got;
  for (const end = Date.now() + 20_000; Date.now() < end; await new Promise((r) => setTimeout(r, 20))) {
    got = await ask();
    if (got === want) return;
  }
  throw new Wrong(`${what} stays ${JSON.stringify(got)}, want ${JSON.stringify(want)}`);
}

/** Runs a suite: a function that is given check(name, body). A body that is a text is why the check is skipped. */
export async function run(group, suite, ctx, report) {
  const checks = [];
  await suite((name, body) => checks.push([name, body]), ctx);
  for (const [name, body] of checks) {
    let error = "";
    if (typeof body === "string") {
      await report({ group, name, skip: body });
      continue;
    }
    try {
      await within(30_000, "the check", Promise.resolve().then(body));
    } catch (e) {
      error = e instanceof Wrong ? e.message : String(e?.stack ?? e) + (e?.cause ? `\ncause: ${e.cause?.stack ?? e.cause}` : "");
    }
    await report({ group, name, error });
  }
}
