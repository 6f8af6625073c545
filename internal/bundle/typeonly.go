package bundle

import (
	"bytes"
	"regexp"
)

// Every template of the hosted platform begins with a side-effect import of
// declarations that have no code. Both of its forms are left out of the module
// graph, so that no network is needed for them, in any version.
var typeOnlyExternals = []string{
	"jsr:@supabase/functions-js*edge-runtime.d.ts",
	"jsr:/@supabase/functions-js*edge-runtime.d.ts",
	"npm:/@supabase/functions-js*edge-runtime.d.ts",
	"npm:@supabase/functions-js*edge-runtime.d.ts",
	"https://esm.sh/*edge-runtime.d.ts",
}

// typeOnlyImport finds what is left of them, in source and in output.
var typeOnlyImport = regexp.MustCompile(`import\s*["'](?:jsr:/?|npm:/?|https://esm\.sh/[^"'\s]*)@supabase/functions-js[^"'\s]*edge-runtime\.d\.ts["']\s*;?`)

// blankTypeOnly overwrites those imports with spaces, so that every other line
// and column stays where the source map says it is.
func blankTypeOnly(src []byte) []byte {
	return typeOnlyImport.ReplaceAllFunc(src, func(m []byte) []byte {
		blank := bytes.Repeat([]byte(" "), len(m))
		for i, c := range m {
			if c == '\n' {
				blank[i] = '\n'
			}
		}
		return blank
	})
}

// A function is the main module of its worker on the hosted platform, while
// here the bootstrap is, so import.meta.main is answered at build time. The
// replacement has the same length, for the source map's sake.
var (
	metaMain    = []byte("import.meta.main")
	metaMainYes = []byte("(!0)            ")
)

func answerMetaMain(src []byte) []byte { return bytes.ReplaceAll(src, metaMain, metaMainYes) }
