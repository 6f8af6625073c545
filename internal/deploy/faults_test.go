package deploy

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/selvedge-dev/selvedge/internal/stack"
)

// TestInterruptAtEveryCall interrupts deploys at each of their calls in turn,
// every other one after AWS has answered it. What is left must be named, and be a
// state from which the next deploy goes on.
func TestInterruptAtEveryCall(t *testing.T) {
	update := len(interruptAt(t, "update", 0, false).f.names())
	// Until functions do not answer, going back is an update like any other.
	for kind, first := range map[string]int{"create": 1, "update": 1, "going back": update - 2} {
		t.Run(kind, func(t *testing.T) {
			calls := len(interruptAt(t, kind, 0, false).f.names())
			if calls < first+12 {
				t.Fatalf("only %d calls", calls)
			}
			for at := first; at <= calls; at++ {
				t.Run(fmt.Sprint(at), func(t *testing.T) {
					t.Parallel()
					interruptAt(t, kind, at, at%2 == 0)
				})
			}
		})
	}
}

// interruptAt deploys and interrupts the call of that number, 0 for none.
func interruptAt(t *testing.T, kind string, at int, answered bool) *bench {
	b := newBench(t)
	if kind != "create" {
		b.must("live")
		b.images.digest = digestOf(2)
	}
	if kind == "going back" {
		b.status.Store(403)
	}
	b.f.forget()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	called := ""
	b.f.before = func(c *awsCall, n int) any {
		if n != at {
			return nil
		}
		called = c.name()
		var answer any
		if answered {
			answer = b.f.ask(c)
		}
		cancel()
		return answer
	}
	_, err := b.deploy(ctx)
	b.f.mu.Lock()
	b.f.before = nil
	b.f.mu.Unlock()
	if at == 0 {
		if (err != nil) != (kind == "going back") {
			t.Fatalf("%v\n%s", err, b.heard)
		}
		return b
	}
	switch {
	case called == "": // it was done with a question less
		return b
	case err == nil:
		t.Errorf("%s: it went on", called)
	default:
		p := problem(t, err)
		if p.State == "" || p.Usage {
			t.Errorf("%s: %v says no state", called, err)
		}
		if executed := b.f.count("cloudformation:ExecuteChangeSet") > 0; executed == strings.Contains(p.State, nothingRuns) {
			t.Errorf("%s: executed: %v, and %q", called, executed, p.State)
		}
	}
	b.f.checkSecrets(b.heard.String(), fmt.Sprint(err))
	if len(b.f.sets) > 0 {
		t.Errorf("%s: a change set is left: %v\n%q", called, err, b.f.names())
	}
	if k := b.f.stacks["shop-production"]; k != nil && k.status == "REVIEW_IN_PROGRESS" {
		t.Errorf("%s: an empty stack is left: %v", called, err)
	}
	b.status.Store(200)
	b.f.settle()
	r, err := b.deploy(t.Context())
	if err != nil || r.State != "live" && r.State != "unchanged" {
		t.Errorf("%s: afterwards: %+v %v\n%s", called, r, err, b.heard)
	}
	return b
}

// TestThrottled: AWS refuses the first try of each call.
func TestThrottled(t *testing.T) {
	for _, code := range []string{"ThrottlingException", "Throttling", "RequestLimitExceeded", ""} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			tried := map[string]bool{}
			b.f.before = func(c *awsCall, _ int) any {
				b.f.mu.Lock()
				defer b.f.mu.Unlock()
				if tried[c.raw] = !tried[c.raw]; !tried[c.raw] {
					return nil
				}
				if code == "" {
					return &awsFault{} // the connection is cut
				}
				return &awsFault{400, code, "Rate exceeded"}
			}
			b.must("live")
		})
	}
}

// TestAlwaysThrottled: in the end it says why.
func TestAlwaysThrottled(t *testing.T) {
	b := newBench(t)
	b.f.before = func(*awsCall, int) any { return &awsFault{400, "Throttling", "Rate exceeded"} }
	_, err := b.deploy(t.Context())
	if p := problem(t, err); !strings.Contains(p.Why, "calls come too fast") || p.State != nothingRuns {
		t.Errorf("got %v", p)
	}
}

// TestExpiredAtEveryCall: credentials expire in the midst of it.
func TestExpiredAtEveryCall(t *testing.T) {
	calls := len(interruptAt(t, "update", 0, false).f.names())
	for at := 1; at <= calls; at++ {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.must("live")
			b.images.digest = digestOf(2)
			b.f.forget()
			b.f.before = func(_ *awsCall, n int) any {
				if n < at {
					return nil
				}
				return &awsFault{400, "ExpiredTokenException", "The security token included in the request is expired"}
			}
			_, err := b.deploy(t.Context())
			p := problem(t, err)
			if !strings.Contains(p.Error(), "the AWS credentials have expired") || !strings.Contains(p.Error(), "aws sso login") || p.State == "" {
				t.Errorf("got %v", p)
			}
			b.f.before = nil
			b.f.settle()
			if r, err := b.deploy(t.Context()); err != nil || r.State != "live" && r.State != "unchanged" {
				t.Errorf("afterwards: %+v %v", r, err)
			}
		})
	}
}

// TestOutOfReach: AWS cannot be reached for a while, while CloudFormation is at
// work.
func TestOutOfReach(t *testing.T) {
	b := newBench(t)
	cut := 0
	b.f.before = func(c *awsCall, _ int) any {
		b.f.mu.Lock()
		defer b.f.mu.Unlock()
		if k := b.f.stacks["shop-production"]; k != nil && k.status == "CREATE_IN_PROGRESS" && cut < 20 {
			cut++
			return &awsFault{}
		}
		return nil
	}
	b.must("live")
	if cut < 20 || !strings.Contains(b.heard.String(), "AWS cannot be asked for the moment") {
		t.Errorf("cut %d times\n%s", cut, b.heard)
	}
}

// TestRefused: what AWS refuses is told, with what to do.
func TestRefused(t *testing.T) {
	for _, c := range []struct{ action, code, message, want string }{
		{"GetCallerIdentity", "InvalidClientTokenId", "The security token included in the request is invalid.", "AWS does not accept the credentials"},
		{"DescribeStacks", "AccessDenied", "User: x is not authorized to perform: cloudformation:DescribeStacks", "the credentials do not allow it"},
		{"CreateSecret", "AccessDeniedException", "no", "the credentials do not allow it"},
		{"CreateChangeSet", "ValidationError", "Template format error: Unresolved resource dependencies", "Unresolved resource dependencies"},
		{"CreateChangeSet", "LimitExceededException", "Limit for stack has been exceeded", "Limit for stack has been exceeded"},
		{"ExecuteChangeSet", "AccessDenied", "no", "begin the change of shop-production"},
	} {
		t.Run(c.action+" "+c.code, func(t *testing.T) {
			b := newBench(t)
			b.f.before = func(call *awsCall, _ int) any {
				if call.action == c.action {
					return &awsFault{400, c.code, c.message}
				}
				return nil
			}
			_, err := b.deploy(t.Context())
			if p := problem(t, err); !strings.Contains(p.Error(), c.want) || p.State != nothingRuns {
				t.Errorf("got %v", p)
			}
			if len(b.f.sets) > 0 || b.f.stacks["shop-production"] != nil {
				t.Errorf("left: %v", b.f.sets)
			}
		})
	}
}

// TestRefusedChangeSet: CloudFormation looks at the change, and does not want
// it.
func TestRefusedChangeSet(t *testing.T) {
	b := newBench(t)
	b.f.before = func(call *awsCall, _ int) any {
		if call.action == "DescribeChangeSet" {
			return map[string]any{"Status": "FAILED", "StatusReason": "No hosted zone found with ID: Z0"}
		}
		return nil
	}
	_, err := b.deploy(t.Context())
	if p := problem(t, err); !strings.Contains(p.Error(), "No hosted zone found") || !strings.Contains(p.Error(), "list-hosted-zones") {
		t.Errorf("got %v", p)
	}
	if b.f.stacks["shop-production"] != nil {
		t.Error("an empty stack is left")
	}
}

// TestTemplateFits: CloudFormation takes so much without S3.
func TestTemplateFits(t *testing.T) {
	for name, text := range map[string][]byte{"service": stack.Service().YAML(), "registry": stack.Registry().YAML()} {
		if len(text) > mostTemplate {
			t.Errorf("the template of the %s has %d bytes, and CloudFormation takes %d", name, len(text), mostTemplate)
		}
	}
}
