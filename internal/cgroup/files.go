package cgroup

import "os"

// files are what this package needs of a file system; tests have one that
// behaves as the kernel's.
type files interface {
	read(path string) ([]byte, error)
	// write writes to a file that is there.
	write(path, value string) error
	mkdir(path string) error
	rmdir(path string) error
	// list returns the names of the folders in one.
	list(path string) ([]string, error)
}

type system struct{}

func (system) read(path string) ([]byte, error) { return os.ReadFile(path) }

func (system) write(path, value string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

func (system) mkdir(path string) error { return os.Mkdir(path, 0o755) }
func (system) rmdir(path string) error { return os.Remove(path) }

func (system) list(path string) ([]string, error) {
	entries, err := os.ReadDir(path)
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, err
}
