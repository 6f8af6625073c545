// Package image makes container images without Docker: layers from files,
// the same bytes for the same files, on a base from a registry or from this
// machine's C library; and it takes them to a registry, a folder or an archive.
package image

import (
	"archive/tar"
	"cmp"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// An Entry is a file or folder of an image. All belong to root.
type Entry struct {
	// Path is where it lies, without a slash at its beginning.
	Path string
	// Mode has the permissions and whether it is a folder.
	Mode fs.FileMode
	// From is the file that its content is in; where it is "", Content is it.
	From    string
	Content []byte
	// Link is where a symbolic link points, "" for files and folders.
	Link string
}

// Dir returns a folder.
func Dir(at string, mode fs.FileMode) Entry { return Entry{Path: at, Mode: fs.ModeDir | mode} }

// Tree returns the files below dir as they are to lie below at, for all to
// read and nobody to write.
func Tree(dir, at string) ([]Entry, error) {
	var found []Entry
	err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, file)
		if err != nil {
			return err
		}
		to := path.Join(at, filepath.ToSlash(rel))
		switch {
		case d.IsDir():
			found = append(found, Dir(to, 0o755))
		case d.Type().IsRegular():
			found = append(found, Entry{Path: to, Mode: 0o644, From: file})
		default:
			return fmt.Errorf("%s is neither a file nor a folder", file)
		}
		return nil
	})
	return found, err
}

// A Layer is a named set of entries.
type Layer struct {
	// Comment says what it holds, in the image's history.
	Comment string
	Entries []Entry
}

// build makes the layer. Whatever order the entries have, and whoever owns the
// files, its bytes are the same.
func (l Layer) build(created time.Time, kind types.MediaType) (v1.Layer, error) {
	entries := withParents(l.Entries)
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		r, w := io.Pipe()
		go func() { w.CloseWithError(writeTar(w, entries, created)) }() // ends with its reader
		return r, nil
	}, tarball.WithMediaType(kind), tarball.WithCompressedCaching)
}

// withParents adds the folders around the entries, sorts, and drops repeats;
// of two entries with one path the first counts.
func withParents(entries []Entry) []Entry {
	known := map[string]Entry{}
	for _, e := range entries {
		e.Path = strings.Trim(path.Clean("/"+e.Path), "/")
		if _, ok := known[e.Path]; !ok && e.Path != "" {
			known[e.Path] = e
		}
	}
	for _, e := range entries {
		for dir := path.Dir(strings.Trim(path.Clean("/"+e.Path), "/")); dir != "."; dir = path.Dir(dir) {
			if _, ok := known[dir]; !ok {
				known[dir] = Dir(dir, 0o755)
			}
		}
	}
	all := make([]Entry, 0, len(known))
	for _, e := range known {
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b Entry) int { return cmp.Compare(a.Path, b.Path) })
	return all
}

func writeTar(w io.Writer, entries []Entry, created time.Time) error {
	out := tar.NewWriter(w)
	for _, e := range entries {
		if err := e.write(out, created); err != nil {
			return fmt.Errorf("write %s into the image: %w", e.Path, err)
		}
	}
	return out.Close()
}

func (e Entry) write(out *tar.Writer, created time.Time) error {
	h := &tar.Header{Name: e.Path, Mode: int64(e.Mode.Perm()), ModTime: created, Format: tar.FormatPAX, Typeflag: tar.TypeReg}
	if e.Mode&fs.ModeSticky != 0 {
		h.Mode |= 0o1000
	}
	switch {
	case e.Mode.IsDir():
		h.Name, h.Typeflag = e.Path+"/", tar.TypeDir
		return out.WriteHeader(h)
	case e.Link != "":
		h.Typeflag, h.Linkname = tar.TypeSymlink, e.Link
		return out.WriteHeader(h)
	case e.From == "":
		h.Size = int64(len(e.Content))
		if err := out.WriteHeader(h); err != nil {
			return err
		}
		_, err := out.Write(e.Content)
		return err
	}
	in, err := os.Open(e.From)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	h.Size = info.Size()
	if err := out.WriteHeader(h); err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return err
}
