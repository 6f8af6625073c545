package bundle

import (
	"errors"
	"syscall"
)

// isNotEmpty reports that rename met a folder with something in it, which
// Linux and macOS say in one way or the other (rename(2)).
func isNotEmpty(err error) bool {
	return errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, syscall.EEXIST)
}
