package deploy

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// A wire speaks the two protocols of the AWS services that are called, so that
// the SDK itself is tested as it is used: signatures, retries, errors.
type wire struct {
	t      testing.TB
	server *httptest.Server

	mu    sync.Mutex
	calls []*awsCall
	// answer answers a call with a map, or an *awsFault.
	answer func(c *awsCall) any
	// before is asked first, with the number of the call; what it returns is
	// the answer, unless it is nil. It may block.
	before func(c *awsCall, n int) any
}

// An awsCall is a call as it came.
type awsCall struct {
	service, action string
	form            url.Values     // of the query protocol
	body            map[string]any // of the JSON protocol
	raw             string
}

// name is the call as an IAM policy has it.
func (c *awsCall) name() string { return c.service + ":" + c.action }

// str is a parameter of the call.
func (c *awsCall) str(name string) string {
	if c.form != nil {
		return c.form.Get(name)
	}
	s, _ := c.body[name].(string)
	return s
}

// list is a parameter that is a list of strings.
func (c *awsCall) list(name string) []string {
	var all []string
	items, _ := c.body[name].([]any)
	for _, item := range items {
		all = append(all, fmt.Sprint(item))
	}
	return all
}

// An awsFault is an error of AWS. Status 0 cuts the connection.
type awsFault struct {
	status        int
	code, message string
}

func newWire(t testing.TB) *wire {
	w := &wire{t: t}
	w.server = httptest.NewServer(w)
	t.Cleanup(w.server.Close)
	t.Cleanup(w.checkCalls)
	return w
}

// clients are the SDK's, which lead to the wire and do not wait long between
// tries.
func (w *wire) clients() *Clients {
	return NewClients(aws.Config{
		Region: "eu-central-1", BaseEndpoint: &w.server.URL,
		Credentials: credentials.NewStaticCredentialsProvider("AKIAIOSFODNN7EXAMPLE", "an-example", ""),
		Retryer: func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) {
				o.MaxAttempts, o.MaxBackoff = 4, 5*time.Millisecond
			})
		},
		HTTPClient: w.server.Client(),
	}, "")
}

var scope = regexp.MustCompile(`Credential=[^/]+/[^/]+/[^/]+/([^/]+)/aws4_request`)

func (w *wire) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	c := &awsCall{raw: string(raw)}
	if m := scope.FindStringSubmatch(r.Header.Get("Authorization")); m != nil {
		c.service = m[1]
	}
	if target := r.Header.Get("X-Amz-Target"); target != "" {
		_, c.action, _ = strings.Cut(target, ".")
		if err := json.Unmarshal(raw, &c.body); err != nil {
			w.t.Errorf("%s: %v", target, err)
		}
	} else {
		if c.form, err = url.ParseQuery(string(raw)); err != nil {
			w.t.Errorf("%q: %v", raw, err)
		}
		c.action = c.form.Get("Action")
	}
	w.mu.Lock()
	w.calls = append(w.calls, c)
	n, before := len(w.calls), w.before
	w.mu.Unlock()
	var answer any
	if before != nil {
		answer = before(c, n)
	}
	if answer == nil {
		answer = w.ask(c)
	}
	if f, ok := answer.(*awsFault); ok && f.status == 0 {
		if conn, _, err := rw.(http.Hijacker).Hijack(); err == nil {
			conn.Close()
		}
		return
	}
	if c.form != nil {
		writeXML(rw, c.action, answer)
	} else {
		writeJSON(rw, answer)
	}
}

func (w *wire) ask(c *awsCall) any {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.answer(c)
}

func writeJSON(rw http.ResponseWriter, answer any) {
	rw.Header().Set("Content-Type", "application/x-amz-json-1.1")
	if f, ok := answer.(*awsFault); ok {
		rw.WriteHeader(f.status)
		answer = map[string]any{"__type": f.code, "message": f.message}
	}
	_ = json.NewEncoder(rw).Encode(answer)
}

func writeXML(rw http.ResponseWriter, action string, answer any) {
	rw.Header().Set("Content-Type", "text/xml")
	if f, ok := answer.(*awsFault); ok {
		rw.WriteHeader(f.status)
		fmt.Fprint(rw, "<ErrorResponse><Error>", xmlOf(map[string]any{"Type": "Sender", "Code": f.code, "Message": f.message}), "</Error><RequestId>1</RequestId></ErrorResponse>")
		return
	}
	fmt.Fprintf(rw, "<%sResponse><%sResult>%s</%sResult></%sResponse>", action, action, xmlOf(answer), action, action)
}

// xmlOf writes maps as elements and lists as members.
func xmlOf(v any) string {
	var b strings.Builder
	switch v := v.(type) {
	case map[string]any:
		names := make([]string, 0, len(v))
		for name := range v {
			names = append(names, name)
		}
		sort.Strings(names)
		for _, name := range names {
			fmt.Fprintf(&b, "<%s>%s</%s>", name, xmlOf(v[name]), name)
		}
	case []any:
		for _, item := range v {
			fmt.Fprintf(&b, "<member>%s</member>", xmlOf(item))
		}
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano)
	case nil:
	default:
		_ = xml.EscapeText(&b, []byte(fmt.Sprint(v)))
	}
	return b.String()
}

// names returns the calls that were made, in their order.
func (w *wire) names() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []string
	for _, c := range w.calls {
		all = append(all, c.name())
	}
	return all
}

// count is how often something was called.
func (w *wire) count(name string) int {
	n := 0
	for _, called := range w.names() {
		if called == name {
			n++
		}
	}
	return n
}

// changing are the calls that change something.
func (w *wire) changing() []string {
	return slices.DeleteFunc(w.names(), func(name string) bool {
		_, action, _ := strings.Cut(name, ":")
		for _, verb := range []string{"Describe", "List", "Get", "BatchGet", "Simulate"} {
			if strings.HasPrefix(action, verb) {
				return true
			}
		}
		return false
	})
}

// forget begins the list of calls anew.
func (w *wire) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls = nil
}
