package bundle

import "bytes"

// A CommonJS package that requires a Node.js built-in becomes, in an ES module,
// a call of a `require` that does not exist: the bundler writes a stand-in that
// throws unless there is one. A function declaration is hoisted, so appending
// one gives the stand-in what it looks for and moves no line of the source map.
var (
	dynamicRequire = []byte(`Dynamic require of `)
	requireShim    = []byte("function require(id){return(require.own??=process.getBuiltinModule(\"node:module\").createRequire(import.meta.url))(id)}\n")
	mapComment     = []byte("//# sourceMappingURL=")
)

// provideRequire adds the declaration to code that needs it.
func provideRequire(code []byte) []byte {
	if !bytes.Contains(code, dynamicRequire) {
		return code
	}
	at := bytes.LastIndex(code, mapComment)
	if at < 0 {
		at = len(code)
	}
	out := make([]byte, 0, len(code)+len(requireShim))
	out = append(out, code[:at]...)
	out = append(out, requireShim...)
	return append(out, code[at:]...)
}
