package release

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

var discardLog = log.New(io.Discard, "", 0)

const secret = "hunter2"

func (s *stand) token() string { return "//" + s.Listener.Addr().String() + "/:_authToken=" + secret }

func TestTokenIsSent(t *testing.T) {
	s := newStand(t)
	s.handle(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+secret {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		s.serveTarball(w, r)
	})
	if _, err := ensure(t.Context(), s.options(t, s.token()), s.recipe()); err != nil {
		t.Fatal(err)
	}
}

func TestTokenDoesNotCrossOrigins(t *testing.T) {
	// The same address with another port: Go's own rule would let it pass.
	s := newStand(t)
	var leaked []string
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		leaked = append(leaked, r.Header.Values("Authorization")...)
		if r.URL.Path == "/back" {
			http.Redirect(w, r, s.URL+"/last", http.StatusFound)
			return
		}
		_, _ = w.Write(s.tarball)
	}))
	defer other.Close()

	for _, tc := range []struct {
		name string
		// to is where the first answer redirects to.
		to string
		// last is what the registry's own "/last" must be sent.
		last string
	}{
		{"other origin", other.URL + "/x", ""},
		{"there and back", other.URL + "/back", ""},
		{"same origin", "/last", "Bearer " + secret},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, custom := range []bool{false, true} {
				s.handle(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/last" {
						if got := r.Header.Get("Authorization"); got != tc.last {
							t.Errorf("Authorization %q, want %q", got, tc.last)
						}
						_, _ = w.Write(s.tarball)
						return
					}
					http.Redirect(w, r, tc.to, http.StatusFound)
				})
				o := s.options(t, s.token())
				if custom {
					o.HTTPClient = s.Client()
				}
				if _, err := ensure(t.Context(), o, s.recipe()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	if len(leaked) > 0 {
		t.Errorf("the other origin was sent %q", leaked)
	}
}

func TestTarballElsewhereGetsNoToken(t *testing.T) {
	s := newStand(t)
	var leaked []string
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		leaked = append(leaked, r.Header.Values("Authorization")...)
		_, _ = w.Write(s.tarball)
	}))
	defer other.Close()
	s.handle(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.EscapedPath() == packument {
			fmt.Fprintf(w, `{"versions":{"9.8.7":{"dist":{"tarball":%q}}}}`, other.URL+"/x.tgz")
			return
		}
		http.NotFound(w, r)
	})
	if _, err := ensure(t.Context(), s.options(t, s.token()), s.recipe()); err != nil || len(leaked) > 0 {
		t.Errorf("error %v, sent %q", err, leaked)
	}
}

func TestErrorsHoldNoSecrets(t *testing.T) {
	s := newStand(t)
	dead := httptest.NewServer(http.NotFoundHandler())
	dead.Close()
	withUser := func(raw string) string {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		u.User = url.UserPassword("u", secret)
		return u.String()
	}
	for name, tc := range map[string]struct {
		settings string
		handler  http.HandlerFunc
	}{
		"401":              {s.token(), func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) }},
		"echoed":           {s.token(), func(w http.ResponseWriter, r *http.Request) { http.Error(w, r.Header.Get("Authorization"), 400) }},
		"user in registry": {"registry=" + withUser(s.URL), func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }},
		"dead registry":    {"registry=" + withUser(dead.URL), nil},
		"dead proxy":       {"proxy=" + withUser(dead.URL) + "\nregistry=http://h.example/", nil},
		"signed redirect": {"", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, dead.URL+"/?signature="+secret, http.StatusFound)
		}},
		"redirect with user": {"", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "http://u:"+secret+"@[::/")
			w.WriteHeader(http.StatusFound)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s.handle(tc.handler)
			o := s.options(t, tc.settings)
			var events []string
			o.Progress = func(e Event) { events = append(events, fmt.Sprint(e.Err)) }
			_, err := ensure(t.Context(), o, s.recipe())
			if err == nil {
				t.Fatal("no error")
			}
			if all := err.Error() + strings.Join(events, "\n"); strings.Contains(all, secret) {
				t.Errorf("a secret shows: %s", all)
			}
		})
	}
}
