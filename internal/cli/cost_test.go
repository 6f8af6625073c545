package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// runAt runs a command in a folder, without AWS variables of the machine.
func runAt(t *testing.T, dir string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	t.Chdir(dir)
	for _, name := range []string{"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_ACCESS_KEY_ID"} {
		t.Setenv(name, "")
	}
	var out, errs bytes.Buffer
	code = Main(t.Context(), args, Streams{In: bytes.NewReader(nil), Out: &out, Err: &errs})
	return out.String(), errs.String(), code
}

func TestCost(t *testing.T) {
	dir := t.TempDir()
	settings := "[deploy]\nregion = \"eu-central-1\"\ncpu_architecture = \"ARM64\"\n[deploy.env.staging]\ndesired_count = 1\ncpu = 256\nmemory = 512\n"
	if err := os.WriteFile(dir+"/selvedge.toml", []byte(settings), 0o644); err != nil {
		t.Fatal(err)
	}
	read := func(args ...string) (got struct {
		Stack, Currency string
		Region          string `json:"prices_region"`
		USD             float64
		Items           []struct{ Name string }
	}) {
		out, errs, code := runAt(t, dir, append([]string{"cost", "--json"}, args...)...)
		if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 || errs != "" {
			t.Fatalf("%v: %v, exit code %d: %s%s", args, err, code, out, errs)
		}
		return got
	}
	if got := read(); got.Stack != "supabase-edge-runtime-production" || got.Currency != "USD" || got.Region != "us-east-1" || got.USD != 64.02 || len(got.Items) != 11 {
		t.Errorf("%+v", got)
	}
	if got := read("--env", "staging", "--project", "shop"); got.Stack != "shop-staging" || got.USD != 38.74 {
		t.Errorf("%+v", got)
	}
	if got := read("--set", "NetworkMode=private-nat", "--logs-gb", "0", "--requests=0", "--tasks=3.5", "--nat-gb=0"); len(got.Items) != 12 || got.USD < 90 || got.USD > 120 {
		t.Errorf("%+v", got)
	}

	out, errs, code := runAt(t, dir, "cost")
	if code != 0 || !strings.Contains(out, "Fargate                  28.84  2 tasks of 0.5 vCPU and 1 GB, ARM64\n") || !strings.Contains(out, "Total                    64.02\n") {
		t.Errorf("exit code %d: %s", code, out)
	}
	if !strings.Contains(errs, "eu-central-1 has its own") {
		t.Errorf("it does not say whose prices these are: %q", errs)
	}

	for want, args := range map[string][]string{
		"With CPU 256, Memory must be":      {"--set", "cpu=256", "--set", "memory=4096"},
		"between 2 and 10 tasks":            {"--tasks", "11"},
		"requests cannot be -1":             {"--requests=-1"},
		"did you mean cpu?":                 {"--set", "cpus=1"},
		"DesiredCount must be from 1 to 10": {"--set", "desired_count=99", "--set", "max_count=100"},
	} {
		if _, errs, code := runAt(t, dir, append([]string{"cost"}, args...)...); code != 2 || !strings.Contains(errs, want) {
			t.Errorf("%v: exit code %d: %s", args, code, errs)
		}
	}
}
