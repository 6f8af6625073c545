package auth

import (
	"fmt"

	"github.com/selvedge-dev/selvedge/internal/function"
)

// The codes of the platform's 401 answers.
const (
	CodeMissing     function.Code = "UNAUTHORIZED_NO_AUTH_HEADER"
	CodeFormat      function.Code = "UNAUTHORIZED_INVALID_JWT_FORMAT"
	CodeLegacy      function.Code = "UNAUTHORIZED_LEGACY_JWT"
	CodeAsymmetric  function.Code = "UNAUTHORIZED_ASYMMETRIC_JWT"
	CodeUnsupported function.Code = "UNAUTHORIZED_UNSUPPORTED_TOKEN_ALGORITHM"
)

// A Failure says why a caller was refused.
type Failure struct {
	// Code and Message are for the caller.
	Code    function.Code
	Message string
	// Reason is for logs and `selvedge keys verify`: a clause about the token,
	// such as "it expired 5m0s ago". It holds no part of a secret.
	Reason string
}

func (f *Failure) Error() string { return fmt.Sprintf("%s: %s", f.Message, f.Reason) }

func missing() *Failure {
	return &Failure{CodeMissing, "Missing authorization header", "neither Authorization nor apikey was sent"}
}

func malformed(reason string) *Failure {
	return &Failure{CodeFormat, "Invalid JWT format", reason}
}

// invalid is a token that is one, but does not hold.
func invalid(algorithm, reason string) *Failure {
	code := CodeAsymmetric
	if algorithm == "HS256" {
		code = CodeLegacy
	}
	return &Failure{code, "Invalid JWT", reason}
}

func unsupported(algorithm string) *Failure {
	algorithm = presentable(algorithm)
	return &Failure{CodeUnsupported, "Unsupported JWT algorithm " + algorithm,
		fmt.Sprintf("no key here has the algorithm %s", algorithm)}
}

// presentable makes a stranger's text fit to be shown: the names of algorithms
// need nothing else.
func presentable(s string) string {
	const longest = 32
	b := []byte(s[:min(len(s), longest)])
	for i, c := range b {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '+', c == '.':
		default:
			b[i] = '?'
		}
	}
	return string(b)
}
