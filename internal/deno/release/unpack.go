package release

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
)

// entryName is the binary's in the tarball; npm puts everything in "package".
const entryName = "package/deno"

// maxBinarySize bounds what a tarball may unpack to, in bytes: it is written
// before its hash is known. The real binary has about 100 MB.
const maxBinarySize = 1 << 30

// unpack writes the binary of a tarball to w and returns its size in bytes,
// which is the announced one when writing failed.
func unpack(r io.Reader, w io.Writer) (int64, error) {
	gz, err := gzip.NewReader(r)
	if err != nil {
		return 0, fmt.Errorf("read gzip: %w", err)
	}
	defer gz.Close()
	archive := tar.NewReader(gz)
	var size int64
	found := false
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return size, fmt.Errorf("read tar: %w", err)
		}
		if h.Name != entryName || h.Typeflag != tar.TypeReg {
			continue
		}
		if found || h.Size > maxBinarySize {
			return size, fmt.Errorf("read tar: %s is there twice or too large", entryName)
		}
		found, size = true, h.Size
		if _, err := io.Copy(w, archive); err != nil {
			return size, fmt.Errorf("unpack %s: %w", entryName, err)
		}
	}
	if !found {
		return 0, fmt.Errorf("there is no %s in the tarball", entryName)
	}
	return size, nil
}

// isCut reports whether an archive failed only because it ended.
func isCut(err error) bool {
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)
}
