// Tries what functions may not do, and says how each attempt ended.
const attempts: Record<string, () => unknown> = {
  "subprocess": () => new Deno.Command("/bin/true").outputSync(),
  "FFI": () => Deno.dlopen("libc.so.6", {}),
  "signal": () => Deno.kill(Deno.ppid, "SIGCONT"),
  "read outside": () => Deno.readTextFileSync("/etc/passwd"),
  "write outside": () => Deno.writeTextFileSync("/tmp/outside", "x"),
  "write own code": () => Deno.writeTextFileSync(new URL(import.meta.url), "x"),
  "metadata": () => fetch("http://169.254.169.254/"),
  "metadata of a task": () => fetch("http://169.254.170.2/"),
  "metadata, decimal": () => fetch("http://2852039166/"),
  "metadata, octal": () => fetch("http://0251.0376.0251.0376/"),
  "metadata, in IPv6": () => fetch("http://[::ffff:169.254.169.254]/"),
  "metadata, IPv6": () => fetch("http://[fd00:ec2::254]/"),
  "metadata, socket": () => Deno.connect({ hostname: "169.254.169.254", port: 80 }),
};

Deno.serve(async () => {
  const ended: Record<string, string> = {};
  for (const [name, attempt] of Object.entries(attempts)) {
    try {
      await attempt();
      ended[name] = "done";
    } catch (e) {
      ended[name] = (e as Error).name;
    }
  }
  const own = Deno.makeTempFileSync();
  Deno.writeTextFileSync(own, "mine");
  ended["own temporary file"] = Deno.readTextFileSync(own);
  return Response.json(ended);
});
