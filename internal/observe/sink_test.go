package observe

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestLinesOfRequestsWaitForCompany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &writes{}
		log := New(Options{Out: out, Format: FormatJSON})
		request := Request{Slug: "a", Status: 200}
		got := func() []string {
			out.mu.Lock()
			defer out.mu.Unlock()
			all := out.all
			out.all = nil
			return all
		}
		lines := func(s string) int { return strings.Count(s, "\n") }

		for range 3 {
			request.Log(log)
		}
		if all := got(); all != nil {
			t.Fatalf("written at once: %q", all)
		}
		time.Sleep(patience)
		synctest.Wait()
		if all := got(); len(all) != 1 || lines(all[0]) != 3 {
			t.Fatalf("got %q", all)
		}
		// Another record takes them along, after them.
		request.Log(log)
		log.Info("said")
		if all := got(); len(all) != 1 || lines(all[0]) != 2 || !strings.Contains(all[0], `"msg":"request"`) || strings.Index(all[0], "said") < strings.Index(all[0], "request") {
			t.Fatalf("got %q", all)
		}
		request.Log(log)
		Flush(log)
		if all := got(); len(all) != 1 {
			t.Fatalf("got %q", all)
		}
		// So many do not wait.
		for range 2 * maxWaiting / 100 {
			request.Log(log)
		}
		if all := got(); len(all) == 0 || len(all[0]) < maxWaiting {
			t.Fatalf("%d writes", len(all))
		}
		time.Sleep(2 * patience)
		synctest.Wait()
	})
}
