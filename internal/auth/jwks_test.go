package auth

import (
	"fmt"
	"math/big"
	"strings"
	"testing"
)

func edited(kid string, edits ...any) map[string]any {
	j := jwkOf(kid)
	for i := 0; i < len(edits); i += 2 {
		if edits[i+1] == nil {
			delete(j, edits[i].(string))
		} else {
			j[edits[i].(string)] = edits[i+1]
		}
	}
	return j
}

func TestKeySetPinsAlgorithms(t *testing.T) {
	set, err := parseKeySet([]byte(jwks("ec", "rsa", "pss", "ed",
		edited("ec", "alg", nil, "use", nil, "key_ops", nil, "kid", nil),
		edited("pss", "alg", nil), edited("ed", "alg", "Ed25519"))))
	if err != nil || len(set.ignored) != 0 {
		t.Fatalf("%v, %v", set, err)
	}
	var got []string
	for _, k := range set.keys {
		got = append(got, k.id+":"+k.algorithm)
	}
	const want = "ec:ES256 rsa:RS256 pss:PS256 ed:EdDSA :ES256 pss:RS256 ed:EdDSA"
	if strings.Join(got, " ") != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestKeySetIgnores(t *testing.T) {
	small := u(new(big.Int).SetBit(big.NewInt(1), 1023, 1).Bytes())
	huge := u(new(big.Int).SetBit(big.NewInt(1), 9000, 1).Bytes())
	for name, tc := range map[string]struct {
		key  any
		want string
	}{
		"null":               {nil, "no JSON object"},
		"a number":           {7, "no JSON object"},
		"members of a type":  {map[string]any{"kty": 7}, "no JSON object"},
		"no type":            {map[string]any{}, "is not known"},
		"symmetric":          {map[string]any{"kty": "oct", "k": "AAAA"}, "symmetric"},
		"P-384":              {edited("ec", "crv", "P-384"), "is not known"},
		"X25519":             {edited("ed", "crv", "X25519"), "is not known"},
		"for encryption":     {edited("ec", "use", "enc"), "not for signatures"},
		"for signing":        {edited("ec", "key_ops", []string{"sign"}), "not for verifying"},
		"for nothing":        {edited("ec", "key_ops", []string{}), "not for verifying"},
		"EC as RS256":        {edited("ec", "alg", "RS256"), "not supported"},
		"RSA as HS256":       {edited("rsa", "alg", "HS256"), "not supported"},
		"RSA as none":        {edited("rsa", "alg", "none"), "not supported"},
		"off the curve":      {edited("ec", "x", jwkOf("ec2")["x"]), "not on the curve"},
		"at infinity":        {edited("ec", "x", u(make([]byte, 32)), "y", u(make([]byte, 32))), "not on the curve"},
		"a short point":      {edited("ec", "x", "AAAA"), "32 bytes"},
		"a point with =":     {edited("ec", "x", jwkOf("ec")["x"].(string)+"="), "32 bytes"},
		"a short RSA key":    {edited("rsa", "n", small), "1024 bits"},
		"a long RSA key":     {edited("rsa", "n", huge), "9001 bits"},
		"an even modulus":    {edited("rsa", "n", u(new(big.Int).Lsh(big.NewInt(1), 2047).Bytes())), "cannot be one"},
		"exponent 1":         {edited("rsa", "e", "AQ"), "cannot be one"},
		"exponent 0":         {edited("rsa", "e", ""), "cannot be one"},
		"exponent 2":         {edited("rsa", "e", "Ag"), "cannot be one"},
		"a huge exponent":    {edited("rsa", "e", u([]byte{1, 0, 0, 0, 0, 0, 0, 0, 1})), "cannot be one"},
		"modulus not base64": {edited("rsa", "n", "%"), "not base64url"},
		"a short Ed25519":    {edited("ed", "x", "AAAA"), "32 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			set, err := parseKeySet([]byte(jwks(tc.key, "ec2")))
			if err != nil {
				t.Fatal(err)
			}
			if len(set.keys) != 1 || set.keys[0].id != "ec2" {
				t.Fatalf("keys %+v", set.keys)
			}
			if len(set.ignored) != 1 || !strings.Contains(set.ignored[0], tc.want) {
				t.Errorf("ignored %q, want %q", set.ignored, tc.want)
			}
		})
	}
}

func TestKeySetRefuses(t *testing.T) {
	many := strings.Repeat(`{"kty":"oct"},`, maxKeys) + `{"kty":"oct"}`
	for _, text := range []string{``, `null`, `[]`, `{}`, `{"keys":null}`, `{"keys":{}}`, `{"keys":[]} x`, fmt.Sprintf(`{"keys":[%s]}`, many)} {
		if set, err := parseKeySet([]byte(text)); err == nil {
			t.Errorf("%.40s: %+v", text, set)
		}
	}
}
