package config

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/selvedge-dev/selvedge/internal/docpart"
	"github.com/selvedge-dev/selvedge/internal/function"
)

var update = flag.Bool("update", false, "write the table of docs/configuration.md anew")

const docPath = "../../docs/configuration.md"

// TestSettingsAreDocumented keeps the table of docs/configuration.md that of
// the code.
func TestSettingsAreDocumented(t *testing.T) {
	part := docpart.Part{File: docPath, Name: "settings", Command: "go test ./internal/config -update"}
	keep := part.Compare
	if *update {
		keep = part.Replace
	}
	if err := keep(settingsTable()); err != nil {
		t.Error(err)
	}
}

// shownDefault is how a help text names a default that is no value.
var shownDefault = regexp.MustCompile(` \(default: (.*)\)$`)

func settingsTable() string {
	quote := func(s string) string {
		if s == "" {
			return ""
		}
		return "`" + s + "`"
	}
	var b strings.Builder
	b.WriteString("| flag | variable | default | meaning |\n|---|---|---|---|\n")
	for _, s := range settings() {
		flag := ""
		if s.flag != "" {
			flag = quote("--" + s.flag)
		}
		fallback := quote(s.defaultFor(Serve))
		if dev := quote(s.defaultFor(Dev)); s.has(Serve) && s.has(Dev) && dev != fallback {
			fallback = fmt.Sprintf("%s; `dev`: %s", fallback, dev)
			if dev == "" {
				fallback += "none"
			}
			fallback = strings.TrimPrefix(fallback, "; ")
		} else if !s.has(Serve) {
			fallback = dev
		}
		// The word in backquotes names the value, which a table shows apart.
		meaning := strings.ReplaceAll(s.help, "`", "")
		if meaning == "" {
			meaning = s.accepts
		}
		if m := shownDefault.FindStringSubmatch(meaning); m != nil {
			meaning, fallback = strings.TrimSuffix(meaning, m[0]), m[1]
		}
		if len(s.commands) == 1 {
			meaning += fmt.Sprintf(" (`%s` only)", s.commands[0])
		}
		fmt.Fprintf(&b, "| %s | `%s` | %s | %s |\n", flag, strings.Join(s.env, "`, `"), fallback, strings.ReplaceAll(meaning, "|", `\|`))
	}
	return b.String()
}

// TestKeysAreDocumented keeps the tables of config.toml's keys complete, and
// the defaults in them true.
func TestKeysAreDocumented(t *testing.T) {
	raw, err := os.ReadFile(docPath)
	if err != nil {
		t.Fatal(err)
	}
	_, page, _ := strings.Cut(string(raw), "\n## config.toml\n")
	documented := func(section string) map[string]string {
		_, rest, ok := strings.Cut(page, "\n### "+section+"\n")
		if !ok {
			t.Fatalf("%s has no section %s", docPath, section)
		}
		rest, _, _ = strings.Cut(rest, "\n#")
		rows := map[string]string{}
		for _, row := range regexp.MustCompile("(?m)^\\| (`.*?) \\| (.*?) \\| .*\\|$").FindAllStringSubmatch(rest, -1) {
			for _, key := range strings.Split(row[1], ", ") {
				rows[strings.Trim(key, "`")] = strings.Trim(row[2], "`")
			}
		}
		return rows
	}
	both := documented("In both")
	for section, keys := range map[string][]string{"`[functions.NAME]`": functionKeys, "`[edge_runtime]`": edgeRuntimeKeys, "In both": limitKeys} {
		rows := documented(section)
		for _, key := range keys {
			if _, ok := rows[key]; ok {
				delete(rows, key)
			} else if _, ok := both[key]; !ok {
				t.Errorf("%s does not name %s of %s", docPath, key, section)
			}
		}
		for _, key := range []string{"policy", "allow_net", "allow_net_dry_run"} {
			delete(rows, key)
		}
		for key := range rows {
			t.Errorf("%s has a row for %s in %s, which nobody reads", docPath, key, section)
		}
	}

	asJSON, err := json.Marshal(explainFunction(&function.Function{Limits: function.Defaults()}).Limits)
	if err != nil {
		t.Fatal(err)
	}
	var defaults map[string]any
	if err := json.Unmarshal(asJSON, &defaults); err != nil {
		t.Fatal(err)
	}
	for key, shown := range both {
		if !slices.Contains(limitKeys, key) {
			continue
		}
		if want := fmt.Sprint(defaults[key]); shown != want {
			t.Errorf("%s: the default of %s is %s, not %s", docPath, key, want, shown)
		}
	}
}
