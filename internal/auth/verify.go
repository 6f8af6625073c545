package auth

import (
	"context"
	"crypto/subtle"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// maxTries bounds the keys that one token without "kid" is checked with.
const maxTries = 8

// methods are the signature checks there are. Which of them a token gets is
// decided by the key it names, see keySet.find.
var methods = map[string]jwt.SigningMethod{
	"HS256": jwt.SigningMethodHS256,
	"ES256": jwt.SigningMethodES256,
	"RS256": jwt.SigningMethodRS256,
	"PS256": jwt.SigningMethodPS256,
	"EdDSA": jwt.SigningMethodEdDSA,
}

// Verify decides whether a request with the headers h may call a function. It
// looks at Authorization and, where that is missing, at apikey. The context
// bounds the wait for a key set; at is when the request came, which the token's
// times are compared with. Exactly one of Identity and Failure is set.
func (v *Verifier) Verify(ctx context.Context, h http.Header, at time.Time) (Identity, *Failure) {
	token, failure := credential(h)
	if failure != nil {
		return Identity{}, failure
	}
	return v.verify(ctx, token, at)
}

// credential finds what the caller presents. Headers that were sent twice are
// refused: the function might read the other one.
func credential(h http.Header) (string, *Failure) {
	if sent := h["Authorization"]; len(sent) > 1 {
		return "", malformed("Authorization was sent more than once")
	} else if len(sent) == 1 && sent[0] != "" {
		scheme, token, _ := strings.Cut(strings.TrimSpace(sent[0]), " ")
		if token = strings.TrimSpace(token); token == "" || !strings.EqualFold(scheme, "Bearer") {
			return "", malformed("Authorization is not of the form `Bearer TOKEN`")
		}
		return token, nil
	}
	if sent := h["Apikey"]; len(sent) > 1 {
		return "", malformed("apikey was sent more than once")
	} else if len(sent) == 1 {
		if token := strings.TrimSpace(sent[0]); token != "" {
			return token, nil
		}
	}
	return "", missing()
}

// VerifyToken is Verify for a bare token or API key, now.
func (v *Verifier) VerifyToken(ctx context.Context, token string) (Identity, *Failure) {
	return v.verify(ctx, token, time.Now())
}

func (v *Verifier) verify(ctx context.Context, token string, now time.Time) (Identity, *Failure) {
	if len(token) > MaxToken {
		return Identity{}, malformed(fmt.Sprintf("it has %d bytes, more than %d", len(token), MaxToken))
	}
	if v == nil {
		v = &Verifier{}
	}
	sum := digestOf(token)
	if id, ok := v.apiKey(&sum); ok {
		return id, nil
	}
	if id, ok := v.remembered(&sum, now); ok {
		return id, nil
	}
	t, failure := Decode(token)
	if failure != nil {
		return Identity{}, failure
	}
	keys, failure := v.verifySignature(ctx, t)
	if failure != nil {
		return Identity{}, failure
	}
	c, err := t.claims()
	if err == nil {
		err = c.check(now)
	}
	if err != nil {
		return Identity{}, invalid(t.Algorithm, err.Error())
	}
	id := Identity{Kind: KindToken, Role: c.role, Subject: c.subject, Expires: c.expires}
	v.cache.put(sum, id, keys)
	return id, nil
}

// apiKey compares with every key there is, in a time that does not depend on
// which one it is or how much of one is right.
func (v *Verifier) apiKey(sum *digest) (Identity, bool) {
	found := -1
	for i := range v.apiKeys {
		same := subtle.ConstantTimeCompare(v.apiKeys[i].digest[:], sum[:])
		found = subtle.ConstantTimeSelect(same, i, found)
	}
	if found < 0 {
		return Identity{}, false
	}
	return v.apiKeys[found].identity, true
}

// remembered looks a token up that was verified before. One that a key set
// verified counts only as long as that key set is the one in force.
func (v *Verifier) remembered(sum *digest, now time.Time) (Identity, bool) {
	if v.cache == nil {
		return Identity{}, false
	}
	id, keys, ok := v.cache.get(sum, now)
	if !ok || keys == nil {
		return id, ok
	}
	if v.remote != nil {
		v.remote.touch()
	}
	return id, keys == v.source.current()
}

// verifySignature checks a token with the keys of its algorithm, and returns
// the key set of the one that signed it, nil for the secret.
func (v *Verifier) verifySignature(ctx context.Context, t *Token) (*keySet, *Failure) {
	method := methods[t.Algorithm]
	switch {
	case method == nil:
		return nil, unsupported(t.Algorithm)
	case t.defect != "":
		return nil, invalid(t.Algorithm, t.defect)
	case len(t.signature) == 0:
		return nil, invalid(t.Algorithm, "it has no signature")
	case t.Algorithm == "HS256" && len(v.secret) == 0:
		return nil, invalid(t.Algorithm, "there is no JWT secret to check it with")
	case t.Algorithm == "HS256":
		if method.Verify(t.signed, t.signature, v.secret) != nil {
			return nil, invalid(t.Algorithm, "it was not signed with this JWT secret")
		}
		return nil, nil
	}
	if v.source == nil {
		return nil, v.noKey(t, nil)
	}
	candidates, set := v.source.find(ctx, t.Algorithm, t.KeyID)
	for _, k := range candidates {
		if method.Verify(t.signed, t.signature, k.public) == nil {
			return set, nil
		}
	}
	if len(candidates) == 0 {
		return nil, v.noKey(t, set)
	}
	return nil, invalid(t.Algorithm, "the signature does not match the key it names")
}

// noKey refuses a token that there is no key for. ES256 and RS256 are always
// known algorithms; the others are where a key set has a key of theirs.
func (v *Verifier) noKey(t *Token, set *keySet) *Failure {
	switch {
	case t.Algorithm != "ES256" && t.Algorithm != "RS256" && !set.has(t.Algorithm):
		return unsupported(t.Algorithm)
	case set == nil:
		return invalid(t.Algorithm, "there is no key set to check it with")
	case len(set.keys) == 0:
		return invalid(t.Algorithm, "the key set is empty or could not be fetched")
	case t.KeyID == "":
		return invalid(t.Algorithm, "the key set has no key for its algorithm")
	}
	return invalid(t.Algorithm, fmt.Sprintf("the key set has no %s key with its kid %.64q", t.Algorithm, t.KeyID))
}
