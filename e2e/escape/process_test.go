package escape

func modules() []attempt {
	return in("Modules", []attempt{
		{name: "import code from the web", source: `return (await import(p.allowed + "/module.js")).secret`},
		{name: "import it by a module of a data URL", source: "return (await import(`data:text/javascript,export { secret } from \"${p.allowed}/module.js\"`)).secret"},
		{name: "run it as a Web Worker", source: `
			const w = new Worker(p.allowed + "/worker.js", { type: "module" });
			return await new Promise((resolve, reject) => {
				w.onmessage = (e) => resolve(e.data);
				w.onerror = (e) => { e.preventDefault(); reject(new Error(e.message)); };
			})`},
		{name: "import a package that was not bundled", source: `
			const m = "npm:nothing-of-this-name@1";
			return Object.keys(await import(m))`, alone: "there is no registry to get it from"},
		{name: "import it from a registry of its own choice", source: `
			Deno.writeTextFileSync(Deno.env.get("HOME") + "/.npmrc", "registry=http://" + p.literal + ":" + p.port + "/\n");
			const m = "npm:nothing-of-this-name@1";
			return Object.keys(await import(m))`, alone: "Deno reads the file when it starts"},
		{name: "import from JSR", source: `
			const m = "jsr:@std/nothing@1";
			return Object.keys(await import(m))`, alone: "there is no registry to get it from"},
	})
}

func processes() []attempt {
	return in("Processes and native code", []attempt{
		{name: "run a program", also: needPaths, source: `return new TextDecoder().decode((await new Deno.Command("/bin/sh", { args: ["-c", "echo ran"] }).output()).stdout)`},
		{name: "run one by `node:child_process`", also: needPaths, source: `return String((await import("node:child_process")).execFileSync("/bin/sh", ["-c", "echo ran"]))`},
		{name: "run one in a shell", also: needPaths, source: `return String((await import("node:child_process")).execSync("echo ran", { shell: "/bin/sh" }))`},
		{name: "run Deno itself, with all permissions", source: `return new TextDecoder().decode((await new Deno.Command(Deno.execPath(), { args: ["eval", "console.log(1)"] }).output()).stdout)`},
		{name: "fork", source: `
			const at = Deno.env.get("TMPDIR") + "/child.mjs";
			Deno.writeTextFileSync(at, "process.send('forked')");
			const child = (await import("node:child_process")).fork(at);
			return await new Promise((resolve, reject) => { child.on("message", resolve); child.on("error", reject); })`},
		{name: "find the gateway by a signal", also: needScope, source: `
			(await import("node:process")).kill(p.gateway, 0);
			return "found"`},
		{name: "load a library", source: `
			const lib = Deno.dlopen(p.library, { getpid: { parameters: [], result: "i32" } });
			return lib.symbols.getpid()`},
		{name: "load an add-on", source: `
			(await import("node:process")).dlopen({ exports: {} }, p.library);
			return "loaded"`, alone: "no library of the system is an add-on"},
		{name: "load an add-on by `require`", source: `
			const at = Deno.env.get("TMPDIR") + "/addon.node";
			Deno.copyFileSync(p.library, at);
			(await import("node:module")).createRequire("file:///x.js")(at);
			return "loaded"`, alone: "no library of the system is an add-on"},
		{name: "make a pointer", source: `return Deno.UnsafePointer.create(4096n)`},
		{name: "load an SQLite extension", source: `
			const { DatabaseSync } = await import("node:sqlite");
			new DatabaseSync(":memory:", { allowExtension: true });
			return "it may load some"`},
		{name: "have a graphics driver loaded", source: `
			for (const name of ["VK_ICD_FILENAMES", "VK_DRIVER_FILES", "__EGL_VENDOR_LIBRARY_FILENAMES"]) Deno.env.set(name, p.driver);
			const adapter = await navigator.gpu?.requestAdapter();
			return adapter ? "an adapter" : undefined`, alone: "few servers have graphics libraries"},
		{name: "end the own process by a signal", source: `
			Deno.kill(Deno.pid, "SIGKILL");
			await new Promise(() => {})`, alone: "it is its own process; the worker is replaced", ends: true},
		{name: "become another user", source: `
			(await import("node:process")).setuid(65534);
			return "became it"`, alone: "it would take the files that the attempt is made from away"},
		{name: "open the inspector", also: needNetwork, source: `
			const inspector = await import("node:inspector");
			inspector.open(0, "127.0.0.1");
			return inspector.url()`},
		{name: "reach Deno's raw operations", source: `return Object.keys(Deno[Deno.internal].core.ops).length`},
		{name: "open a library by a raw operation of a Web Worker", source: webWorker(`
			Deno[Deno.internal].core.ops.op_napi_open(p.library, globalThis, Uint8Array, () => {});
			return "loaded"`), alone: "no library of the system is an add-on"},
		{name: "switch on V8's own functions", source: `
			(await import("node:v8")).setFlagsFromString("--allow-natives-syntax");
			return new Function("return %GetOptimizationStatus(() => 0)")()`, alone: "Deno ignores the flag"},
		{name: "learn who the user is", also: needUser, source: `return (await import("node:os")).userInfo().homedir`},
		{name: "learn the network's interfaces", source: `return Deno.networkInterfaces()`},
		{name: "change priorities", source: `
			(await import("node:os")).setPriority(0, 5);
			return "changed"`},
	})
}

func sockets() []attempt {
	return in("Sockets", []attempt{
		{name: "another worker's socket", also: needUser, source: `
			const c = await Deno.connect({ transport: "unix", path: p.victim + "/../w.sock" });
			return "connected"`},
		{name: "another worker's socket, by `node:net`", also: needUser, source: `
			const net = await import("node:net");
			return await new Promise((resolve, reject) => {
				net.connect({ path: p.victim + "/../w.sock" }, () => resolve("connected")).on("error", reject);
			})`},
		{name: "another worker's socket, as a proxy", also: needUser, source: `
			const client = Deno.createHttpClient({ proxy: { transport: "unix", path: p.victim + "/../w.sock" } });
			return await (await fetch("http://x/victim", { client })).text()`},
		{name: "the control channel", source: `return Deno.openSync(Deno.env.get("TMPDIR") + "/../c.sock")`, alone: "there is none"},
		{name: "remove the socket that requests come by", source: `
			Deno.removeSync(Deno.env.get("TMPDIR") + "/../w.sock");
			return "removed"`, alone: "there is none"},
		{name: "an abstract socket", needs: needScope, source: `
			const c = await Deno.connect({ transport: "unix", path: p.abstract });
			return "connected"`},
		{name: "an abstract socket, by `node:net`", needs: needScope, source: `
			const net = await import("node:net");
			return await new Promise((resolve, reject) => {
				net.connect({ path: p.abstract }, () => resolve("connected")).on("error", reject);
			})`},
		{name: "listen on a TCP port", needs: needNetwork, source: `
			const net = await import("node:net");
			return await new Promise((resolve, reject) => {
				const s = net.createServer();
				s.on("error", reject);
				s.listen(0, "0.0.0.0", () => resolve("listening on " + s.address().port));
			})`},
		{name: "listen on a TCP port from a Web Worker", needs: needNetwork, source: webWorker(`
			return "listening on " + Deno.listen({ port: 0 }).addr.port`)},
		{name: "listen on a socket elsewhere", also: needPaths, source: `
			Deno.listen({ transport: "unix", path: p.dir + "/s.sock" });
			return "listening"`},
	})
}

func permissions() []attempt {
	return in("Permissions", []attempt{
		{name: "ask for more", source: `
			for (const name of ["read", "write", "run", "ffi", "import", "sys"]) {
				if ((await Deno.permissions.request({ name })).state === "granted") return name;
			}`},
		{name: "ask for a denied address", source: `
			const state = (await Deno.permissions.request({ name: "net", host: p.literal })).state;
			return state === "granted" ? state : undefined`},
		{name: "a Web Worker that may read", source: `
			const w = new Worker("data:text/javascript,postMessage(Deno.readTextFileSync('" + p.file + "'))", { type: "module", deno: { permissions: { read: true } } });
			return await new Promise((resolve, reject) => {
				w.onmessage = (e) => resolve(e.data);
				w.onerror = (e) => { e.preventDefault(); reject(new Error(e.message)); };
			})`, alone: "it needs an unstable flag", ends: true},
		{name: "a Web Worker that inherits", also: needPaths, source: webWorker(`return Deno.readTextFileSync(p.file)`)},
		{name: "a thread of `node:worker_threads`", also: needPaths, source: `
			const { Worker } = await import("node:worker_threads");
			const w = new Worker("const { parentPort } = require('node:worker_threads'); try { parentPort.postMessage(require('node:fs').readFileSync('" + p.file + "', 'utf8')) } catch (e) { parentPort.postMessage({ error: e.message }) }", { eval: true });
			const said = await new Promise((resolve, reject) => { w.on("message", resolve); w.on("error", reject); });
			if (said.error) throw new Error(said.error);
			return said`},
		{name: "a context of `node:vm`", source: `
			const vm = await import("node:vm");
			const got = vm.runInNewContext("this.constructor.constructor('return typeof Deno === \"undefined\" ? undefined : Deno')()");
			return got?.readTextFileSync(p.file)`, alone: "it is the function's own Deno at most"},
	})
}
