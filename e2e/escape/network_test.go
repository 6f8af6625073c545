package escape

func network() []attempt {
	return in("Metadata services", append(spellings(), []attempt{
		{name: "by its IPv6 address", source: `
			if (!p.ipv6) return;
			return await (await fetch("http://[" + p.ipv6 + "]:" + p.port + "/latest")).text()`},
		{name: "where containers get credentials", source: `return await (await fetch("http://" + p.ecs + ":" + p.port + "/v2/credentials")).text()`},
		{name: "by a name that resolves to it", source: `
			if (!p.name) return;
			return await (await fetch("http://" + p.name + ":" + p.port + "/latest")).text()`},
		{name: "by a redirect", source: `return await (await fetch(p.allowed + "/redirect")).text()`},
		{name: "by a Web Worker", source: webWorker(`return await (await fetch("http://" + p.literal + ":" + p.port + "/latest")).text()`)},
		{name: "by an EventSource", source: `
			return await new Promise((resolve, reject) => {
				const e = new EventSource("http://" + p.literal + ":" + p.port + "/events");
				e.onmessage = (m) => { e.close(); resolve(m.data); };
				e.onerror = () => { e.close(); reject(new Error("closed")); };
			})`},
		{name: "by a WebSocket", source: `
			return await new Promise((resolve, reject) => {
				const w = new WebSocket("ws://" + p.literal + ":" + p.port + "/");
				w.onopen = () => resolve("open");
				w.onerror = (e) => reject(new Error(e.message));
			})`},
		{name: "by a TCP connection", source: `
			const c = await Deno.connect({ hostname: p.literal, port: p.port });
			return "connected"`},
		{name: "by a TCP connection to its name", source: `
			if (!p.name) return;
			const c = await Deno.connect({ hostname: p.name, port: p.port });
			return "connected"`},
		{name: "by a TLS connection", source: `await Deno.connectTls({ hostname: p.literal, port: p.port })`},
		{name: "by `node:net`", source: `
			const net = await import("node:net");
			return await new Promise((resolve, reject) => {
				net.connect(p.port, p.literal, () => resolve("connected")).on("error", reject);
			})`},
		{name: "by `node:net` with a look-up of its own", source: `
			const net = await import("node:net");
			return await new Promise((resolve, reject) => {
				net.connect({ port: p.port, host: "harmless.example", lookup: (h, o, cb) => o.all ? cb(null, [{ address: p.literal, family: 4 }]) : cb(null, p.literal, 4) }, () => resolve("connected")).on("error", reject);
			})`},
		{name: "by `node:http`", source: `
			const http = await import("node:http");
			return await new Promise((resolve, reject) => {
				http.get({ host: p.literal, port: p.port, path: "/latest" }, (r) => { r.setEncoding("utf8"); r.on("data", resolve); }).on("error", reject);
			})`},
		{name: "by `node:http` with a look-up of its own", source: `
			const http = await import("node:http");
			return await new Promise((resolve, reject) => {
				http.get({ host: "harmless.example", port: p.port, path: "/latest", lookup: (h, o, cb) => o.all ? cb(null, [{ address: p.literal, family: 4 }]) : cb(null, p.literal, 4) },
					(r) => { r.setEncoding("utf8"); r.on("data", resolve); }).on("error", reject);
			})`, ends: true},
		{name: "by `node:http2`", source: `
			const http2 = await import("node:http2");
			return await new Promise((resolve, reject) => {
				const s = http2.connect("http://" + p.literal + ":" + p.port);
				s.on("connect", () => resolve("connected"));
				s.on("error", reject);
			})`},
		{name: "as the proxy of a client", source: `
			const client = Deno.createHttpClient({ proxy: { url: "http://" + p.literal + ":" + p.port } });
			return await (await fetch("http://harmless.example/latest", { client })).text()`},
		{name: "as the proxy of all clients", source: `
			for (const name of ["HTTP_PROXY", "http_proxy"]) Deno.env.set(name, "http://" + p.literal + ":" + p.port);
			return await (await fetch("http://harmless.example/latest")).text()`},
		{name: "as the proxy of `node:http`", source: `
			for (const name of ["HTTP_PROXY", "http_proxy", "NODE_USE_ENV_PROXY"]) Deno.env.set(name, name.startsWith("NODE") ? "1" : "http://" + p.literal + ":" + p.port);
			const http = await import("node:http");
			return await new Promise((resolve, reject) => {
				http.get("http://harmless.example/latest", (r) => { r.setEncoding("utf8"); r.on("data", resolve); }).on("error", reject);
			})`, alone: "Deno's node:http asks no proxy that is named so late"},
		{name: "as the server of the Cache API", source: `
			Deno.env.set("DENO_CACHE_LSC_ENDPOINT", "http://" + p.literal + ":" + p.port + "/latest?x=,token");
			` + webWorker(`
			const c = await caches.open("c");
			return await (await c.match("http://x/")).text()`)},
		{name: "by packets", source: `
			const dgram = await import("node:dgram");
			const s = dgram.createSocket("udp4");
			return await new Promise((resolve, reject) => {
				s.on("message", (m) => resolve(String(m)));
				s.on("error", reject);
				s.send("hello", p.udp, p.literal, (e) => e && reject(e));
			}).finally(() => s.close())`},
		{name: "as a name server", source: `await Deno.resolveDns("x.example", "A", { nameServer: { ipAddr: p.literal, port: p.udp } })`,
			alone: "it answers no such question; that it is asked counts"},
		{name: "as a name server of `node:dns`", source: `
			const dns = await import("node:dns");
			const r = new dns.promises.Resolver();
			r.setServers([p.literal + ":" + p.udp]);
			await r.resolve4("x.example")`, alone: "it answers no such question; that it is asked counts"},
		{name: "by a computed import", source: `return (await import("http://" + p.literal + ":" + p.port + "/module.js")).secret`},
		{name: "by a computed import that fails", source: `return (await import("http://" + p.literal + ":" + p.port + "/latest.js")).default`,
			alone: "Deno quotes no more than a line, which need not be the one"},
		{name: "by a Web Worker made of it", source: `
			const w = new Worker("http://" + p.literal + ":" + p.port + "/worker.js", { type: "module" });
			return await new Promise((resolve, reject) => {
				w.onmessage = (e) => resolve(e.data);
				w.onerror = (e) => { e.preventDefault(); reject(new Error(e.message)); };
			})`},
	}...))
}

// spellings are the ways to write the address in a URL, which are the targets'.
func spellings() []attempt {
	var list []attempt
	for i, name := range []string{"by its address", "as one decimal number", "in hexadecimal", "in octal", "with parts left out", "in full-width digits", "as IPv4 in IPv6"} {
		at := string(rune('0' + i))
		list = append(list, attempt{name: name, source: `return await (await fetch("http://" + p.meta[` + at + `] + ":" + p.port + "/latest")).text()`})
	}
	return list
}
