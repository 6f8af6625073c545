package worker

import (
	"fmt"
	"maps"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/internal/deno"
	"github.com/selvedge-dev/selvedge/internal/function"
)

func TestConsole(t *testing.T) {
	t.Parallel()
	sub := loaded(t, `
		console.log("while loading");
		Deno.serve(async (req) => {
			console.debug("a debug");
			console.log("a log", { a: [1, "x"] }, "%s");
			console.info("%s is %d", "seven", 7);
			console.warn("a warning\nof two lines");
			console.error(new TypeError("an error"));
			console.log("");
			console.log("snow ☃ \x1e \x00 \x1b[1mbold\ud800");
			console.table([{ a: 1 }]);
			console.group("group"); console.log("within"); console.groupEnd();
			console.assert(false, "an assertion");
			const { log } = console; log("detached");
			await new Promise((r) => setTimeout(r, 1));
			console.log("after await");
			queueMicrotask(() => console.log("in a microtask"));
			setTimeout(() => console.log("after the answer"), 20);
			return new Response("ok");
		});`)
	if got := sub.get(t, "/fn", "req-1"); got != "ok" {
		t.Fatal(got)
	}
	sub.logs.find(t, "after the answer")
	want := []deno.Record{
		{Level: deno.LevelInfo, Text: "while loading"},
		{Level: deno.LevelDebug, Text: "a debug"},
		{Level: deno.LevelInfo, Text: `a log { a: [ 1, "x" ] } %s`},
		{Level: deno.LevelInfo, Text: "seven is 7"},
		{Level: deno.LevelWarn, Text: "a warning\nof two lines"},
		{Level: deno.LevelError, Text: "TypeError: an error\n"},
		{Level: deno.LevelInfo, Text: ""},
		{Level: deno.LevelInfo, Text: "snow ☃ \x1e \x00 \x1b[1mbold\ufffd"},
		{Level: deno.LevelInfo, Text: "0 │ 1"},
		{Level: deno.LevelInfo, Text: "group"},
		{Level: deno.LevelInfo, Text: "within"},
		{Level: deno.LevelError, Text: "Assertion failed: an assertion"},
		{Level: deno.LevelInfo, Text: "detached"},
		{Level: deno.LevelInfo, Text: "after await"},
		{Level: deno.LevelInfo, Text: "in a microtask"},
		{Level: deno.LevelInfo, Text: "after the answer"},
	}
	got := sub.logs.all()
	if len(got) != len(want) {
		t.Fatalf("%d records: %+v", len(got), got)
	}
	for i, w := range want {
		if i > 0 {
			w.RequestID = "req-1"
		}
		g := got[i]
		if g.Level != w.Level || g.RequestID != w.RequestID || g.Raw || !strings.Contains(g.Text, w.Text) || (w.Text == "") != (g.Text == "") {
			t.Errorf("record %d is %+v, want %+v", i, g, w)
		}
	}
}

// What a function says is told to its request whatever else is in the async
// context, and what a function puts there itself is its own.
func TestConsoleBesideAsyncLocalStorage(t *testing.T) {
	t.Parallel()
	sub := loaded(t, `
		import { AsyncLocalStorage } from "node:async_hooks";
		const one = new AsyncLocalStorage(), two = new AsyncLocalStorage();
		const outside = AsyncLocalStorage.snapshot();
		const rest = () => new Promise((r) => setTimeout(r, 5));
		one.enterWith("top");
		Deno.serve(async (req) => {
			const { pathname } = new URL(req.url);
			const before = one.getStore();
			await one.run("1" + pathname, () => two.run("2" + pathname, async () => {
				console.log("nested");
				await rest();
				console.log("nested later");
				if (one.getStore() !== "1" + pathname || two.getStore() !== "2" + pathname) console.error("mixed up");
				outside(() => console.log("outside"));
			}));
			two.enterWith("entered");
			await rest();
			console.log("entered");
			return new Response([before, one.getStore(), two.getStore()].join());
		});`)
	var all sync.WaitGroup
	for _, id := range []string{"a", "b", "c"} {
		all.Go(func() {
			if got := sub.get(t, "/fn/"+id, id); got != "top,top,entered" {
				t.Errorf("stores before, after and entered are %q", got)
			}
		})
	}
	all.Wait()
	eventually(t, "four records a request", func() bool { return len(sub.logs.all()) >= 12 })
	count := map[string]int{}
	for _, r := range sub.logs.all() {
		count[r.RequestID+" "+r.Text]++
	}
	want := map[string]int{" outside": 3}
	for _, id := range []string{"a", "b", "c"} {
		for _, text := range []string{"nested", "nested later", "entered"} {
			want[id+" "+text] = 1
		}
	}
	if !maps.Equal(count, want) {
		t.Errorf("%v, want %v", count, want)
	}
}

// Node's hooks show the async context.
func TestRequestIDCannotBeForged(t *testing.T) {
	t.Parallel()
	sub := loaded(t, `
		import { createHook } from "node:async_hooks";
		const seen = [];
		createHook({ init: (_id, _type, _trigger, resource) => { seen.push(resource); } }).enable();
		let leaked = 0;
		for (const name of ["request", "id", "call"]) {
			Object.defineProperty(Object.prototype, name, { configurable: true, get() {}, set() { leaked++; } });
		}
		Deno.serve(async () => {
			process.nextTick(() => {});
			let found = 0;
			for (const { snapshot } of seen) {
				const call = snapshot && Object.getOwnPropertyDescriptor(snapshot, "call")?.value;
				if (call === undefined) continue;
				found++;
				Object.defineProperty(call, "id", { value: "forged" });
				console.log("told");
				Object.defineProperty(snapshot, "call", { value: { id: "forged" }, writable: true, configurable: true });
				console.log("exchanged");
			}
			const answer = found + " " + leaked; // Deno's timers call the setter as well
			await new Promise((r) => setTimeout(r, 1));
			console.log("later");
			return new Response(answer);
		});`)
	if got := sub.get(t, "/fn", "req-1"); got != "1 0" {
		t.Errorf("contexts found and objects leaked: %q, want 1 0; if Deno shows none any more, so much the better", got)
	}
	sub.logs.find(t, "later")
	for _, r := range sub.logs.all() {
		if want := map[bool]string{true: "req-1"}[r.Text == "told"]; r.RequestID != want || r.Raw {
			t.Errorf("%+v, want the request id %q", r, want)
		}
	}
}

func TestRawOutput(t *testing.T) {
	t.Parallel()
	sub := loaded(t, `
		import process from "node:process";
		const bytes = (s) => new TextEncoder().encode(s);
		Deno.serve(() => {
			Deno.stdout.writeSync(bytes("to stdout\n"));
			Deno.stderr.writeSync(bytes("to stderr\r\nsecond line\nno end"));
			console.log("framed");
			process.stdout.write("by node\n");
			return new Response("ok");
		});`)
	sub.get(t, "/fn", "req-1")
	sub.logs.find(t, "by node")
	var got []string
	for _, r := range sub.logs.all() {
		got = append(got, fmt.Sprintf("%s %t %s", r.Text, r.Raw, r.RequestID))
	}
	want := "to stdout true |to stderr true |second line true |no end true |framed false req-1|by node true "
	if strings.Join(got, "|") != want {
		t.Errorf("%q", got)
	}
	sub.Stop()
	if tail := sub.Exit().Tail; tail != "to stdout\nto stderr\nsecond line\nno end\nby node" {
		t.Errorf("tail %q", tail)
	}
}

// forger replaces whatever the bootstrap might still touch, and keeps what it
// is handed.
const forger = `
	const seen = [];
	let looking = false;
	const isView = ArrayBuffer.isView, fromCharCode = String.fromCharCode;
	const look = (x) => {
		if (looking) return;
		looking = true;
		try {
			if (x instanceof ArrayBuffer) x = new RealU8(x);
			if (typeof x === "string") seen[seen.length] = x;
			else if (isView(x)) {
				let s = "";
				for (let i = 0; i < x.length; i++) s += fromCharCode(x[i]);
				seen[seen.length] = s;
			}
		} catch {}
		looking = false;
	};
	const apply = Reflect.apply, construct = Reflect.construct;
	const RealU8 = Uint8Array, write = Deno.stderr.writeSync.bind(Deno.stderr), encoder = new TextEncoder(), encode = encoder.encode.bind(encoder);
	const spyOn = (object, name) => {
		const d = Object.getOwnPropertyDescriptor(object, name);
		if (!d || !d.configurable) return;
		const spy = (real) => function (...args) {
			look(this);
			for (let i = 0; i < args.length; i++) look(args[i]);
			const out = new.target ? construct(real, args, new.target) : apply(real, this, args);
			look(out);
			return out;
		};
		if (typeof d.value === "function") {
			const replaced = spy(d.value);
			try { replaced.prototype = d.value.prototype; } catch {}
			Object.defineProperty(object, name, { ...d, value: replaced });
		} else if (d.get) Object.defineProperty(object, name, { ...d, get: spy(d.get) });
	};
	const typed = Object.getPrototypeOf(Uint8Array.prototype);
	const targets = [
		[String.prototype, ["endsWith", "slice", "indexOf", "concat", "toString", "valueOf", "split", "at", "charCodeAt", "replace", "substring"]],
		[typed, ["set", "subarray", "slice", "length", "byteLength", "buffer", "byteOffset", "fill", "constructor", "copyWithin", "at"]],
		[RealU8.prototype, ["constructor"]],
		[ArrayBuffer.prototype, ["slice", "byteLength", "constructor"]],
		[TextEncoder.prototype, ["encode", "encodeInto"]],
		[TextDecoder.prototype, ["decode"]],
		[JSON, ["stringify", "parse"]],
		[Promise.prototype, ["then", "catch", "finally"]],
		[Promise, ["resolve", "race", "all"]],
		[Array.prototype, ["join", "push", "map", "concat"]],
		[Number.prototype, ["toFixed", "toString"]],
		[Object, ["keys", "defineProperty"]],
		[Reflect, ["apply"]],
		[Function.prototype, ["call", "apply", "bind"]],
		[Headers.prototype, ["get"]],
		[Request.prototype, ["headers"]],
		[Response, ["error"]],
		[globalThis, ["TextEncoder", "Uint8Array", "Response", "Request", "Headers", "Promise", "setTimeout", "dispatchEvent"]],
		[Deno, ["stderr", "inspect", "env", "exit"]],
	];
	for (const [object, names] of targets) for (const name of names) try { spyOn(object, name); } catch {}
	Deno.stderr.writeSync = look;
	Object.prototype.toJSON = undefined;
	Object.defineProperty(Object.prototype, "id", { configurable: true, get() { return undefined; }, set(v) { look(v); } });
	const internals = Deno[Deno.internal]?.core ?? {};
	for (const name of ["print", "encode", "decode", "getAsyncContext", "setAsyncContext"]) try { spyOn(internals, name); } catch {}
	try { spyOn(internals.AsyncVariable.prototype, "get"); spyOn(internals.AsyncVariable.prototype, "enter"); } catch {}
	delete Object.prototype.id;
`

func TestFramesCannotBeForged(t *testing.T) {
	t.Parallel()
	for name, top := range map[string]string{
		"printed": `
			const write = Deno.stderr.writeSync.bind(Deno.stderr), encode = (s) => new TextEncoder().encode(s);
			const seen = [];`,
		"with replaced globals": forger,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStand(t)
			sub, err := s.tryLoad(t, top+`
			Deno.serve((req) => {
				console.log("honest");
				console.error("also ".concat("honest"), new Error("x"));
				const secrets = new Set([""]);
				for (const s of seen) for (const m of s.matchAll(/[0-9a-f]{32}/g)) secrets.add(m[0]);
				for (const s of ["0".repeat(32), ...secrets]) {
					for (const mark of ["\x1e" + s + " ", "\x1e" + s, "\x1e"]) write(encode(mark + "3 victim 6\nforged\n"));
				}
				console.log("\x1e 3 victim 6\nforged\n");
				console.log("last");
				return new Response(String(secrets.size));
			});`)
			if err != nil {
				t.Fatal(err)
			}
			r := httptest.NewRequest("GET", "/fn", nil)
			r.Header.Set("Sb-Request-Id", "req-1")
			rec, err := sub.try(r)
			if err != nil {
				t.Fatalf("%v %+v", err, sub.Exit())
			}
			if rec.Body.String() != "1" {
				t.Errorf("the function has seen what looks like the secret (%s), status %d", rec.Body, rec.Code)
			}
			sub.logs.find(t, "last")
			raw := 0
			for _, r := range sub.logs.all() {
				if !r.Raw && (r.RequestID != "req-1" || r.Text == "forged") {
					t.Errorf("a forged record: %+v", r)
				}
				if r.Raw {
					raw++
				}
			}
			if raw == 0 {
				t.Error("no raw output came")
			}
		})
	}
}

func TestFlood(t *testing.T) {
	t.Parallel()
	const megabytes = 100
	s := newStand(t)
	for name, print := range map[string]string{
		"console":    `console.log(line)`,
		"raw":        `Deno.stdout.writeSync(raw)`,
		"no newline": `Deno.stdout.writeSync(endless)`,
		"one record": `console.log(line.repeat(1024))`,
	} {
		t.Run(name, func(t *testing.T) {
			sub := s.load(t, fmt.Sprintf(`
				const line = "x".repeat(1023), raw = new TextEncoder().encode(line + "\n"), endless = raw.subarray(0, 1023);
				Deno.serve(() => {
					for (let n = 0; n < %d * 1024; n++) { %s; %s }
					console.log("done");
					return new Response("ok");
				});`, megabytes, print, map[bool]string{true: "n += 1023;"}[name == "one record"]))
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			began := time.Now()
			if got := sub.get(t, "/fn", ""); got != "ok" {
				t.Fatal(got)
			}
			took := time.Since(began)
			sub.Retire(t.Context(), "early_drop")
			runtime.GC()
			runtime.ReadMemStats(&after)
			t.Logf("%d MB in %s", megabytes, took)
			if took > soon {
				t.Errorf("printing took %s", took)
			}
			kept := 0
			dropped := ""
			for _, r := range sub.logs.all() {
				kept += len(r.Text)
				if strings.Contains(r.Text, "were dropped") {
					dropped = r.Text
				}
			}
			if limit := int(float64(function.Defaults().LogLines*logBytesPerLine) * (logBurst + took.Seconds() + 1)); kept > limit+deno.MaxRecord {
				t.Errorf("%d bytes were logged, the limit is %d", kept, limit)
			}
			// On a slow machine records of which little is kept may all be logged.
			if all := name == "one record" && kept >= megabytes*deno.MaxRecord; name != "no newline" && dropped == "" && !all {
				t.Error("nothing says that lines were dropped")
			}
			if grown := int(after.HeapAlloc) - int(before.HeapAlloc) - kept; grown > 8<<20 {
				t.Errorf("the supervisor grew by %d bytes", grown)
			}
			if tail := sub.Exit().Tail; len(tail) > tailLines*deno.MaxRecord {
				t.Errorf("a tail of %d bytes", len(tail))
			}
		})
	}
}
