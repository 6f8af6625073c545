package auth

import (
	"crypto/sha256"
	"strings"
	"testing"
)

func TestDigest(t *testing.T) {
	plain := &digester{}
	if plain.of("a") != sha256.Sum256([]byte("a")) {
		t.Error("without AES-GCM it is not SHA-256")
	}
	one, other := newDigester(), newDigester()
	if one.aead == nil {
		t.Fatal("there is no AES-GCM")
	}
	token := strings.Repeat("token.", 40)
	first := one.of(token)
	one.of("another")
	if one.of(token) != first {
		t.Error("a token has two digests")
	}
	if one.of(token) == other.of(token) {
		t.Error("the digest does not depend on the key")
	}
	// Of all that differs in one bit or in its length, none has the same.
	seen := map[digest]string{one.of(""): "", one.of(token): token}
	add := func(s string) {
		d := one.of(s)
		if had, found := seen[d]; found {
			t.Errorf("%q and %q have the same digest", had, s)
		}
		seen[d] = s
	}
	for i := range 8 * len(token) {
		b := []byte(token)
		b[i/8] ^= 1 << (i % 8)
		add(string(b))
	}
	for i := 1; i < len(token); i++ {
		add(token[:i])
		add(token + strings.Repeat("\x00", i))
	}
	b := one.buffers.Get().(*digestBuffer)
	if strings.Trim(string(b.token[:cap(b.token)]), "\x00") != "" {
		t.Errorf("the last token is still there: %q", b.token[:cap(b.token)])
	}
	if n := testing.AllocsPerRun(100, func() { one.of(token) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
