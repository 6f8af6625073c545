package escape

import "strings"

// native are attempts of machine code: what a function can do that has broken
// its JavaScript engine. They are made through a library of the system, which
// Deno lets no function load, so that only the system's walls are in their way.
func native() []attempt {
	list := []attempt{
		{name: "read a file", needs: needPaths, source: `
			const fd = c("open", text(p.file), 0);
			if (fd < 0) return;
			const b = new Uint8Array(4096);
			return decode(b.subarray(0, c("read", fd, b, 4096n)))`},
		{name: "read the gateway's variables", needs: needPaths, source: `
			const fd = c("open", text("/proc/" + p.gateway + "/environ"), 0);
			if (fd < 0) return;
			const b = new Uint8Array(65536);
			return decode(b.subarray(0, c("read", fd, b, 65536n)))`},
		{name: "open the gateway's memory", needs: needPaths, source: `
			return got(c("open", text("/proc/" + p.gateway + "/mem"), 0))`},
		{name: "write a file elsewhere", needs: needPaths, source: `
			return got(c("open", text(p.dir + "/native"), 0o101, 0o600))`},
		{name: "poison the package cache from an unbundled function", unbundled: true, needs: needPaths, source: `
			return got(c("open", text(p.package), 0o2001))`},
		{name: "make a folder elsewhere", needs: needPaths, source: `
			return done(c("mkdir", text(p.dir + "/made"), 0o700))`},
		{name: "run a program", needs: needPaths, source: `
			return done(c("system", text("exit 0")))`},
		{name: "run a program of its own", needs: needPaths, source: `
			const at = Deno.env.get("TMPDIR") + "/own";
			Deno.writeTextFileSync(at, "#!/bin/true\n");
			Deno.chmodSync(at, 0o755);
			return done(c("posix_spawn", new Uint8Array(8), text(at), 0n, 0n, new Uint8Array(16), new Uint8Array(8)))`},
		{name: "find the gateway by a signal", needs: needScope, source: `
			return done(c("kill", p.gateway, 0))`},
		{name: "find another worker by a signal", needs: needUser, source: `
			return done(c("kill", p.other, 0))`},
		{name: "connect to another worker's socket", needs: needUser, source: `
			return done(c("connect", c("socket", 1, 1, 0), unix(p.victim.replace(/tmp$/, "w.sock")), 110))`},
		{name: "change the rights of the server's files", needs: needUser, source: `
			return done(c("chmod", text(p.file), 0o644))`},
		{name: "open the folder of all bundles", needs: needUser, source: `
			return done(c("chmod", text(p.bundle), 0o311))`},
		{name: "connect to an abstract socket", needs: needScope, source: `
			const s = c("socket", 1, 1, 0);
			const name = new TextEncoder().encode(p.abstract);
			const address = new Uint8Array(2 + name.length);
			address[0] = 1;
			address.set(name, 2);
			return done(c("connect", s, address, address.length))`},
		{name: "bind a TCP port", needs: needNetwork, source: `
			const address = new Uint8Array(16);
			address[0] = 2;
			return done(c("bind", c("socket", 2, 1, 0), address, 16))`},
		{name: "bind a port by MPTCP", needs: needFilter, source: `
			const s = c("socket", 2, 1, 262);
			if (s < 0) return;
			const address = new Uint8Array(16);
			address[0] = 2;
			return done(c("bind", s, address, 16))`},
		{name: "trace the gateway", needs: needFilter, source: `
			return done(c("ptrace", 0x4206n, BigInt(p.gateway), 0n, 0n))`},
		{name: "take files away from the gateway, by its limits", needs: needFilter, source: `
			const limit = new Uint8Array(16);
			if (c("prlimit", p.gateway, 7, 0n, limit) !== 0) return;
			return done(c("prlimit", p.gateway, 7, limit, 0n))`},
		{name: "set the gateway's priority", needs: needFilter, source: `
			return done(c("setpriority", 0, p.gateway, c("getpriority", 0, p.gateway)))`},
		{name: "set the priority of all processes of the user", needs: needFilter, source: `
			return done(c("setpriority", 2, 0, 0))`},
		{name: "choose the gateway's processors", needs: needFilter, source: `
			const mask = new Uint8Array(128);
			if (c("sched_getaffinity", p.gateway, 128n, mask) < 0) return;
			return done(c("sched_setaffinity", p.gateway, 128n, mask))`},
		{name: "have a network of its own", needs: needFilter, source: `
			return done(c("unshare", 0x40000000))`},
		{name: "change its root", needs: needFilter, source: `
			return done(c("chroot", text(p.dir)))`},
		{name: "see all packets", needs: needFilter, source: `
			return got(c("socket", 17, 3, 0x300))`},
		{name: "write packets of its own making", needs: needFilter, source: `
			return got(c("socket", 2, 3, 1))`},
		{name: "have the kernel work past the filter, by io_uring", needs: needFilter, source: `
			return got(c("syscall", 425n, 4n, new Uint8Array(120)))`},
		{name: "load a program into the kernel", needs: needFilter, source: `
			const map = new Uint8Array(128);
			new Uint32Array(map.buffer).set([2, 4, 4, 1]);
			return got(c("syscall", nr(321n, 280n), 0n, map, 128n))`},
		{name: "keep something in the kernel's keys", needs: needFilter, source: `
			return got(c("syscall", nr(248n, 217n), text("user"), text("k"), text("v"), 1n, -2n))`},
		{name: "stop the kernel in the middle of its work, by userfaultfd", needs: needFilter, source: `
			return got(c("syscall", nr(323n, 282n), 1n))`},
		{name: "become another user", needs: needCapabilities, source: `
			return done(c("setuid", 65534))`},
		{name: "give a file away", needs: needCapabilities, source: `
			return done(c("chown", text(p.dir + "/given"), 65534, 65534))`},
	}
	for i := range list {
		list[i].native = true
		list[i].source = prelude + list[i].source
	}
	return in("Machine code", list)
}

// prelude has c, which calls a function of the C library: a number is an int, a
// bigint a long, bytes are a pointer.
var prelude = strings.TrimSpace(`
			const text = (s) => new TextEncoder().encode(s + "\0");
			const decode = (b) => new TextDecoder().decode(b);
			const nr = (amd64, arm64) => Deno.build.arch === "aarch64" ? arm64 : amd64;
			const kind = { number: "i32", bigint: "i64", object: "buffer" };
			const c = (name, ...args) =>
				Number(Deno.dlopen(p.library, { f: { name, parameters: args.map((a) => kind[typeof a]), result: "i32" } }).symbols.f(...args));
			const unix = (path) => {
				const address = new Uint8Array(110);
				address[0] = 1;
				address.set(new TextEncoder().encode(path), 2);
				return address;
			};
			const got = (fd) => fd >= 0 ? "it got " + fd : undefined;
			const done = (code) => code === 0 ? "done" : undefined;
`) + "\n"
