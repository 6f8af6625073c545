package bundle

import (
	"bytes"
	"regexp"
	"slices"
)

// A CommonJS package that requires a Node.js built-in becomes, in an ES module,
// a call of a `require` that does not exist: the bundler writes a stand-in that
// throws unless there is one. A function declaration is hoisted, so appending
// one gives the stand-in what it looks for and moves no line of the source map.
var (
	dynamicRequire = []byte(`Dynamic require of `)
	requireShim    = []byte("function require(id){return(require.own??=process.getBuiltinModule(\"node:module\").createRequire(import.meta.url))(id)}\n")
	mapComment     = []byte("//# sourceMappingURL=")
)

// The bundler shortens its helper for importing CommonJS after it has written
// the source map, so that all that follows on the line, which in a minified
// module is everything, is mapped wrongly. The helper is
//
//	(mod,isNodeMode,target)=>(target=mod!=null?create(getProto(mod)):{},copy(CONDITION?...
//
// and "isNodeMode||!mod||!mod.__esModule" became "1 ".
var shortened = regexp.MustCompile(`\(([\w$]+),([\w$]+),([\w$]+)\)=>\([\w$]+=[\w$]+!=null\?[\w$]+\([\w$]+\([\w$]+\)\):\{\},[\w$]+\(1 \?`)

// restoreColumns gives the condition its length again.
func restoreColumns(code []byte) []byte {
	m := shortened.FindSubmatchIndex(code)
	if m == nil {
		return code
	}
	mod, isNodeMode := code[m[2]:m[3]], code[m[4]:m[5]]
	was := len(isNodeMode) + len("||!") + len(mod) + len("||!") + len(mod) + len(".__esModule")
	pad := bytes.Repeat([]byte(" "), was-len("1 "))
	at := m[1] - len("?")
	return slices.Concat(code[:at], pad, code[at:])
}

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
