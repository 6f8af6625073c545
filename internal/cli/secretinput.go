package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/term"

	"github.com/selvedge-dev/selvedge/internal/deploy"
	"github.com/selvedge-dev/selvedge/internal/function"
)

// maxSecretInput is more than Secrets Manager takes.
const maxSecretInput = 1 << 20

// A secretInput says where `secrets set` takes values from, besides arguments.
type secretInput struct {
	envFile, fromFile string
}

// read returns the values by name, and warnings about what was left out.
func (in *secretInput) read(ctx context.Context, s Streams, args []string) (values map[string]string, skipped []string, err error) {
	var bare []string
	values = map[string]string{}
	envFile := in.envFile
	for _, arg := range args {
		name, value, ok := strings.Cut(arg, "=")
		switch {
		case arg == "-" && envFile == "":
			envFile = "-"
			continue
		case arg == "-":
			return nil, nil, errors.New("- and --env-file are the same; leave out one of them")
		case ok:
			values[name] = value
		default:
			bare = append(bare, arg)
		}
		if err := checkSecretName(name); err != nil {
			return nil, nil, err
		}
	}
	if len(bare) > 0 && envFile == "-" {
		return nil, nil, errors.New("stdin cannot have both lines NAME=VALUE and a value")
	}
	if envFile != "" {
		lines, err := readEnvFile(s.In, envFile)
		if err != nil {
			return nil, nil, err
		}
		for _, name := range slices.Sorted(maps.Keys(lines)) {
			if err := checkSecretName(name); err != nil {
				skipped = append(skipped, fmt.Sprintf("%s is left out: %v", name, err))
				continue
			}
			values[name] = lines[name]
		}
	}
	if err := in.readBare(ctx, s, bare, values); err != nil {
		return nil, nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if strings.ContainsRune(values[name], 0) {
			return nil, nil, fmt.Errorf("the value of %s holds a NUL character", name)
		}
		if values[name] == "" && slices.Contains(deploy.KeyVariables, name) {
			return nil, nil, fmt.Errorf("%s is empty; to remove it, use `selvedge secrets unset %s`", name, name)
		}
	}
	if len(values) == 0 {
		return nil, nil, errors.New("there is nothing to set; give NAME, NAME=VALUE, or --env-file FILE")
	}
	return values, skipped, nil
}

// readBare reads the values of names that came without one.
func (in *secretInput) readBare(ctx context.Context, s Streams, names []string, values map[string]string) error {
	switch {
	case in.fromFile != "" && len(names) != 1:
		return errors.New("--from-file has one value; give one NAME")
	case len(names) == 0:
		return nil
	case in.fromFile != "" && in.fromFile != "-":
		b, err := os.ReadFile(in.fromFile)
		if err != nil {
			return fmt.Errorf("read the value of %s: %w", names[0], err)
		}
		values[names[0]] = withoutLineEnd(b)
		return nil
	case isTerminal(s.In):
		for _, name := range names {
			value, err := askSecret(ctx, s, "Value of "+name+": ")
			if err != nil {
				return err
			}
			values[name] = value
		}
		return nil
	case len(names) > 1:
		return errors.New("stdin has one value only; set one NAME at a time, or use --env-file -")
	}
	b, err := readSome(s.In)
	if err != nil {
		return fmt.Errorf("read the value of %s from stdin: %w", names[0], err)
	}
	if values[names[0]] = withoutLineEnd(b); values[names[0]] == "" {
		return fmt.Errorf("stdin has no value for %s", names[0])
	}
	return nil
}

// withoutLineEnd is a file's content without the end of its last line, which
// editors and echo add.
func withoutLineEnd(b []byte) string {
	return strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
}

func readEnvFile(stdin io.Reader, file string) (map[string]string, error) {
	if file != "-" {
		return function.ReadDotenv(file, file)
	}
	b, err := readSome(stdin)
	if err != nil {
		return nil, fmt.Errorf("read stdin: %w", err)
	}
	return function.ParseDotenv(b, "stdin")
}

func readSome(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxSecretInput+1))
	if err == nil && len(b) > maxSecretInput {
		err = fmt.Errorf("it has more than %d bytes", maxSecretInput)
	}
	return b, err
}

// checkSecretName refuses what cannot be set, or is set by other means.
func checkSecretName(name string) error {
	switch {
	case slices.Contains(deploy.KeyVariables, name):
		return nil
	case !function.ValidEnvName(name):
		return fmt.Errorf("%q is no name of a variable; use letters, digits and _", name)
	case name == "SUPABASE_URL":
		return errors.New("SUPABASE_URL is a setting of the deployment: --set supabase_url=URL at a deploy, or supabase_url in selvedge.toml")
	case function.ReservedEnv(name):
		return fmt.Errorf("names that start with SUPABASE_ are the platform's; of them, secrets take %s", strings.Join(reservedKeys(), ", "))
	}
	return nil
}

func reservedKeys() []string {
	return slices.DeleteFunc(slices.Clone(deploy.KeyVariables), func(name string) bool { return !function.ReservedEnv(name) })
}

var errAskInterrupted = errors.New("interrupted; nothing was changed")

// askSecret asks on the terminal, which does not show the answer. An interrupt
// leaves the terminal as it was.
func askSecret(ctx context.Context, s Streams, question string) (string, error) {
	f := s.In.(*os.File)
	fd := int(f.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return "", err
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	fmt.Fprint(s.Err, question)
	type answer struct {
		text []byte
		err  error
	}
	answers := make(chan answer, 1)
	go func() { // ends with the program where nobody answers
		text, err := term.ReadPassword(fd)
		answers <- answer{text, err}
	}()
	select {
	case <-ctx.Done():
		_ = term.Restore(fd, before)
		fmt.Fprintln(s.Err)
		return "", errAskInterrupted
	case a := <-answers:
		fmt.Fprintln(s.Err)
		if a.err == nil && len(a.text) == 0 {
			a.err = errors.New("nothing was typed")
		}
		return string(a.text), a.err
	}
}
