package auth

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
)

const (
	// maxKeys bounds the keys of a set. Supabase's have one to three.
	maxKeys = 64
	// An RSA key below the least bits is refused by RFC 7518, section 3.3; one
	// above the most only costs time.
	leastRSABits, mostRSABits = 2048, 8192
)

// A key is a public one and what may be verified with it.
type key struct {
	id        string // "" for none
	algorithm string
	public    crypto.PublicKey
}

// A keySet is immutable.
type keySet struct {
	keys []key
	// ignored says why the other keys are not used.
	ignored []string
}

// find returns the keys of the algorithm with the kid; for no kid all of the
// algorithm, up to maxTries.
func (s *keySet) find(algorithm, kid string) []key {
	var found []key
	for _, k := range s.keys {
		if k.algorithm == algorithm && (kid == "" || k.id == kid) && len(found) < maxTries {
			found = append(found, k)
		}
	}
	return found
}

// has reports whether a key has the algorithm. A nil set has none.
func (s *keySet) has(algorithm string) bool {
	return s != nil && slices.ContainsFunc(s.keys, func(k key) bool { return k.algorithm == algorithm })
}

// A keySource finds the keys for a token.
type keySource interface {
	// find may wait for a fetch where the key is not known. It returns the set
	// that the keys are of.
	find(ctx context.Context, algorithm, kid string) ([]key, *keySet)
	current() *keySet
}

// inline is a set from the configuration.
type inline struct{ set *keySet }

func (s inline) find(_ context.Context, algorithm, kid string) ([]key, *keySet) {
	return s.set.find(algorithm, kid), s.set
}

func (s inline) current() *keySet { return s.set }

// A jwk is one key of a set (RFC 7517; RFC 7518, section 6; RFC 8037).
type jwk struct {
	Kty    string   `json:"kty"`
	Kid    string   `json:"kid"`
	Alg    string   `json:"alg"`
	Use    string   `json:"use"`
	KeyOps []string `json:"key_ops"`
	Crv    string   `json:"crv"`
	X      string   `json:"x"`
	Y      string   `json:"y"`
	N      string   `json:"n"`
	E      string   `json:"e"`
}

// parseKeySet reads a JSON Web Key Set. Keys that cannot verify a token are
// left out, so that one of a kind we do not know spoils no other.
func parseKeySet(text []byte) (*keySet, error) {
	var doc struct {
		Keys *[]json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &doc); err != nil || doc.Keys == nil {
		return nil, errors.New(`it is no JSON object with an array "keys"`)
	}
	if len(*doc.Keys) > maxKeys {
		return nil, fmt.Errorf("it has %d keys, more than %d", len(*doc.Keys), maxKeys)
	}
	set := &keySet{}
	for i, raw := range *doc.Keys {
		var j jwk
		err := json.Unmarshal(raw, &j)
		if err != nil || bytes.Equal(raw, []byte("null")) {
			set.ignored = append(set.ignored, fmt.Sprintf("key %d: it is no JSON object of a key", i))
			continue
		}
		k, err := j.key()
		if err != nil {
			set.ignored = append(set.ignored, fmt.Sprintf("key %d (%s): %v", i, presentable(j.Kid), err))
			continue
		}
		set.keys = append(set.keys, k)
	}
	return set, nil
}

// key makes a key of a JWK. It pins the algorithm: what the key is good for,
// and what its "alg" says if it has one.
func (j *jwk) key() (key, error) {
	if j.Use != "" && j.Use != "sig" {
		return key{}, errors.New("it is not for signatures")
	}
	if j.KeyOps != nil && !slices.Contains(j.KeyOps, "verify") {
		return key{}, errors.New("it is not for verifying")
	}
	k := key{id: j.Kid}
	var accepted []string
	var err error
	switch {
	case j.Kty == "EC" && j.Crv == "P-256":
		accepted = []string{"ES256"}
		k.public, err = j.ecdsa()
	case j.Kty == "RSA":
		accepted = []string{"RS256", "PS256"}
		k.public, err = j.rsa()
	case j.Kty == "OKP" && j.Crv == "Ed25519":
		accepted = []string{"EdDSA", "Ed25519"}
		k.public, err = j.ed25519()
	case j.Kty == "oct":
		return key{}, errors.New("it is symmetric, which only JWT_SECRET may be")
	default:
		return key{}, fmt.Errorf("its type %s %s is not known", presentable(j.Kty), presentable(j.Crv))
	}
	if err != nil {
		return key{}, err
	}
	if j.Alg != "" && !slices.Contains(accepted, j.Alg) {
		return key{}, fmt.Errorf("its algorithm %s is not supported", presentable(j.Alg))
	}
	k.algorithm = accepted[0]
	if j.Alg == "PS256" {
		k.algorithm = j.Alg
	}
	return k, nil
}

func (j *jwk) ecdsa() (crypto.PublicKey, error) {
	x, errX := b64.DecodeString(j.X)
	y, errY := b64.DecodeString(j.Y)
	if errX != nil || errY != nil || len(x) != 32 || len(y) != 32 {
		return nil, errors.New("its point is not two times 32 bytes of base64url")
	}
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, x, y))
	if err != nil {
		return nil, errors.New("its point is not on the curve")
	}
	return public, nil
}

func (j *jwk) rsa() (crypto.PublicKey, error) {
	n, errN := b64.DecodeString(j.N)
	e, errE := b64.DecodeString(j.E)
	if errN != nil || errE != nil {
		return nil, errors.New("its modulus or exponent is not base64url")
	}
	modulus, exponent := new(big.Int).SetBytes(n), new(big.Int).SetBytes(e)
	if bits := modulus.BitLen(); bits < leastRSABits || bits > mostRSABits {
		return nil, fmt.Errorf("it has %d bits, not %d to %d", bits, leastRSABits, mostRSABits)
	}
	// crypto/rsa takes no larger exponent; all in use are 65537.
	if exponent.BitLen() > 31 || exponent.Int64() < 3 || exponent.Bit(0) == 0 || modulus.Bit(0) == 0 {
		return nil, errors.New("its exponent or modulus cannot be one")
	}
	return &rsa.PublicKey{N: modulus, E: int(exponent.Int64())}, nil
}

func (j *jwk) ed25519() (crypto.PublicKey, error) {
	x, err := b64.DecodeString(j.X)
	if err != nil || len(x) != ed25519.PublicKeySize {
		return nil, errors.New("its point is not 32 bytes of base64url")
	}
	return ed25519.PublicKey(x), nil
}
