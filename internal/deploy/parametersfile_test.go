package deploy

import (
	"strings"
	"testing"

	"github.com/selvedge-dev/selvedge/internal/stack"
)

// TestCommittedParametersWorkForNobody reads the parameters.json that people
// start from. All of it is understood, and its keys are refused by name.
func TestCommittedParametersWorkForNobody(t *testing.T) {
	s, err := Resolve(Source{ParametersFile: "../../parameters.json"})
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Warnings) > 0 || len(s.Keys) != 3 {
		t.Errorf("warnings %q, %d keys", s.Warnings, len(s.Keys))
	}
	given := map[string]string{}
	for name, v := range s.Parameters {
		given[name] = v.Text
		if p, ok := stack.Service().Parameter(name); !ok || p.Default != v.Text {
			t.Errorf("%s is %s, and %s by default", name, v.Text, p.Default)
		}
	}
	if len(given) != 6 {
		t.Errorf("it sets %v", given)
	}
	for name, key := range s.Keys {
		if !isPlaceholder(key.Text) {
			t.Errorf("%s is no example", name)
		}
		o := &Operator{Settings: &Settings{Names: s.Names, Keys: map[string]Value{name: key}}}
		if _, err := o.chooseKeys(t.Context(), KeySource{}, nil); err == nil || !strings.Contains(err.Error(), name+" in ") || !strings.Contains(err.Error(), "is only an example") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}
