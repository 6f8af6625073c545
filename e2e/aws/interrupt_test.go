package aws

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/e2e/harness"
)

// TestInterruptEarly: Ctrl-C while CloudFormation looks at the change. Nothing
// is changed, and it says so.
func TestInterruptEarly(t *testing.T) {
	t.Parallel()
	a, p, f, first := changedSince(t)
	var target atomic.Pointer[running]
	asked := make(chan struct{}, 100)
	a.calls.onCall(func(c call) {
		if c.action() == "cloudformation:DescribeChangeSet" {
			if r := target.Swap(nil); r != nil {
				r.interrupt()
			}
			asked <- struct{}{}
		}
	})
	r := a.start(p.dir, nil, "deploy", "--yes", "--url", f.URL)
	target.Store(r)
	select {
	case <-asked:
	case <-time.After(time.Minute):
		t.Error("there was no change set within a minute")
		r.interrupt()
	}
	done := r.wait()
	a.calls.onCall(nil)
	if done.code != 1 {
		t.Errorf("%s", done)
	}
	say(t, done, "nothing")
	if s := a.stackStatus(service); s != "CREATE_COMPLETE" {
		t.Errorf("the stack is %s", s)
	}
	if image := a.runs(t); image != first.Image {
		t.Errorf("%s runs", image)
	}
	if left := a.inventory()["change set"]; len(left) > 1 { // the one that was carried out
		t.Errorf("change sets are left: %q", left)
	}
}

// TestInterruptUpdate: Ctrl-C while an update goes on has CloudFormation go
// back.
func TestInterruptUpdate(t *testing.T) {
	t.Parallel()
	a, p, f, first := changedSince(t)
	a.slow(60)
	r := a.start(p.dir, nil, "deploy", "--yes", "--url", f.URL)
	harness.Eventually(t, time.Minute, "the update goes on", func() bool { return a.stackStatus(service) == "UPDATE_IN_PROGRESS" })
	r.interrupt()
	harness.Eventually(t, 20*time.Second, "CloudFormation is asked to go back", func() bool { return len(a.calls.of("cloudformation:CancelUpdateStack")) > 0 })
	a.slow(1)
	done := r.wait()
	if done.code != 1 {
		t.Errorf("%s", done)
	}
	say(t, done, service, "selvedge ")
	harness.Eventually(t, 20*time.Second, "the stack is as it was", func() bool { return a.stackStatus(service) == "UPDATE_ROLLBACK_COMPLETE" })
	if image := a.runs(t); image != first.Image {
		t.Errorf("%s runs", image)
	}
	if d := a.deploy(p, f.URL); d.State != "live" {
		t.Errorf("%+v", d)
	}
}

// TestInterruptCreate: Ctrl-C while a stack is made leaves CloudFormation to
// it, and says how to go on.
func TestInterruptCreate(t *testing.T) {
	t.Parallel()
	a, p, f := undeployed(t)
	a.slow(20)
	r := a.start(p.dir, nil, "deploy", "--yes", "--url", f.URL)
	harness.Eventually(t, time.Minute, "the stack is made", func() bool { return a.stackStatus(service) == "CREATE_IN_PROGRESS" })
	r.interrupt()
	done := r.wait()
	if done.code != 1 {
		t.Errorf("%s", done)
	}
	say(t, done, service, "selvedge ")
	a.slow(1)
	harness.Eventually(t, 20*time.Second, "CloudFormation has made it", func() bool { return a.stackStatus(service) == "CREATE_COMPLETE" })
	if d := a.deploy(p, f.URL); d.State != "live" && d.State != "unchanged" {
		t.Errorf("%+v", d)
	}
}

// TestThrottled: AWS refuses one in three calls of everything for a while, and
// the deploy comes through.
func TestThrottled(t *testing.T) {
	t.Parallel()
	a, p, f := undeployed(t)
	var n atomic.Int64
	a.calls.refuse = func(c call) (int, string) {
		if n.Add(1)%3 != 0 || c.service == "ecr" && c.operation != "GetAuthorizationToken" {
			return 0, ""
		}
		return http.StatusBadRequest, "ThrottlingException"
	}
	if d := a.deploy(p, f.URL); d.State != "live" {
		t.Errorf("%+v", d)
	}
}
