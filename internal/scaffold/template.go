package scaffold

import (
	"path"
	"regexp"
	"strings"
)

// A Template is something a new function can start from.
type Template struct {
	// Name is what a user asks for.
	Name string
	// Description says in a few words what the template shows.
	Description string
}

// template adds where a Template comes from and how it is called.
type template struct {
	Template
	// example is the folder below examples/functions.
	example string
	// args follow "curl", with URL for the function's address.
	args string
	// answer is what then comes back.
	answer string
	// static is the glob of the files that the template reads at run time,
	// which have to be declared, "" for none.
	static string
}

var templates = []template{
	{
		Template: Template{"hello", "JSON in, JSON out: the classic first function"},
		example:  "hello-world",
		args:     `URL -d '{"name":"Functions"}'`,
		answer:   `{"message":"Hello Functions!"}`,
	},
	{
		Template: Template{"supabase-js", "a Supabase client that acts as the caller"},
		example:  "supabase-js",
		args:     `URL`,
		answer:   `the public URL of a file, put together by the client`,
	},
	{
		Template: Template{"sse", "server-sent events that end with the client"},
		example:  "sse",
		args:     `-N "URL?count=3&every=100"`,
		answer:   `three events, a tenth of a second apart`,
	},
	{
		Template: Template{"websocket", "a WebSocket that echoes"},
		example:  "websocket-echo",
		args:     `-i URL`,
		answer:   `426: this one wants a WebSocket client`,
	},
	{
		Template: Template{"wasm", "WebAssembly, as a module and as a static file"},
		example:  "wasm",
		args:     `"URL?a=2&b=3"`,
		answer:   `{"imported":5,"instantiated":5}`,
		static:   "*.wasm",
	},
	{
		Template: Template{"hono", "routes with Hono, found through deno.json"},
		example:  "hono",
		args:     `URL/greet/Ada`,
		answer:   `{"hello":"Ada"}`,
	},
}

// Templates lists what Create accepts, the usual choice first.
func Templates() []Template {
	list := make([]Template, len(templates))
	for i, t := range templates {
		list[i] = t.Template
	}
	return list
}

// Hints say what to do with a function that was just created.
type Hints struct {
	// Curl is a command that calls the function.
	Curl string
	// Answer says what the command then shows.
	Answer string
	// Config is what has to be added to config.toml, "" for nothing.
	Config string
}

// HintsFor returns the hints for a function made from a template. base is the
// server's address, such as http://localhost:9000. It fails where Create does
// on an unknown template.
func HintsFor(base, slug, template string) (Hints, error) {
	t, err := find(template)
	if err != nil {
		return Hints{}, err
	}
	h := Hints{
		Curl:   "curl " + strings.Replace(t.args, "URL", strings.TrimSuffix(base, "/")+"/"+slug, 1),
		Answer: t.answer,
	}
	if t.static != "" {
		h.Config = "[functions." + slug + "]\n" +
			`static_files = ["./functions/` + slug + "/" + t.static + `"]` + "\n"
	}
	return h, nil
}

// rename puts the new function's name wherever a file names the example's: as
// the first part of a URL's path or of a quoted path. Packages that share the
// example's name ("npm:hono@4") stay what they are.
func (t template) rename(name, slug string, content []byte) []byte {
	if path.Ext(name) == ".wasm" {
		return content
	}
	own := regexp.MustCompile("(:[0-9]+|[\"'`])/" + regexp.QuoteMeta(t.example) + `([^A-Za-z0-9_@.-]|$)`)
	return own.ReplaceAll(content, []byte("${1}/"+slug+"${2}"))
}
