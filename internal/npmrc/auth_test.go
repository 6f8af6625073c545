package npmrc

import (
	"encoding/base64"
	"strings"
	"testing"
)

func TestAuthorization(t *testing.T) {
	basic := func(s string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(s)) }
	for _, tc := range []struct {
		name, user string
		env        []string
		url, want  string
	}{
		{name: "none", url: "https://h/", want: ""},
		{name: "token", user: "//h/:_authToken=abc", url: "https://h/@deno/x/-/x-1.tgz", want: "Bearer abc"},
		{name: "without the slash", user: "//h/npm:_authToken=abc", url: "https://h/npm/x", want: "Bearer abc"},
		{name: "without any path", user: "//h:_authToken=abc", url: "https://h/npm/x", want: "Bearer abc"},
		{name: "with port", user: "//h:4873/:_authToken=abc", url: "http://h:4873/x", want: "Bearer abc"},
		{name: "other port", user: "//h:4873/:_authToken=abc", url: "http://h:4874/x", want: ""},
		{name: "default port", user: "//h/:_authToken=abc", url: "https://h:443/x", want: "Bearer abc"},
		{name: "other scheme's port", user: "//h/:_authToken=abc", url: "https://h:80/x", want: ""},
		{name: "other host", user: "//h/:_authToken=abc", url: "https://h.example/x", want: ""},
		{name: "subdomain", user: "//example/:_authToken=abc", url: "https://a.example/x", want: ""},
		{name: "host in capitals", user: "//H.Example/:_authToken=abc", url: "https://h.eXample/x", want: "Bearer abc"},
		{name: "outside the path", user: "//h/npm/:_authToken=abc", url: "https://h/other/x", want: ""},
		{name: "path that only begins alike", user: "//h/npm/:_authToken=abc", url: "https://h/npm2/x", want: ""},
		{name: "dots cannot borrow", user: "//h/npm/:_authToken=abc", url: "https://h/npm/../x", want: ""},
		{name: "longest path", user: "//h/:_authToken=short\n//h/a/b/:_authToken=long\n//h/a/:_authToken=mid", url: "https://h/a/b/c", want: "Bearer long"},
		{name: "_auth", user: "//h/:_auth=dTpw", url: "https://h/x", want: "Basic dTpw"},
		{name: "user and password", user: "//h/:username=u\n//h/:_password=cDp3", url: "https://h/x", want: basic("u:p:w")},
		{name: "unpadded password", user: "//h/:username=u\n//h/:_password=cA", url: "https://h/x", want: basic("u:p")},
		{name: "user alone", user: "//h/:username=u", url: "https://h/x", want: ""},
		{name: "token over _auth", user: "//h/:_auth=dTpw\n//h/:_authToken=abc", url: "https://h/x", want: "Bearer abc"},
		{name: "variable", user: "//h/:_authToken=${T}", env: []string{"T=abc"}, url: "https://h/x", want: "Bearer abc"},
		{name: "unset variable", user: "//h/:_authToken=${T}", url: "https://h/x", want: ""},
		{name: "empty variable", user: "//h/:_authToken=${T?}", url: "https://h/x", want: ""},
		{name: "token with an equals sign", user: "//h/:_authToken=abc==", url: "https://h/x", want: "Bearer abc=="},
		{name: "quoted, with a hash", user: `//h/:_authToken="a#c"`, url: "https://h/x", want: "Bearer a#c"},
		{name: "environment", user: "//h/:_authToken=user", env: []string{"npm_config_//h/:_authToken=env"}, url: "https://h/x", want: "Bearer env"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := mustLoad(t, "", tc.user, "", tc.env...)
			if got := c.Authorization(mustURL(t, tc.url)); got != tc.want {
				t.Errorf("Authorization(%s) = %q, want %q", tc.url, got, tc.want)
			}
		})
	}
}

func TestAuthorizationFor(t *testing.T) {
	c := mustLoad(t, "", "registry=https://h/npm/\n//h/npm/:_authToken=abc\n@s:registry=https://s/\n//s/:_authToken=def", "")
	for _, tc := range []struct{ pkg, url, want string }{
		{"x", "https://h/npm/x", "Bearer abc"},
		{"x", "https://h/tarballs/x.tgz", "Bearer abc"},
		{"x", "https://cdn/x.tgz", ""},
		{"@s/x", "https://s/x.tgz", "Bearer def"},
		{"@s/x", "https://h/tarballs/x.tgz", ""},
	} {
		if got := c.AuthorizationFor(tc.pkg, mustURL(t, tc.url)); got != tc.want {
			t.Errorf("AuthorizationFor(%s, %s) = %q, want %q", tc.pkg, tc.url, got, tc.want)
		}
	}
}

func TestCredentialWarnings(t *testing.T) {
	c := mustLoad(t, "", "//h/:_authToken=${T}\n_auth=abc", "")
	got := strings.Join(c.Warnings(), "\n")
	for _, want := range []string{".npmrc:1: //h/:_authToken refers to ${T}", ".npmrc:2: _auth names no registry"} {
		if !strings.Contains(got, want) {
			t.Errorf("warnings %q lack %q", got, want)
		}
	}
}
