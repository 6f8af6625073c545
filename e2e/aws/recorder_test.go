package aws

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A call of AWS's API.
type call struct {
	service   string // as IAM calls it
	operation string
	params    map[string]any // of the body, as far as it can be read
	body      string
	status    int
	// When it was made, and answered.
	from, to time.Time
}

func (c call) action() string { return c.service + ":" + c.operation }

// A recorder keeps the calls of an account.
type recorder struct {
	account string
	// refuse may answer a call with a status and an error's code instead.
	refuse func(call) (status int, code string)

	mu    sync.Mutex
	calls []call
	hook  func(call)
}

// onCall has a function hear of each call before it is handed on.
func (r *recorder) onCall(hook func(call)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hook = hook
}

// rpcPath is how an API in CBOR is asked.
var rpcPath = regexp.MustCompile(`^/service/[^/]+/operation/(\w+)$`)

var credential = regexp.MustCompile(`Credential=[^/]+/\d+/([^/]+)/([^/]+)/aws4_request`)

// iamNames are the services that requests are signed for under another name.
var iamNames = map[string]string{"monitoring": "cloudwatch", "tagging": "tag"}

// before records a request and hands it on.
func (r *recorder) before(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		req.Body = io.NopCloser(bytes.NewReader(body))
		c := identify(req, body)
		c.from = time.Now()
		r.mu.Lock()
		hook := r.hook
		r.mu.Unlock()
		if hook != nil {
			hook(c)
		}
		if r.refuse != nil {
			if status, code := r.refuse(c); status != 0 {
				c.status = status
				r.add(c)
				refuseAs(w, req, status, code)
				return
			}
		}
		answer := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(answer, req)
		c.status, c.to = answer.status, time.Now()
		r.add(c)
	})
}

func (r *recorder) add(c call) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, c)
}

// refuseAs writes an error as the API of the request has them.
func refuseAs(w http.ResponseWriter, req *http.Request, status int, code string) {
	if req.Header.Get("X-Amz-Target") != "" {
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		w.Header().Set("X-Amzn-Errortype", code)
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"__type":%q,"message":"Rate exceeded"}`, code)
		return
	}
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>Rate exceeded</Message></Error><RequestId>0</RequestId></ErrorResponse>", code)
}

type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// identify says which call a request is.
func identify(req *http.Request, body []byte) call {
	c := call{body: string(body), params: map[string]any{}}
	if m := credential.FindStringSubmatch(req.Header.Get("Authorization")); m != nil {
		c.service = m[2]
	}
	if name, ok := iamNames[c.service]; ok {
		c.service = name
	}
	if target := req.Header.Get("X-Amz-Target"); target != "" {
		c.operation = target[strings.LastIndex(target, ".")+1:]
		_ = json.Unmarshal(body, &c.params) // a body that is none has no parameters
		return c
	}
	form, err := url.ParseQuery(string(body))
	if err == nil && form.Get("Action") != "" {
		c.operation = form.Get("Action")
		for name := range form {
			c.params[name] = form.Get(name)
		}
		return c
	}
	if m := rpcPath.FindStringSubmatch(req.URL.Path); m != nil {
		c.operation = m[1]
		return c
	}
	c.operation = req.Method + " " + req.URL.Path // an API of paths, of which none is expected
	return c
}

// all returns the calls so far.
func (r *recorder) all() []call {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.calls)
}

// of returns the calls of an action.
func (r *recorder) of(action string) []call {
	return slices.DeleteFunc(r.all(), func(c call) bool { return c.action() != action })
}

// forget begins anew.
func (r *recorder) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = nil
}

// summary counts the calls.
func (r *recorder) summary() string {
	var out strings.Builder
	counts := map[string]int{}
	var order []string
	for _, c := range r.all() {
		name := fmt.Sprintf("%s %d", c.action(), c.status)
		if counts[name] == 0 {
			order = append(order, name)
		}
		counts[name]++
	}
	for _, name := range order {
		fmt.Fprintf(&out, "%4d %s\n", counts[name], name)
	}
	return out.String()
}

// mayHoldSecrets are the calls whose bodies are where secrets go.
var mayHoldSecrets = []string{"secretsmanager:CreateSecret", "secretsmanager:PutSecretValue", "secretsmanager:UpdateSecret"}

// secret has the account's checks look for a value.
func (a *account) secret(values ...string) { a.secrets = append(a.secrets, values...) }

// checkSecrets looks for secrets wherever they must not be: in calls, in what
// commands were given and said, in task definitions and in change sets.
func (a *account) checkSecrets() {
	places := map[string]string{"what commands were given and said": a.said.String()}
	for _, c := range a.calls.all() {
		if !slices.Contains(mayHoldSecrets, c.action()) {
			decoded, err := url.QueryUnescape(c.body)
			if err != nil {
				decoded = ""
			}
			places["a call of "+c.action()] += c.body + "\n" + decoded + "\n"
		}
	}
	for _, c := range a.stackCalls() {
		if !slices.Contains(mayHoldSecrets, c.Service+":"+c.Operation) {
			text, err := json.Marshal(c.Params)
			if err != nil {
				a.t.Error(err)
			}
			places["a call that CloudFormation made, "+c.Service+":"+c.Operation] += string(text) + "\n"
		}
	}
	for place, secret := range leaks(places, a.secrets) {
		a.t.Errorf("the secret %.6s… is in %s", secret, place)
	}
}

// leaks finds secrets in texts: as they are, in base64, and as JSON writes them.
func leaks(places map[string]string, secrets []string) map[string]string {
	found := map[string]string{}
	for _, secret := range secrets {
		// The last characters of base64 depend on what follows.
		encoded := base64.StdEncoding.EncodeToString([]byte(secret))
		encoded = encoded[:len(encoded)-4]
		quoted, _ := json.Marshal(secret)
		for place, text := range places {
			if strings.Contains(text, secret) || strings.Contains(text, encoded) || strings.Contains(text, string(quoted[1:len(quoted)-1])) {
				found[place] = secret
			}
		}
	}
	return found
}

func TestLeaks(t *testing.T) {
	const secret = `a "secret" of the test`
	places := map[string]string{
		"plain": "x" + secret, "base64": base64.StdEncoding.EncodeToString([]byte(secret + ":x")), "json": `{"v":"a \"secret\" of the test"}`, "none": "a secret",
	}
	found := leaks(places, []string{secret})
	if len(found) != 3 || found["none"] != "" {
		t.Errorf("found in %v", found)
	}
}
