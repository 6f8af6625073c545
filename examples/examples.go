// Package examples holds the example functions as files of the binary, so that
// the templates of "selvedge new" are the very sources people read here.
package examples

import "embed"

// FS holds functions/ and config.toml, as they lie in this folder. The all:
// prefix is for the folders that begin with an underscore.
//
//go:embed all:functions config.toml
var FS embed.FS
