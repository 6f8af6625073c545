package auth

import (
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// TestLocalKeys compares with what `supabase status` prints on every machine.
func TestLocalKeys(t *testing.T) {
	k := LocalKeys()
	const anon = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJzdXBhYmFzZS1kZW1vIiwicm9sZSI6ImFub24iLCJleHAiOjE5ODM4MTI5OTZ9.CRXP1A7WOeoJeXxjNni43kdQwgnWNReilDMblYTn_I0"
	const service = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJzdXBhYmFzZS1kZW1vIiwicm9sZSI6InNlcnZpY2Vfcm9sZSIsImV4cCI6MTk4MzgxMjk5Nn0.EGIM96RAZx35lJzdJsyH-qQwv8Hdp7fsn3W0YpN81IU"
	if k.AnonKey != anon || k.ServiceRoleKey != service {
		t.Errorf("anon %s\nservice_role %s", k.AnonKey, k.ServiceRoleKey)
	}
	acceptsItsOwn(t, k)
}

func TestNewKeys(t *testing.T) {
	now := time.Now()
	a, err := NewKeys(now)
	if err != nil {
		t.Fatal(err)
	}
	b, err := NewKeys(now)
	if err != nil {
		t.Fatal(err)
	}
	if a.JWTSecret == b.JWTSecret || a.Publishable == b.Publishable || a.Secret == b.Secret {
		t.Error("twice the same keys")
	}
	if len(a.JWTSecret) != 64 || len(a.Publishable) != len(LocalPublishableKey) || len(a.Secret) != len(LocalSecretKey) {
		t.Errorf("unlike Supabase's: %+v", a)
	}
	acceptsItsOwn(t, a)
	var c jwt.MapClaims
	token, err := jwt.ParseWithClaims(a.ServiceRoleKey, &c, func(*jwt.Token) (any, error) { return []byte(a.JWTSecret), nil },
		jwt.WithValidMethods([]string{"HS256"}), jwt.WithIssuedAt(), jwt.WithExpirationRequired(), jwt.WithIssuer("supabase"))
	if err != nil || !token.Valid || c["role"] != "service_role" {
		t.Fatalf("%v, %v", c, err)
	}
	if exp, err := c.GetExpirationTime(); err != nil || exp.Unix() != now.AddDate(10, 0, 0).Unix() {
		t.Errorf("exp %v, %v", exp, err)
	}
	refused(t, newVerifier(t, Options{JWTSecret: b.JWTSecret}), a.AnonKey, CodeLegacy, "")
}

func acceptsItsOwn(t *testing.T, k Keys) {
	t.Helper()
	v := newVerifier(t, Options{JWTSecret: k.JWTSecret,
		PublishableKeys: map[string]string{"default": k.Publishable}, SecretKeys: map[string]string{"default": k.Secret}})
	for key, role := range map[string]string{
		k.AnonKey: "anon", k.ServiceRoleKey: "service_role", k.Publishable: "anon", k.Secret: "service_role",
	} {
		if id := accepted(t, v, key); id.Role != role {
			t.Errorf("%s is %+v", key, id)
		}
	}
}

func TestSign(t *testing.T) {
	if _, err := Sign("", map[string]any{}); err == nil || !strings.Contains(err.Error(), "empty") {
		t.Errorf("an empty secret: %v", err)
	}
	if _, err := Sign("x", make(chan int)); err == nil {
		t.Error("a channel is no claims")
	}
	a, _ := Sign("x", map[string]any{"b": 1, "a": 2})
	b, _ := Sign("x", map[string]any{"a": 2, "b": 1})
	if a != b || a == "" {
		t.Error("the same claims make different tokens")
	}
}
