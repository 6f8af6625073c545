package escape

import (
	"cmp"
	"strings"
)

// An attempt is one way of a function to get at something that is not its own.
type attempt struct {
	area string
	name string
	// source is the body of an async function with p, the targets. What it
	// returns is what it got hold of.
	source string
	// alone says why the attempt is not shown to work where nothing holds it;
	// "" for one that is.
	alone string
	// needs is what of the system holds it where Deno does not, also what of the
	// system holds it where Deno does, too.
	needs, also need
	// native is set where Deno is in the way of the attempt, not of what it
	// stands for.
	native bool
	// unbundled is set where it is made by a function that runs from source.
	unbundled bool
	// ends is set where the refusal ends the process.
	ends bool
}

// system is what of the system holds the attempt, whatever Deno does.
func (a attempt) system() need { return cmp.Or(a.needs, a.also) }

// A need is a wall of the system.
type need string

const (
	needPaths        need = "Landlock"
	needNetwork      need = "Landlock, Linux 6.7"
	needScope        need = "Landlock, Linux 6.12"
	needFilter       need = "system call filter"
	needCapabilities need = "capabilities"
	needUser         need = "own user"
	needRights       need = "rights of files"
	needPlace        need = "a file in the place of the folder"
)

// targets are what attempts are told about where things are. None of them is a
// secret: names and addresses are taken to be known.
type targets struct {
	Meta     []string `json:"meta"`     // the metadata service's address in every spelling, for a URL
	Literal  string   `json:"literal"`  // its address
	Port     int      `json:"port"`     // its port
	Name     string   `json:"name"`     // a name that resolves to it, "" for none
	ECS      string   `json:"ecs"`      // the address where containers get credentials
	IPv6     string   `json:"ipv6"`     // the service's IPv6 address, "" for none
	Allowed  string   `json:"allowed"`  // URL of a server that may be reached; /redirect leads to the service
	UDP      int      `json:"udp"`      // a port of the service that answers packets
	File     string   `json:"file"`     // a file that is nobody's business
	JSON     string   `json:"json"`     // another one
	Script   string   `json:"script"`   // and a module
	Map      string   `json:"map"`      // a source map
	Database string   `json:"database"` // and an SQLite file
	Dir      string   `json:"dir"`      // a folder that anybody may write to, as far as its mode goes
	Gateway  int      `json:"gateway"`  // the gateway's process
	RunDir   string   `json:"runDir"`   // where workers' folders are
	DataDir  string   `json:"dataDir"`  // the server's data
	Victim   string   `json:"victim"`   // the temporary folder of another function's worker
	Other    int      `json:"other"`    // and its process
	Bundle   string   `json:"bundle"`   // the folder of all bundles
	Package  string   `json:"package"`  // a module of a package that functions run from
	Abstract string   `json:"abstract"` // an abstract socket's name
	Library  string   `json:"library"`  // a shared library of the system
	Driver   string   `json:"driver"`   // a graphics driver that is a trap
}

// attempts are all of them, in the order of docs/security.md.
func attempts() []attempt {
	var all []attempt
	for _, group := range [][]attempt{files(), variables(), network(), modules(), processes(), sockets(), permissions(), native()} {
		for _, a := range group {
			a.source = strings.ReplaceAll(strings.TrimSpace(a.source), "\n\t\t", "\n")
			all = append(all, a)
		}
	}
	return all
}

func in(area string, list []attempt) []attempt {
	for i := range list {
		list[i].area = area
	}
	return list
}

func files() []attempt {
	return in("Files", []attempt{
		{name: "read a file by its path", also: needPaths, source: `return Deno.readTextFileSync(p.file)`},
		{name: "by a path with `..`", also: needPaths, source: `return Deno.readTextFileSync(Deno.env.get("TMPDIR") + "/../../../../../../../../../.." + p.file)`},
		{name: "by `fetch` of a file URL", also: needPaths, source: `return await (await fetch("file://" + p.file)).text()`},
		{name: "by `node:fs`", also: needPaths, source: `return (await import("node:fs")).readFileSync(p.file, "utf8")`},
		{name: "by `node:fs/promises` and a descriptor", also: needPaths, source: `return await (await (await import("node:fs/promises")).open(p.file)).readFile("utf8")`},
		{name: "by a copy of it", also: needPaths, source: `
			const to = Deno.env.get("TMPDIR") + "/copy";
			Deno.copyFileSync(p.file, to);
			return Deno.readTextFileSync(to)`},
		{name: "by a symbolic link made for it", also: needPaths, source: `
			const link = Deno.env.get("TMPDIR") + "/link";
			Deno.symlinkSync(p.file, link);
			return Deno.readTextFileSync(link)`},
		{name: "by a hard link made for it", source: `
			const link = Deno.env.get("TMPDIR") + "/hard";
			Deno.linkSync(p.file, link);
			return Deno.readTextFileSync(link)`, alone: "the files may be on different file systems"},
		{name: "by `require` of JSON", also: needPaths, source: `return JSON.stringify((await import("node:module")).createRequire("file:///x.js")(p.json))`},
		{name: "by a computed import of JSON", also: needPaths, source: `return JSON.stringify((await import("file://" + p.json, { with: { type: "json" } })).default)`},
		{name: "by a computed import of text", also: needPaths, source: `return (await import("file://" + p.file, { with: { type: "text" } })).default`},
		{name: "by a computed import of code", also: needPaths, source: `return (await import("file://" + p.script)).secret`},
		{name: "by the error that quotes it", source: `return (await import("file://" + p.file)).default`,
			alone: "Deno quotes no more than a line, which need not be the one"},
		{name: "by a module of a data URL that imports it", source: "return (await import(`data:text/javascript,export { secret } from \"file://${p.script}\"`)).secret",
			alone: "Deno lets no data URL import a file"},
		{name: "by a Web Worker made of it", also: needPaths, source: `
			const w = new Worker("file://" + p.script, { type: "module" });
			return await new Promise((resolve, reject) => {
				w.onmessage = (e) => resolve(e.data);
				w.onerror = (e) => { e.preventDefault(); reject(new Error(e.message)); };
			})`},
		{name: "by SQLite's ATTACH", also: needPaths, source: `
			const { DatabaseSync } = await import("node:sqlite");
			const db = new DatabaseSync(":memory:");
			db.exec("ATTACH '" + p.database + "' AS other");
			return db.prepare("SELECT v FROM other.t").get().v`},
		{name: "by opening an SQLite file", also: needPaths, source: `
			const { DatabaseSync } = await import("node:sqlite");
			return new DatabaseSync(p.database).prepare("SELECT v FROM t").get().v`},
		{name: "by loading it as variables", also: needPaths, source: `
			(await import("node:process")).loadEnvFile(p.file);
			return Deno.env.get("SECRET_IN_FILE")`},
		{name: "by the source map of a module of one's own", needs: needPaths, source: `
			const at = Deno.env.get("TMPDIR");
			const up = at.split("/").slice(1).map(() => "..").join("/");
			Deno.writeTextFileSync(at + "/m.js", "export const f = () => { throw new Error('x') };\n//# sourceMappingURL=" + up + p.map + "\n");
			try { (await import("file://" + at + "/m.js")).f(); } catch (e) { return e.stack.includes("mapped-source") ? e.stack : undefined }`},
		{name: "by the system's view of the own process", also: needPaths, source: `return Deno.readTextFileSync("/proc/self/environ")`},
		{name: "by the root of the own process", also: needPaths, source: `return Deno.readTextFileSync("/proc/self/root" + p.file)`},
		{name: "by the own process's descriptors", also: needPaths, source: `return Deno.readDirSync("/proc/self/fd").next().value.name`},
		{name: "by the gateway's process", also: needPaths, source: `return Deno.readTextFileSync("/proc/" + p.gateway + "/environ")`},
		{name: "by the gateway's folder in /proc", also: needPaths, source: `return Deno.readTextFileSync("/proc/" + p.gateway + "/root" + p.file)`},
		{name: "by every open descriptor", source: `
			const fs = await import("node:fs");
			const buffer = new Uint8Array(4096);
			for (let fd = 3; fd < 256; fd++) {
				try { if (fs.readSync(fd, buffer, 0, 4096, 0) > 0) return "descriptor " + fd; } catch { /* the next */ }
			}`, alone: "there is none to find"},
		{name: "find out whether it is there", source: `return Deno.lstatSync(p.file).isFile`},
		{name: "find out where a link leads", source: `return Deno.realPathSync(p.file)`},
		{name: "list a folder", also: needPaths, source: `return [...Deno.readDirSync(p.dir)]`},
		{name: "watch a folder", source: `return Deno.watchFs(p.dir)`},
		{name: "list the bundles of all functions", needs: needRights, source: `return [...Deno.readDirSync(p.bundle)].map((e) => e.name)`},
		{name: "list them by `node:fs`", needs: needRights, source: `return (await import("node:fs")).readdirSync(p.bundle, { recursive: true })`},
		{name: "list the folders of all workers", also: needPaths, source: `return [...Deno.readDirSync(p.runDir)].map((e) => e.name)`},
		{name: "read another function's temporary files", also: needPaths, source: `return Deno.readTextFileSync(p.victim + "/secret")`},
		{name: "write a file elsewhere", also: needPaths, source: `
			Deno.writeTextFileSync(p.dir + "/written", "x");
			return "written"`},
		{name: "write a temporary file elsewhere", also: needPaths, source: `return Deno.makeTempFileSync({ dir: p.dir })`},
		{name: "write into the own bundle", also: needPaths, source: `
			Deno.writeTextFileSync(new URL("./index.js", Deno.mainModule), "// mine");
			return "written"`},
		{name: "write into the code cache", source: `
			Deno.writeTextFileSync(p.dataDir + "/cache/v8_code_cache_v2", "x", { append: true });
			return "written"`},
		{name: "poison the package cache from an unbundled function", unbundled: true, also: needPaths, source: `
			Deno.writeTextFileSync(p.package, "\n// poison\n", { append: true });
			return "written"`},
		{name: "by putting a module into it", unbundled: true, also: needPaths, source: `
			Deno.writeTextFileSync(p.package.replace(/[^/]*$/, "added.js"), "// poison");
			return "written"`},
		{name: "by another package in its place", unbundled: true, also: needPaths, source: `
			const dir = p.package.replace(/\/[^/]*$/, "");
			Deno.renameSync(dir, dir + "-away");
			Deno.renameSync(dir + "-away", dir);
			return "moved"`},
		{name: "write by SQLite's VACUUM INTO", also: needPaths, source: `
			const { DatabaseSync } = await import("node:sqlite");
			new DatabaseSync(":memory:").exec("VACUUM INTO '" + p.dir + "/vacuumed'");
			return "written"`},
		{name: "write a heap snapshot elsewhere", also: needPaths, source: `return (await import("node:v8")).writeHeapSnapshot(p.dir + "/heap")`},
		{name: "write a compile cache elsewhere", source: `
			const m = await import("node:module");
			m.enableCompileCache(p.dir + "/compiled");
			m.flushCompileCache?.();
			return (await import("node:fs")).existsSync(p.dir + "/compiled") ? "written" : undefined`, alone: "Deno writes none"},
		{name: "write the keys of TLS connections elsewhere", source: `
			Deno.env.set("SSLKEYLOGFILE", p.dir + "/keys");
			await fetch("https://127.0.0.1:1/").catch(() => {});
			Deno.env.delete("SSLKEYLOGFILE");
			return (await import("node:fs")).existsSync(p.dir + "/keys") ? "written" : undefined`, alone: "Deno reads the variable when it starts"},
		{name: "write what Deno asked about elsewhere", source: `
			Deno.env.set("DENO_AUDIT_PERMISSIONS", p.dir + "/audit");
			await Deno.permissions.query({ name: "net", host: "127.0.0.1" });
			await fetch("http://127.0.0.1:1/").catch(() => {});
			return (await import("node:fs")).existsSync(p.dir + "/audit") ? "written" : undefined`, alone: "Deno reads the variable when it starts"},
		{name: "change a file's rights", also: needUser, source: `
			Deno.chmodSync(p.file, 0o666);
			return "changed"`},
		{name: "remove a file", also: needPaths, source: `
			Deno.removeSync(p.dir + "/removable");
			return "removed"`},
		{name: "change into another folder", source: `
			Deno.chdir(p.dir);
			return Deno.cwd()`},
		{name: "leave something for other functions in localStorage", also: needPlace, source: `
			localStorage.setItem("a", "b");
			return localStorage.getItem("a")`},
		{name: "leave something for other functions in the Cache API", also: needPlace, source: `
			const c = await caches.open("c");
			await c.put("http://x/", new Response("kept"));
			return await (await c.match("http://x/")).text()`},
		{name: "the same from a Web Worker", also: needPlace, source: webWorker(`
			const c = await caches.open("c");
			await c.put("http://x/", new Response("kept"));
			return await (await c.match("http://x/")).text()`)},
	})
}

// webWorker is the source of an attempt that is made in a Web Worker.
func webWorker(source string) string {
	return "const code = `" + strings.NewReplacer("`", "\\`", "${", "\\${").Replace(`
		onmessage = async ({ data: p }) => {
			try { postMessage({ got: await (async () => {`+source+`})() }); } catch (e) { postMessage({ error: String(e?.message ?? e) }); }
		};`) + "`;" + `
		const w = new Worker("data:text/javascript," + encodeURIComponent(code), { type: "module" });
		w.postMessage(p);
		const said = await new Promise((resolve, reject) => {
			w.onmessage = (e) => resolve(e.data);
			w.onerror = (e) => { e.preventDefault(); reject(new Error(e.message)); };
		});
		w.terminate();
		if (said.error !== undefined) throw new Error(said.error);
		return said.got`
}

func variables() []attempt {
	return in("Variables", []attempt{
		{name: "the gateway's secrets, by their names", source: `return Deno.env.get("JWT_SECRET") ?? Deno.env.get("AWS_SECRET_ACCESS_KEY")`},
		{name: "all variables", source: `
			const all = Object.entries(Deno.env.toObject()).map(String).join(" ");
			return all.includes("SECRET") ? all : undefined`},
		{name: "all variables, by `node:process`", source: `
			const all = Object.entries((await import("node:process")).env).map(String).join(" ");
			return all.includes("SECRET") ? all : undefined`},
		{name: "another function's secrets", source: `return Deno.env.get("VICTIM_KEY")`},
		{name: "where the platform listens", source: `return Deno.env.get("DENO_SERVE_ADDRESS") ?? Deno.args[0] ?? (await import("node:process")).argv[2]`},
	})
}
