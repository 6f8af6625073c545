package deploy

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/selvedge-dev/selvedge/internal/stack"
)

// threeReleases deploys three images, the second with another anon key.
func threeReleases(t *testing.T) (b *bench, made []*Result) {
	b = newBench(t)
	for n := 1; n <= 3; n++ {
		b.images.digest = digestOf(n)
		made = append(made, b.must("live"))
	}
	return b, made
}

func TestReleases(t *testing.T) {
	b, made := threeReleases(t)
	delete(b.f.images, digestOf(1)) // the repository keeps so many
	list, err := b.f.clients().Releases(t.Context(), stack.Names{Project: "shop", Environment: "production"}, 20)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range list {
		got = append(got, fmt.Sprintln(r.Revision, r.Release, r.Digest, r.Current, r.Gone, r.By))
	}
	want := []string{
		fmt.Sprintln(3, made[2].Release, digestOf(3), true, false, "arn:aws:iam::1:user/somebody"),
		fmt.Sprintln(2, made[1].Release, digestOf(2), false, false, "arn:aws:iam::1:user/somebody"),
		fmt.Sprintln(1, made[0].Release, digestOf(1), false, true, "arn:aws:iam::1:user/somebody"),
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestNoReleases(t *testing.T) {
	b := newBench(t)
	_, err := b.f.clients().Releases(t.Context(), stack.Names{Project: "shop", Environment: "production"}, 20)
	if p := problem(t, err); !strings.Contains(p.Error(), "nothing is deployed as shop-production in eu-central-1") || !strings.Contains(p.Error(), "selvedge deploy") {
		t.Errorf("got %v", p)
	}
}

// TestRollback goes back by one, and by name; all but the image stays.
func TestRollback(t *testing.T) {
	b, made := threeReleases(t)
	k := b.f.stacks["shop-production"]
	k.parameters["CPU"], k.parameters["Memory"] = "1024", "4096"
	roll := func(version string, withSecrets bool) *Result {
		t.Helper()
		r, err := b.operator().Rollback(t.Context(), version, withSecrets)
		if err != nil {
			t.Fatalf("%v\n%s", err, b.heard)
		}
		return r
	}
	if r := roll("", false); r.Image != made[1].Image || r.Release != made[1].Release || r.State != "live" {
		t.Errorf("%+v", r)
	}
	if r := roll(made[0].Release, false); r.Image != made[0].Image {
		t.Errorf("%+v", r)
	}
	if r := roll("3", false); r.Image != made[2].Image {
		t.Errorf("%+v", r)
	}
	if r := roll(strings.TrimPrefix(digestOf(2), "sha256:"), false); r.Image != made[1].Image {
		t.Errorf("%+v", r)
	}
	if r := roll(made[1].Release, false); r.State != "unchanged" {
		t.Errorf("%+v", r)
	}
	if k.parameters["CPU"] != "1024" || k.parameters["DesiredCount"] != "2" {
		t.Errorf("%v", k.parameters)
	}
	if len(b.images.pushed) != 3 {
		t.Errorf("pushed %q", b.images.pushed)
	}
	b.f.checkSecrets(b.heard.String())
}

func TestRollbackWithSecrets(t *testing.T) {
	b := newBench(t)
	b.must("live")
	k := b.f.stacks["shop-production"]
	before := k.parameters["KeysSecretVersion"]
	given := givenKeys()
	given.Given["ANON_KEY"] = Value{"another-anon-key", ".env"}
	b.images.digest = digestOf(2)
	if _, err := b.operator().Deploy(t.Context(), b.images, given); err != nil {
		t.Fatal(err)
	}
	after := k.parameters["KeysSecretVersion"]
	if _, err := b.operator().Rollback(t.Context(), "", false); err != nil {
		t.Fatal(err)
	}
	if got := k.parameters["KeysSecretVersion"]; got != after || before == after {
		t.Errorf("without the flag the version is %s, not %s", got, after)
	}
	if _, err := b.operator().Rollback(t.Context(), "1", true); err != nil {
		t.Fatal(err)
	}
	if got := k.parameters["KeysSecretVersion"]; got != before {
		t.Errorf("with the flag the version is %s, not %s", got, before)
	}
}

func TestRollbackRefuses(t *testing.T) {
	b, made := threeReleases(t)
	delete(b.f.images, digestOf(1))
	b.f.forget()
	for version, want := range map[string]string{
		"20000101T000000Z": "there is no release 20000101T000000Z",
		made[0].Release:    "no longer in the repository",
	} {
		_, err := b.operator().Rollback(t.Context(), version, false)
		if p := problem(t, err); !strings.Contains(p.Error(), want) || !strings.Contains(p.Error(), "selvedge releases") {
			t.Errorf("got %v", p)
		}
	}
	if did := b.f.changing(); len(did) > 0 {
		t.Errorf("changed %q", did)
	}
	one := newBench(t)
	one.must("live")
	_, err := one.operator().Rollback(t.Context(), "", false)
	if p := problem(t, err); !strings.Contains(p.Error(), "there is no release before the current one") {
		t.Errorf("got %v", p)
	}
}

// TestUpdate changes one parameter, and keeps the template.
func TestUpdate(t *testing.T) {
	b := newBench(t)
	b.must("live")
	b.f.forget()
	r, err := b.operator().Update(t.Context(), map[string]string{"DesiredCount": "3"})
	if err != nil || r.State != "live" || len(r.Changes.Parameters) != 1 || r.Changes.Parameters[0].After != "3" {
		t.Fatalf("%+v %v", r, err)
	}
	for _, c := range b.f.calls {
		if c.action == "CreateChangeSet" && (c.str("TemplateBody") != "" || c.str("UsePreviousTemplate") != "true") {
			t.Error("the template is not kept")
		}
	}
	b.f.stacks["shop-production"].status = "UPDATE_ROLLBACK_FAILED"
	_, err = b.operator().Update(t.Context(), map[string]string{"DesiredCount": "4"})
	if p := problem(t, err); !strings.Contains(p.Error(), "cannot be changed in the state UPDATE_ROLLBACK_FAILED") {
		t.Errorf("got %v", p)
	}
}
