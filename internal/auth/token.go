package auth

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// A Token is a JWT that was taken apart. Nothing about it is verified.
type Token struct {
	// Header and Claims are what the token holds, as JSON. Claims may be
	// anything where the signature was not checked.
	Header, Claims []byte
	// Algorithm and KeyID are the header's "alg" and "kid", "" for no kid.
	Algorithm, KeyID string

	signed    string
	signature []byte
	// defect is what in the header makes the token unacceptable, "" for
	// nothing.
	defect string
}

// b64 is base64url as tokens have it (RFC 7515, section 2): without padding,
// and only in the one canonical spelling.
var b64 = base64.RawURLEncoding.Strict()

// Decode takes a token apart. The Failure is that of the contract for what is
// no token.
func Decode(token string) (*Token, *Failure) {
	if len(token) > MaxToken {
		return nil, malformed(fmt.Sprintf("it has %d bytes, more than %d", len(token), MaxToken))
	}
	if strings.HasPrefix(token, "sb_") {
		return nil, malformed("it is an API key, but none of those configured")
	}
	if strings.ContainsAny(token, "\r\n") {
		return nil, malformed("it holds a line break") // base64 would skip it
	}
	head, rest, _ := strings.Cut(token, ".")
	payload, signature, ok := strings.Cut(rest, ".")
	if !ok || strings.Contains(signature, ".") {
		return nil, malformed("it does not consist of three parts with dots between them")
	}
	t := &Token{signed: token[:len(token)-len(signature)-1]}
	for _, part := range []struct {
		name, text string
		to         *[]byte
	}{{"header", head, &t.Header}, {"payload", payload, &t.Claims}, {"signature", signature, &t.signature}} {
		var err error
		if *part.to, err = b64.DecodeString(part.text); err != nil {
			return nil, malformed("its " + part.name + " is not base64url")
		}
	}
	if reason := t.readHeader(); reason != "" {
		return nil, malformed(reason)
	}
	return t, nil
}

// readHeader reads the members that matter, by their exact names: a struct
// would also take "ALG" for "alg".
func (t *Token) readHeader() string {
	var header map[string]json.RawMessage
	if json.Unmarshal(t.Header, &header) != nil || header == nil {
		return "its header is no JSON object"
	}
	if json.Unmarshal(header["alg"], &t.Algorithm) != nil || t.Algorithm == "" {
		return "its header names no algorithm"
	}
	if kid, ok := header["kid"]; ok {
		if json.Unmarshal(kid, &t.KeyID) != nil {
			t.defect = "its kid is no string"
		}
	}
	if _, ok := header["crit"]; ok {
		// RFC 7515, section 4.1.11: what is critical and not understood makes
		// the token invalid, and we understand none.
		t.defect = "its header has critical extensions"
	}
	return ""
}

// claims are those that decide, or are told on.
type claims struct {
	role, subject      string
	expires, notBefore time.Time // zero for none
}

func (t *Token) claims() (claims, error) {
	var all map[string]json.RawMessage
	if json.Unmarshal(t.Claims, &all) != nil || all == nil {
		return claims{}, errors.New("its payload is no JSON object")
	}
	var c claims
	// A role or subject of another type is the function's to make sense of.
	_ = json.Unmarshal(all["role"], &c.role)
	_ = json.Unmarshal(all["sub"], &c.subject)
	for name, to := range map[string]*time.Time{"exp": &c.expires, "nbf": &c.notBefore} {
		if raw, ok := all[name]; ok {
			var err error
			if *to, err = numericDate(raw); err != nil {
				return claims{}, fmt.Errorf("its %s %w", name, err)
			}
		}
	}
	return c, nil
}

// numericDate reads seconds since 1970 (RFC 7519, section 2), which may have a
// fraction.
func numericDate(raw json.RawMessage) (time.Time, error) {
	var seconds *float64
	if json.Unmarshal(raw, &seconds) != nil || seconds == nil {
		return time.Time{}, errors.New("is no number of seconds")
	}
	// Beyond the year 9999 a conversion could overflow, and somewhere before
	// 1970 lies the time that stands for none.
	const most = 253402300799
	s := min(max(*seconds, 0), most)
	whole := int64(s)
	return time.Unix(whole, int64((s-float64(whole))*1e9)), nil
}

// check compares the claims with the time.
func (c *claims) check(now time.Time) error {
	if !c.expires.IsZero() && !now.Before(c.expires.Add(Leeway)) {
		return fmt.Errorf("it expired %s ago", now.Sub(c.expires).Round(time.Second))
	}
	if !c.notBefore.IsZero() && now.Before(c.notBefore.Add(-Leeway)) {
		return fmt.Errorf("it is not valid for another %s", c.notBefore.Sub(now).Round(time.Second))
	}
	return nil
}
