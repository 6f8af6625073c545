package config

import (
	"slices"
	"strings"
	"testing"

	"github.com/selvedge-dev/selvedge/internal/function"
)

func TestPlatformEnv(t *testing.T) {
	const secret = "the-gateways-own-secret-of-40-characters"
	cwd := tree(t, map[string]string{"functions/a/index.ts": ""})
	c := mustResolve(t, cwd, Serve, []string{
		"JWT_SECRET=" + secret, "AWS_SECRET_ACCESS_KEY=" + secret, "AWS_REGION=x", "ECS_CONTAINER_METADATA_URI_V4=http://169.254.170.2", "PATH=/bin",
		"SUPABASE_URL=http://kong:8000", "ANON_KEY=anon", "SERVICE_ROLE_KEY=role", "SUPABASE_PUBLISHABLE_KEYS=sb_publishable_x", "SB_REGION=here",
		`SUPABASE_JWKS={"keys":[{"kty":"oct","k":"` + secret + `"},{"kty":"EC","kid":"1","x":"X","d":"` + secret + `"}]}`,
	})
	got := PlatformEnv(c, Worker{Project: "proj", Slug: "hello", Version: "3", ExecutionID: "id"})
	want := []string{
		"DENO_DEPLOYMENT_ID=proj_hello_3",
		"SB_EXECUTION_ID=id",
		"SB_REGION=here",
		"SUPABASE_ANON_KEY=anon",
		"SUPABASE_FUNCTION_SLUG=hello",
		`SUPABASE_JWKS={"keys":[{"kid":"1","kty":"EC","x":"X"}]}`,
		`SUPABASE_PUBLISHABLE_KEYS={"default":"sb_publishable_x"}`,
		"SUPABASE_SERVICE_ROLE_KEY=role",
		"SUPABASE_URL=http://kong:8000",
	}
	if !slices.Equal(got, want) {
		t.Errorf("\n got %q\nwant %q", got, want)
	}
	if strings.Contains(strings.Join(got, "\n"), secret) {
		t.Error("the gateway's secret is among the variables")
	}
}

func TestFunctionEnvPlatformWins(t *testing.T) {
	cwd := tree(t, map[string]string{"functions/a/index.ts": ""})
	c := mustResolve(t, cwd, Serve, []string{"SUPABASE_URL=http://kong:8000"})
	f := &function.Function{Slug: "a", Env: map[string]string{
		"MINE": "1", "EMPTY": "", "SUPABASE_URL": "http://evil", "SUPABASE_SERVICE_ROLE_KEY": "evil", "SB_REGION": "evil", "DENO_DEPLOYMENT_ID": "evil", "SB_EXECUTION_ID": "evil",
	}}
	got := FunctionEnv(c, f, Worker{Project: "p", Slug: "a", Version: "1", ExecutionID: "id"})
	want := []string{"DENO_DEPLOYMENT_ID=p_a_1", "EMPTY=", "MINE=1", "SB_EXECUTION_ID=id", "SB_REGION=local", "SUPABASE_FUNCTION_SLUG=a", "SUPABASE_URL=http://kong:8000"}
	if !slices.Equal(got, want) {
		t.Errorf("\n got %q\nwant %q", got, want)
	}
}
