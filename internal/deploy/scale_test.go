package deploy

import (
	"maps"
	"strings"
	"testing"
)

func TestScaleChanges(t *testing.T) {
	stackOf := func(least, most string) *Stack {
		return &Stack{Name: "shop-production", Parameters: map[string]string{
			"ProjectName": "shop", "Environment": "production", "DesiredCount": least, "MaxCount": most, "CPU": "512", "Memory": "1024",
			"ImageUri": "x", "KeysSecretArn": "arn:aws:secretsmanager:eu-central-1:111122223333:secret:x", "KeysSecretVersion": strings.Repeat("0", 32),
		}}
	}
	for name, tt := range map[string]struct {
		least, most string
		scale       Scale
		want        map[string]string
		err         string
	}{
		"more":                 {"2", "10", Scale{Min: 4}, map[string]string{"DesiredCount": "4"}, ""},
		"as it is":             {"2", "10", Scale{Min: 2, Max: 10}, map[string]string{}, ""},
		"nothing":              {"2", "10", Scale{}, map[string]string{}, ""},
		"above the most":       {"2", "4", Scale{Min: 6}, map[string]string{"DesiredCount": "6", "MaxCount": "6"}, ""},
		"both":                 {"2", "10", Scale{Min: 1, Max: 3}, map[string]string{"DesiredCount": "1", "MaxCount": "3"}, ""},
		"most below the least": {"4", "10", Scale{Max: 3}, nil, "MaxCount"},
		"too many at least":    {"2", "10", Scale{Min: 11}, nil, "DesiredCount must be from 1 to 10, not 11"},
		"too many":             {"2", "10", Scale{Max: 1001}, nil, "MaxCount must be from 1 to 1000, not 1001"},
		"negative":             {"2", "10", Scale{Min: -1}, nil, "DesiredCount must be from 1 to 10, not -1"},
		"another template":     {"2", "", Scale{Min: 3}, nil, "no number for its parameter MaxCount"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := tt.scale.changes(stackOf(tt.least, tt.most))
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("got %v, %v, want %q", got, err, tt.err)
				}
				return
			}
			if err != nil || !maps.Equal(got, tt.want) {
				t.Errorf("got %v, %v, want %v", got, err, tt.want)
			}
		})
	}
	// What is wrong with other parameters is not this command's business.
	odd := stackOf("2", "10")
	odd.Parameters["CPU"] = "3"
	if _, err := (Scale{Min: 3}).changes(odd); err != nil {
		t.Errorf("%v", err)
	}
}
