package config

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/BurntSushi/toml"

	"github.com/selvedge-dev/selvedge/internal/function"
	"github.com/selvedge-dev/selvedge/internal/suggest"
)

// A tomlKey is a value of the file under its full dotted name.
type tomlKey struct {
	name  string
	value toml.Primitive
}

// A tomlReader takes values out of a decoded file and collects what is wrong
// with them, so that a user sees all of it at once.
type tomlReader struct {
	md       *toml.MetaData
	file     string
	lookup   func(string) (string, bool)
	warnings []remark
	errors   []remark
}

// A remark is a sentence about a line of the file.
type remark struct {
	line int
	text string
}

// sorted returns the remarks as text, in the order of the file.
func (r *tomlReader) sorted(remarks []remark) []string {
	slices.SortStableFunc(remarks, func(a, b remark) int {
		return cmp.Or(cmp.Compare(a.line, b.line), strings.Compare(a.text, b.text))
	})
	var list []string
	for _, m := range remarks {
		list = append(list, m.text)
	}
	return list
}

func (r *tomlReader) remark(key tomlKey, format string, args ...any) remark {
	line, where := r.line(key), r.file
	if line > 0 {
		where = fmt.Sprintf("%s:%d", r.file, line)
	}
	return remark{line, fmt.Sprintf("%s: %s: ", where, key.name) + fmt.Sprintf(format, args...)}
}

func (r *tomlReader) warn(key tomlKey, format string, args ...any) {
	r.warnings = append(r.warnings, r.remark(key, format, args...))
}

func (r *tomlReader) fail(key tomlKey, format string, args ...any) {
	r.errors = append(r.errors, r.remark(key, format, args...))
}

// wrongType reports a value that is not what the key holds.
func (r *tomlReader) wrongType(key tomlKey, want string) {
	r.fail(key, "it is %s; write %s", typeName(r.raw(key)), want)
}

// unknown warns of a key that nobody reads.
func (r *tomlReader) unknown(key tomlKey, name, table string, known []string) {
	hint := "it is ignored"
	if near := suggest.Nearest(name, known); near != "" {
		hint = fmt.Sprintf("did you mean %s? It is ignored", near)
	}
	r.warn(key, "[%s] has no such key; %s", table, hint)
}

// raw returns the value as the decoder's own type.
func (r *tomlReader) raw(key tomlKey) any {
	var v any
	if err := r.md.PrimitiveDecode(key.value, &v); err != nil {
		return nil
	}
	return v
}

// A refusal takes no value: decoding into one fails with the value's position,
// the only way in which the decoder tells it.
type refusal struct{}

var errRefused = errors.New("refused")

// UnmarshalTOML always fails.
func (*refusal) UnmarshalTOML(any) error { return errRefused }

// line returns the line of a key, 0 where it is not known.
func (r *tomlReader) line(key tomlKey) int {
	var bad toml.ParseError
	if err := r.md.PrimitiveDecode(key.value, &refusal{}); errors.As(err, &bad) {
		return bad.Position.Line
	}
	return 0
}

// table returns the keys of a table, sorted by name.
func (r *tomlReader) table(key tomlKey) []tomlKey {
	if _, ok := r.raw(key).(map[string]any); !ok {
		r.wrongType(key, "a table, ["+key.name+"]")
		return nil
	}
	var values map[string]toml.Primitive
	if err := r.md.PrimitiveDecode(key.value, &values); err != nil {
		r.fail(key, "it cannot be read: %v", err)
		return nil
	}
	var keys []tomlKey
	for _, name := range slices.Sorted(maps.Keys(values)) {
		keys = append(keys, tomlKey{key.name + "." + name, values[name]})
	}
	return keys
}

func (r *tomlReader) boolean(key tomlKey) bool {
	v, ok := r.raw(key).(bool)
	if !ok {
		r.wrongType(key, "true or false, without quotes")
	}
	return v
}

func (r *tomlReader) integer(key tomlKey, least, most int) int {
	v, ok := r.raw(key).(int64)
	if !ok {
		r.wrongType(key, "a whole number")
		return 0
	}
	if v < int64(least) || v > int64(most) {
		r.fail(key, "%d is out of range; write a number from %d to %d", v, least, most)
		return 0
	}
	return int(v)
}

// text returns a string with env(NAME) replaced, and whether there is one: a
// variable that is not set leaves none.
func (r *tomlReader) text(key tomlKey) (string, bool) {
	v, ok := r.raw(key).(string)
	if !ok {
		r.wrongType(key, "a text in quotes")
		return "", false
	}
	return r.expand(key, v)
}

func (r *tomlReader) texts(key tomlKey) []string {
	list, ok := r.raw(key).([]any)
	if !ok {
		r.wrongType(key, `a list of texts, such as ["./functions/hello/*.html"]`)
		return nil
	}
	var texts []string
	for i, v := range list {
		text, ok := v.(string)
		if !ok {
			r.fail(key, "its item %d is %s; write a text in quotes", i+1, typeName(v))
			continue
		}
		if text, ok = r.expand(key, text); ok {
			texts = append(texts, text)
		}
	}
	return texts
}

// envCall is how a value of config.toml names a variable, as the Supabase CLI
// has it: the whole value, nothing around it.
var envCall = regexp.MustCompile(`\Aenv\((.*)\)\z`)

func (r *tomlReader) expand(key tomlKey, value string) (string, bool) {
	match := envCall.FindStringSubmatch(value)
	if match == nil {
		return value, true
	}
	found, ok := r.lookup(match[1])
	if !ok || found == "" {
		r.warn(key, "the variable %s is not set, so the key counts as missing; set it in the environment Selvedge runs in", match[1])
		return "", false
	}
	return found, true
}

func (r *tomlReader) policy(key tomlKey) function.Policy {
	text, ok := r.text(key)
	policy := function.Policy(text)
	if ok && !policy.Valid() {
		r.fail(key, "the policy %q is not known; write %q, %q or %q", text, function.PerWorker, function.PerRequest, function.OneShot)
	}
	return policy
}

// places returns a list of places that a function may connect to.
func (r *tomlReader) places(key tomlKey) []string {
	if _, ok := r.raw(key).([]any); !ok {
		r.wrongType(key, `a list of places, such as ["api.example.com:443"]`)
		return nil
	}
	places, err := function.ParseAllowNet(r.texts(key))
	var bad interface{ Unwrap() []error }
	if errors.As(err, &bad) {
		for _, err := range bad.Unwrap() {
			r.fail(key, "%v", err)
		}
	}
	return places
}

// rateForms completes "write …" and "use …".
const rateForms = `"100/s", "100/m", "1000/h", "100/s burst 200" or "off"`

func (r *tomlReader) rate(key tomlKey) function.Rate {
	if _, ok := r.raw(key).(string); !ok {
		r.wrongType(key, "a text such as "+rateForms)
		return function.Rate{}
	}
	text, ok := r.text(key)
	if !ok {
		return function.Rate{}
	}
	rate, err := function.ParseRate(text)
	if err != nil {
		r.fail(key, "%q: %v; write %s", text, err, rateForms)
	}
	return rate
}

// maxQueue is the most requests that can be let wait for one function.
const maxQueue = 1_000_000

// queueDepth is what a number that a user gave means in function.Limits.
func queueDepth(n int) int {
	if n == 0 {
		return function.NoQueue
	}
	return n
}

// variables returns a table of environment variables.
func (r *tomlReader) variables(table tomlKey) map[string]string {
	env := map[string]string{}
	for _, key := range r.table(table) {
		name := strings.TrimPrefix(key.name, table.name+".")
		if !function.ValidEnvName(name) {
			r.fail(key, "%q cannot name a variable; use letters, digits and _, and no digit first", name)
			continue
		}
		value, ok := r.text(key)
		switch {
		case !ok:
		case strings.HasPrefix(value, "encrypted:"):
			r.warn(key, "the value is encrypted with dotenvx, which Selvedge cannot open; the variable is left out, give it in plain text in functions/.env or as env(%s)", name)
		case strings.ContainsRune(value, 0):
			r.fail(key, "the value holds a NUL byte, which no variable can")
		default:
			env[name] = value
		}
	}
	return env
}

// leastMemoryMB is the least memory that a worker can do with.
const leastMemoryMB = 32

const (
	// leastOpenFiles is what Deno itself needs, and some for the function.
	leastOpenFiles = 64
	mostLogLines   = 1_000_000
)

// limitKeys are Selvedge's own keys, in [edge_runtime] and [functions.<slug>].
var limitKeys = []string{
	"memory_mb", "tmp_mb", "open_files", "log_lines_s", "cpu_ms", "timeout_s", "idle_timeout_s", "max_workers", "max_concurrency",
	"max_queue", "queue_timeout_s", "rate_limit", "max_body_mb",
}

// limit reads a limit key; it reports whether name is one. The bounds keep
// times within a week, and anything within what a machine can have.
func (r *tomlReader) limit(l *function.Limits, name string, key tomlKey) bool {
	const week = 7 * 24 * 60 * 60
	switch name {
	case "memory_mb":
		l.MemoryMB = r.integer(key, leastMemoryMB, 1<<20)
	case "tmp_mb":
		l.TmpMB = r.integer(key, 1, 1<<20)
	case "open_files":
		l.OpenFiles = r.integer(key, leastOpenFiles, function.MaxOpenFiles)
	case "log_lines_s":
		l.LogLines = r.integer(key, 1, mostLogLines)
	case "cpu_ms":
		l.CPUHard = time.Duration(r.integer(key, 1, week*1000)) * time.Millisecond
		// The soft limit retires a worker before the hard one kills it; the
		// hosted platform has it at half.
		l.CPUSoft = l.CPUHard / 2
	case "timeout_s":
		l.WallClock = time.Duration(r.integer(key, 1, week)) * time.Second
	case "idle_timeout_s":
		l.RequestIdle = time.Duration(r.integer(key, 1, week)) * time.Second
	case "max_workers":
		l.MaxWorkers = r.integer(key, 1, 10000)
	case "max_concurrency":
		l.MaxConcurrency = r.integer(key, 1, 1000000)
	case "max_queue":
		l.MaxQueue = queueDepth(r.integer(key, 0, maxQueue))
	case "queue_timeout_s":
		l.QueueTime = time.Duration(r.integer(key, 1, week)) * time.Second
	case "rate_limit":
		l.Rate = r.rate(key)
	case "max_body_mb":
		l.MaxBody = r.body(key)
	default:
		return false
	}
	return true
}

// typeName says what a value is, for people.
func typeName(v any) string {
	switch v.(type) {
	case string:
		return "a text"
	case bool:
		return "true or false"
	case int64:
		return "a whole number"
	case float64:
		return "a number with a fraction"
	case time.Time:
		return "a date"
	case []any:
		return "a list"
	case []map[string]any:
		return "a list of tables"
	case map[string]any:
		return "a table"
	}
	return "of another type"
}
