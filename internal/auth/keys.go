package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// keyLife is how long anon and service_role keys hold, as on the hosted
// platform.
const keyLife = 10 // years

// Keys are a project's.
type Keys struct {
	JWTSecret, AnonKey, ServiceRoleKey string
	// Publishable and Secret are the API keys that follow anon and
	// service_role.
	Publishable, Secret string
}

// keyClaims are the claims of anon and service_role keys, in the order in
// which Supabase writes them.
type keyClaims struct {
	Issuer    string `json:"iss"`
	Role      string `json:"role"`
	IssuedAt  int64  `json:"iat,omitempty"`
	ExpiresAt int64  `json:"exp"`
}

// NewKeys makes new keys.
func NewKeys(now time.Time) (Keys, error) {
	var secret [32]byte
	_, _ = rand.Read(secret[:]) // never fails
	k := Keys{
		// Hexadecimal, because it needs quotes nowhere.
		JWTSecret:   hex.EncodeToString(secret[:]),
		Publishable: newAPIKey(PublishablePrefix),
		Secret:      newAPIKey(SecretPrefix),
	}
	err := k.sign(keyClaims{Issuer: "supabase", IssuedAt: now.Unix(), ExpiresAt: now.AddDate(keyLife, 0, 0).Unix()})
	return k, err
}

// sign makes the anon and service_role keys.
func (k *Keys) sign(c keyClaims) (err error) {
	c.Role = "anon"
	if k.AnonKey, err = Sign(k.JWTSecret, c); err != nil {
		return err
	}
	c.Role = "service_role"
	k.ServiceRoleKey, err = Sign(k.JWTSecret, c)
	return err
}

// newAPIKey makes a key of the shape of Supabase's: 128 random bits and 8
// characters of checksum, by which scanners tell a key from its like. Only the
// whole of it is ever compared.
func newAPIKey(prefix string) string {
	var random [16]byte
	_, _ = rand.Read(random[:])
	body := prefix + base64.RawURLEncoding.EncodeToString(random[:])
	sum := sha256.Sum256([]byte(body))
	return body + "_" + base64.RawURLEncoding.EncodeToString(sum[:])[:8]
}

// header is that of every token signed here.
const header = `{"alg":"HS256","typ":"JWT"}`

// Sign makes an HS256 token of claims, which must marshal to a JSON object.
// The same claims make the same token.
func Sign(secret string, claims any) (string, error) {
	if secret == "" {
		return "", errors.New("sign token: the JWT secret is empty")
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	signed := b64.EncodeToString([]byte(header)) + "." + b64.EncodeToString(payload)
	signature, err := jwt.SigningMethodHS256.Sign(signed, []byte(secret))
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return signed + "." + b64.EncodeToString(signature), nil
}
