package deploy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/ssocreds"
	"github.com/aws/smithy-go"
)

// A Problem is a failure as it is told to somebody who need not know AWS.
type Problem struct {
	// What happened, in a few words; Why is the cause, "" where What says it.
	What, Why string
	// Details are further lines: events, reasons of stopped tasks, log lines.
	Details []string
	// State says what is the case now: what changed, and what did not.
	State string
	// Next are things to do, most of them commands.
	Next []string
	// Usage means that flags or files are wrong and nothing was done.
	Usage bool
	// Err is what brought it about, nil for none.
	Err error
}

// Error returns all of it, the first line being enough for a log.
func (p *Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.What)
	if p.Why != "" {
		b.WriteString(": " + p.Why)
	}
	for _, line := range p.Details {
		b.WriteString("\n  " + line)
	}
	if p.State != "" {
		b.WriteString("\n  " + p.State)
	}
	for _, line := range p.Next {
		b.WriteString("\n  next: " + line)
	}
	return b.String()
}

func (p *Problem) Unwrap() error { return p.Err }

// Codes of AWS's errors, by what they mean here.
var (
	expiredCodes   = []string{"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
	unknownCodes   = []string{"InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch", "InvalidSignatureException", "AuthFailure", "InvalidAccessKeyId", "IncompleteSignature", "MissingAuthenticationToken"}
	deniedCodes    = []string{"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "UnauthorizedAccess"}
	throttledCodes = []string{"Throttling", "ThrottlingException", "ThrottledException", "RequestLimitExceeded", "TooManyRequestsException", "RequestThrottled", "RequestThrottledException", "SlowDown"}
	absentCodes    = []string{"ResourceNotFoundException", "RepositoryNotFoundException", "ClusterNotFoundException", "ServiceNotFoundException", "ChangeSetNotFound", "ChangeSetNotFoundException", "ImageNotFoundException", "TargetGroupNotFound", "NoSuchEntity"}
)

// hasCode reports whether AWS answered with one of the codes.
func hasCode(err error, codes ...string) bool {
	var api smithy.APIError
	return errors.As(err, &api) && slices.Contains(codes, api.ErrorCode())
}

// isAbsent reports whether AWS said that something is not there.
func isAbsent(err error) bool {
	if hasCode(err, absentCodes...) {
		return true
	}
	var api smithy.APIError // CloudFormation has no code for it
	return errors.As(err, &api) && api.ErrorCode() == "ValidationError" && strings.Contains(api.ErrorMessage(), "does not exist")
}

func isMissingProfile(err error) bool {
	var missing config.SharedConfigProfileNotExistError
	return errors.As(err, &missing)
}

// Explain makes a Problem of the error of a call, doing being what it was for:
// "read the stack shop-production". An interrupt, and what is a Problem
// already, stay as they are.
func (c *Clients) Explain(doing string, err error) error {
	var known *Problem
	if err == nil || errors.As(err, &known) || errors.Is(err, context.Canceled) {
		return err
	}
	p := &Problem{What: "could not " + doing, Why: reason(err), Err: err}
	login := "aws sso login"
	if c.Profile != "" {
		login += " --profile " + c.Profile
	}
	var sso *ssocreds.InvalidTokenError
	var api smithy.APIError
	var network *net.OpError
	var dns *net.DNSError
	switch {
	case hasCode(err, expiredCodes...), errors.As(err, &sso):
		p.Why = "the AWS credentials have expired"
		p.Next = []string{"get new ones (" + login + ", or set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN again), then run the command again"}
	case hasCode(err, unknownCodes...):
		p.Why = "AWS does not accept the credentials: " + reason(err)
		p.Next = []string{"see which ones are used: aws configure list", "choose others with --profile or AWS_PROFILE"}
	case hasCode(err, deniedCodes...):
		p.Why = "the credentials do not allow it: " + reason(err)
		p.Next = []string{"have the policy of docs/aws.md attached to them, or choose others with --profile"}
	case hasCode(err, throttledCodes...):
		p.Why = "AWS said that calls come too fast, also after waiting"
		p.Next = []string{"something else in the account calls it a lot; run the command again in a minute"}
	case errors.As(err, &api):
	case noCredentials(err):
		p.Why = "there are no AWS credentials"
		p.Next = []string{login + ", or aws configure, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"}
	case errors.As(err, &dns), errors.As(err, &network), errors.Is(err, context.DeadlineExceeded):
		p.Next = []string{"check the network, the proxy (HTTPS_PROXY) and the region (" + c.Region + ")"}
	}
	return p
}

// noCredentials reports whether the call was not made for want of credentials.
// The SDK has no type for it: the last place it looks at is the metadata
// service of EC2.
func noCredentials(err error) bool {
	text := err.Error()
	return strings.Contains(text, "no EC2 IMDS role found") || strings.Contains(text, "failed to refresh cached credentials") || strings.Contains(text, "static credentials are empty")
}

// reason is the part of an SDK error that tells people something: without
// request ids, operation names and status codes.
func reason(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		message := strings.TrimSpace(api.ErrorMessage())
		if message == "" || message == api.ErrorCode() {
			return api.ErrorCode()
		}
		return fmt.Sprintf("%s (%s)", strings.TrimSuffix(message, "."), api.ErrorCode())
	}
	var op *smithy.OperationError
	if errors.As(err, &op) && op.Err != nil {
		return op.Err.Error()
	}
	return err.Error()
}
