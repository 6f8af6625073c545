package aws

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"

	oci "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// A registry is ECR: its API, and the registry that the API speaks of, on one
// address. Images that are pushed become known to the emulator.
type registry struct {
	server *httptest.Server
	a      *account
	api    http.Handler
	images http.Handler

	mu     sync.Mutex
	pushed []upload
	tags   map[string]string // repository:tag to digest
}

// An upload is a blob or a manifest that was sent.
type upload struct {
	path  string
	bytes int64
}

const token = "an-example-of-a-registry-token"

func newRegistry(a *account) *registry {
	r := &registry{a: a, api: a.forward(), images: oci.New(oci.Logger(log.New(io.Discard, "", 0))), tags: map[string]string{}}
	r.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if strings.HasPrefix(req.URL.Path, "/v2/") {
			r.serveImages(w, req)
			return
		}
		a.calls.before(http.HandlerFunc(r.serveAPI)).ServeHTTP(w, req)
	}))
	return r
}

// serveAPI answers what is about the registry's address, and leaves the rest to
// the emulator.
func (r *registry) serveAPI(w http.ResponseWriter, req *http.Request) {
	if !strings.HasSuffix(req.Header.Get("X-Amz-Target"), ".GetAuthorizationToken") {
		r.api.ServeHTTP(w, req)
		return
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	fmt.Fprintf(w, `{"authorizationData":[{"authorizationToken":%q,"expiresAt":4102444800,"proxyEndpoint":%q}]}`,
		base64.StdEncoding.EncodeToString([]byte("AWS:"+token)), r.server.URL)
}

var (
	blobPath     = regexp.MustCompile(`^/v2/(.+)/blobs/(sha256:[0-9a-f]+|uploads/.*)$`)
	manifestPath = regexp.MustCompile(`^/v2/(.+)/manifests/(.+)$`)
)

// registryAction is the right that a request to the registry takes.
func registryAction(method, path string) (action, repository string) {
	if m := manifestPath.FindStringSubmatch(path); m != nil {
		if method == http.MethodPut {
			return "PutImage", m[1]
		}
		return "BatchGetImage", m[1]
	}
	m := blobPath.FindStringSubmatch(path)
	if m == nil {
		return "", ""
	}
	switch method {
	case http.MethodHead:
		action = "BatchCheckLayerAvailability"
	case http.MethodGet:
		action = "GetDownloadUrlForLayer"
	case http.MethodPost:
		action = "InitiateLayerUpload"
	case http.MethodPatch:
		action = "UploadLayerPart"
	case http.MethodPut:
		action = "CompleteLayerUpload"
	}
	return action, m[1]
}

// serveImages is the registry as ECR has it: for who has a token, with
// repositories that were made before, and tags that stay.
func (r *registry) serveImages(w http.ResponseWriter, req *http.Request) {
	if user, password, ok := req.BasicAuth(); !ok || user != "AWS" || password != token {
		w.Header().Set("WWW-Authenticate", `Basic realm="`+r.server.URL+`",service="ecr.amazonaws.com"`)
		http.Error(w, "Not Authorized", http.StatusUnauthorized)
		return
	}
	action, repository := registryAction(req.Method, req.URL.Path)
	if action == "" {
		r.images.ServeHTTP(w, req)
		return
	}
	r.a.calls.add(call{service: "ecr", operation: action, params: map[string]any{"repositoryName": repository}, status: http.StatusOK})
	if !r.exists(repository) {
		registryError(w, http.StatusNotFound, "NAME_UNKNOWN", "The repository with name '"+repository+"' does not exist in the registry with id '"+r.a.id+"'")
		return
	}
	counted := &countedBody{ReadCloser: req.Body}
	req.Body = counted
	if m := manifestPath.FindStringSubmatch(req.URL.Path); m != nil && req.Method == http.MethodPut {
		r.putManifest(w, req, repository, m[2])
		return
	}
	r.images.ServeHTTP(w, req)
	if counted.n > 0 {
		r.mu.Lock()
		r.pushed = append(r.pushed, upload{req.URL.Path, counted.n})
		r.mu.Unlock()
	}
}

func registryError(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"errors": []any{map[string]string{"code": code, "message": message}}})
}

// putManifest takes a manifest and tells the emulator about it.
func (r *registry) putManifest(w http.ResponseWriter, req *http.Request, repository, tag string) {
	manifest, err := io.ReadAll(req.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	hash, _, err := v1.SHA256(strings.NewReader(string(manifest)))
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	digest := hash.String()
	r.mu.Lock()
	before, taken := r.tags[repository+":"+tag]
	r.mu.Unlock()
	if taken && before != digest {
		registryError(w, http.StatusBadRequest, "TAG_INVALID", "The image tag '"+tag+"' already exists in the '"+repository+"' repository and cannot be overwritten because the tag is immutable.")
		return
	}
	answer := &statusWriter{ResponseWriter: w, status: http.StatusOK}
	req.Body = io.NopCloser(strings.NewReader(string(manifest)))
	r.images.ServeHTTP(answer, req)
	if answer.status/100 != 2 {
		return
	}
	r.mu.Lock()
	r.pushed = append(r.pushed, upload{req.URL.Path, int64(len(manifest))})
	r.mu.Unlock()
	put := map[string]any{"repositoryName": repository, "imageManifest": string(manifest), "imageManifestMediaType": req.Header.Get("Content-Type"), "imageDigest": digest}
	if !strings.HasPrefix(tag, "sha256:") {
		put["imageTag"] = tag
		r.mu.Lock()
		r.tags[repository+":"+tag] = digest
		r.mu.Unlock()
	}
	if status, text := r.a.ask("ecr", "AmazonEC2ContainerRegistry_V20150921.PutImage", put); status != http.StatusOK && !strings.Contains(text, "ImageAlreadyExists") {
		r.a.t.Errorf("the emulator refused the image %s: %d %s", tag, status, text)
	}
}

func (r *registry) exists(repository string) bool {
	status, _ := r.a.ask("ecr", "AmazonEC2ContainerRegistry_V20150921.DescribeRepositories", map[string]any{"repositoryNames": []string{repository}})
	return status == http.StatusOK
}

// uploads returns what was sent since the last time.
func (r *registry) uploads() []upload {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.pushed
	r.pushed = nil
	return all
}

type countedBody struct {
	io.ReadCloser
	n int64
}

func (c *countedBody) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.n += int64(n)
	return n, err
}

// ask calls an operation of a JSON API as the test itself, unrecorded.
func (a *account) ask(service, target string, params any) (int, string) {
	body, err := json.Marshal(params)
	if err != nil {
		a.t.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodPost, a.emulator.url+"/", strings.NewReader(string(body)))
	if err != nil {
		a.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", target)
	req.Header.Set("x-moto-account-id", a.id)
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIATEST/20260101/"+region+"/"+service+"/aws4_request, SignedHeaders=host, Signature=none")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		a.t.Error(err)
		return 0, err.Error()
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		a.t.Error(err)
	}
	return res.StatusCode, string(text)
}
