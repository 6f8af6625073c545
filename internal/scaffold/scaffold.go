// Package scaffold writes the first files of a new function. Its templates are
// the functions of examples/, so what is scaffolded is what is documented and
// tested there.
package scaffold

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/selvedge-dev/selvedge/examples"
	"github.com/selvedge-dev/selvedge/internal/function"
)

// Causes of an Error of Create.
var (
	// ErrSlug means that the name cannot be a function's.
	ErrSlug = errors.New("not a name for a function")
	// ErrTemplate means that no template has the name.
	ErrTemplate = errors.New("no such template")
	// ErrExists means that something lies where the function would.
	ErrExists = errors.New("already exists")
)

// An Error says why no function was created and what to do next.
type Error struct {
	// Op is what was tried.
	Op string
	// Hint is what the user can do, one line.
	Hint string
	// Err is the cause.
	Err error
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %v; %s", e.Op, e.Err, e.Hint) }

func (e *Error) Unwrap() error { return e.Err }

// Create writes a function from a template into root, the functions folder,
// which is created where it is missing. It returns the files it wrote. The
// function appears whole or not at all; what is there already is never
// touched. Errors that a user can do something about are of type *Error.
func Create(root, slug, template string) (files []string, err error) {
	op := "create function " + slug
	if err := checkSlug(slug); err != nil {
		return nil, err
	}
	source, err := find(template)
	if err != nil {
		return nil, err
	}
	dest := filepath.Join(root, slug)
	exists := &Error{
		Op: op, Err: fmt.Errorf("%s %w", dest, ErrExists),
		Hint: "choose another name, or move the folder away first",
	}
	if _, err := os.Lstat(dest); err == nil {
		return nil, exists
	}
	if err := os.MkdirAll(root, 0o777); err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}

	// The dot keeps discovery from taking the half-written folder for a
	// function, the suffix keeps a watcher from telling of it.
	temp, err := os.MkdirTemp(root, ".new-*.tmp")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()

	// A folder inside, since MkdirTemp's own is closed to others.
	staged := filepath.Join(temp, slug)
	names, err := source.write(staged, slug)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	if err := os.Rename(staged, dest); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return nil, exists // somebody was quicker
		}
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	for _, name := range names {
		files = append(files, filepath.Join(dest, filepath.FromSlash(name)))
	}
	return files, nil
}

func checkSlug(slug string) error {
	op := fmt.Sprintf("create function %q", slug)
	switch {
	case !function.ValidSlug(slug):
		return &Error{Op: op, Err: ErrSlug, Hint: "begin with a letter and go on with letters, digits, - and _, as in send-mail"}
	case slug == "main":
		// Supabase's self-hosted stack keeps its router there.
		return &Error{Op: op, Err: ErrSlug, Hint: "main/ is a folder of Supabase's own and is never served; choose another name"}
	case function.Reserved(slug):
		return &Error{Op: op, Err: ErrSlug, Hint: "the path /" + slug + " is Selvedge's own; choose another name"}
	}
	return nil
}

func find(name string) (template, error) {
	var names []string
	for _, t := range templates {
		if t.Name == name {
			return t, nil
		}
		names = append(names, t.Name)
	}
	return template{}, &Error{
		Op: fmt.Sprintf("use template %q", name), Err: ErrTemplate,
		Hint: "use one of " + strings.Join(names, ", "),
	}
}

// write copies the template's example to dir under the function's own name and
// returns the names of the files, relative to dir, sorted.
func (t template) write(dir, slug string) (names []string, err error) {
	source, err := fs.Sub(examples.FS, path.Join("functions", t.example))
	if err != nil {
		return nil, err
	}
	err = fs.WalkDir(source, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := filepath.Join(dir, filepath.FromSlash(name))
		if d.IsDir() {
			return os.Mkdir(target, 0o777)
		}
		content, err := fs.ReadFile(source, name)
		if err != nil {
			return err
		}
		names = append(names, name)
		return os.WriteFile(target, t.rename(name, slug, content), 0o666)
	})
	return names, err
}
