package function

import "strings"

// A Problem says why one function cannot be run although it is there. The
// other functions of the folder are not affected.
type Problem struct {
	// Slug is the function's name, or its folder's where that is no slug.
	Slug string
	// Where is the file or folder at fault, with a line where there is one.
	Where string
	// What is wrong, without a full stop.
	What string
	// Hint is what to do next.
	Hint string
	// Err is the cause, if there is one in Go.
	Err error
}

func (p *Problem) Error() string {
	var b strings.Builder
	b.WriteString("function " + p.Slug + ": ")
	if p.Where != "" {
		b.WriteString(p.Where + ": ")
	}
	b.WriteString(p.What)
	if p.Hint != "" {
		b.WriteString("; " + p.Hint)
	}
	return b.String()
}

func (p *Problem) Unwrap() error { return p.Err }
