package deploy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/smithy-go"
)

// apiError is an error as AWS sends it.
func apiError(code, message string) error {
	return fmt.Errorf("operation: %w", &smithy.GenericAPIError{Code: code, Message: message})
}

// fakeSecrets is Secrets Manager, as far as a store uses it: labels, of which
// there are 20 at most, versions, which are forgotten without a label, and
// deletion with a way back.
type fakeSecrets struct {
	now     func() time.Time
	secrets map[string]*fakeSecret
	calls   []string
	fail    map[string]error // by operation
}

type fakeSecret struct {
	versions []*fakeVersion
	deleted  bool
}

type fakeVersion struct {
	id, text string
	created  time.Time
	stages   []string
}

func (f *fakeSecrets) call(op string, name *string) (*fakeSecret, error) {
	f.calls = append(f.calls, op)
	if err := f.fail[op]; err != nil {
		return nil, err
	}
	s := f.secrets[aws.ToString(name)]
	switch {
	case s == nil && op != "CreateSecret":
		return nil, apiError("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
	case s != nil && s.deleted && op != "RestoreSecret":
		return nil, apiError("InvalidRequestException", "You can't perform this operation on the secret because it was marked for deletion.")
	}
	return s, nil
}

func (s *fakeSecret) label(stage string, to *fakeVersion) {
	for _, v := range s.versions {
		if i := slices.Index(v.stages, stage); i >= 0 {
			v.stages = slices.Delete(v.stages, i, i+1)
			if stage == "AWSCURRENT" {
				s.label("AWSPREVIOUS", v)
			}
		}
	}
	to.stages = append(to.stages, stage)
}

// forget drops versions without a label, as Secrets Manager may.
func (s *fakeSecret) forget() error {
	s.versions = slices.DeleteFunc(s.versions, func(v *fakeVersion) bool { return len(v.stages) == 0 })
	n := 0
	for _, v := range s.versions {
		n += len(v.stages)
	}
	if n > 20 {
		return apiError("LimitExceededException", "too many labels")
	}
	return nil
}

func (f *fakeSecrets) put(s *fakeSecret, text string, stages ...string) (*fakeVersion, error) {
	v := &fakeVersion{id: fmt.Sprintf("%032d", len(f.calls)), text: text, created: f.now()}
	s.versions = append(s.versions, v)
	for _, stage := range stages {
		s.label(stage, v)
	}
	return v, s.forget()
}

func (f *fakeSecrets) GetSecretValue(_ context.Context, in *secretsmanager.GetSecretValueInput, _ ...func(*secretsmanager.Options)) (*secretsmanager.GetSecretValueOutput, error) {
	s, err := f.call("GetSecretValue", in.SecretId)
	if err != nil {
		return nil, err
	}
	for _, v := range s.versions {
		if in.VersionId != nil && v.id == *in.VersionId || in.VersionId == nil && slices.Contains(v.stages, "AWSCURRENT") {
			return &secretsmanager.GetSecretValueOutput{ARN: aws.String("arn:" + *in.SecretId), VersionId: &v.id, SecretString: &v.text, CreatedDate: &v.created}, nil
		}
	}
	return nil, apiError("ResourceNotFoundException", "no such version")
}

func (f *fakeSecrets) DescribeSecret(_ context.Context, in *secretsmanager.DescribeSecretInput, _ ...func(*secretsmanager.Options)) (*secretsmanager.DescribeSecretOutput, error) {
	s := f.secrets[*in.SecretId]
	if s == nil {
		return nil, apiError("ResourceNotFoundException", "no such secret")
	}
	out := &secretsmanager.DescribeSecretOutput{ARN: aws.String("arn:" + *in.SecretId), VersionIdsToStages: map[string][]string{}}
	if s.deleted {
		out.DeletedDate = aws.Time(f.now())
	}
	for _, v := range s.versions {
		out.VersionIdsToStages[v.id] = v.stages
	}
	return out, nil
}

func (f *fakeSecrets) CreateSecret(_ context.Context, in *secretsmanager.CreateSecretInput, _ ...func(*secretsmanager.Options)) (*secretsmanager.CreateSecretOutput, error) {
	if _, err := f.call("CreateSecret", in.Name); err != nil {
		return nil, err
	}
	s := &fakeSecret{}
	f.secrets[*in.Name] = s
	v, err := f.put(s, *in.SecretString, "AWSCURRENT")
	return &secretsmanager.CreateSecretOutput{ARN: aws.String("arn:" + *in.Name), VersionId: &v.id}, err
}

func (f *fakeSecrets) PutSecretValue(_ context.Context, in *secretsmanager.PutSecretValueInput, _ ...func(*secretsmanager.Options)) (*secretsmanager.PutSecretValueOutput, error) {
	s, err := f.call("PutSecretValue", in.SecretId)
	if err != nil {
		return nil, err
	}
	v, err := f.put(s, *in.SecretString, in.VersionStages...)
	return &secretsmanager.PutSecretValueOutput{ARN: aws.String("arn:" + *in.SecretId), VersionId: &v.id}, err
}

func (f *fakeSecrets) RestoreSecret(_ context.Context, in *secretsmanager.RestoreSecretInput, _ ...func(*secretsmanager.Options)) (*secretsmanager.RestoreSecretOutput, error) {
	s, err := f.call("RestoreSecret", in.SecretId)
	if err == nil {
		s.deleted = false
	}
	return &secretsmanager.RestoreSecretOutput{}, err
}

func (f *fakeSecrets) DeleteSecret(_ context.Context, in *secretsmanager.DeleteSecretInput, _ ...func(*secretsmanager.Options)) (*secretsmanager.DeleteSecretOutput, error) {
	s, err := f.call("DeleteSecret", in.SecretId)
	if err == nil {
		s.deleted = true
		if aws.ToInt64(in.RecoveryWindowInDays) < 7 {
			return nil, apiError("InvalidParameterException", "no way back")
		}
	}
	return &secretsmanager.DeleteSecretOutput{}, err
}

func (f *fakeSecrets) ListSecretVersionIds(_ context.Context, in *secretsmanager.ListSecretVersionIdsInput, _ ...func(*secretsmanager.Options)) (*secretsmanager.ListSecretVersionIdsOutput, error) {
	s, err := f.call("ListSecretVersionIds", in.SecretId)
	if err != nil {
		return nil, err
	}
	// Two pages, where there are as many.
	from, to, next := 0, len(s.versions), (*string)(nil)
	if in.NextToken != nil {
		from = len(s.versions) / 2
	} else if len(s.versions) > 1 {
		to, next = len(s.versions)/2, aws.String("more")
	}
	out := &secretsmanager.ListSecretVersionIdsOutput{NextToken: next}
	for _, v := range s.versions[from:to] {
		out.Versions = append(out.Versions, types.SecretVersionsListEntry{VersionId: &v.id, CreatedDate: &v.created, VersionStages: v.stages})
	}
	return out, nil
}

func (f *fakeSecrets) UpdateSecretVersionStage(_ context.Context, in *secretsmanager.UpdateSecretVersionStageInput, _ ...func(*secretsmanager.Options)) (*secretsmanager.UpdateSecretVersionStageOutput, error) {
	s, err := f.call("UpdateSecretVersionStage", in.SecretId)
	if err != nil {
		return nil, err
	}
	for _, v := range slices.Clone(s.versions) {
		if v.id == aws.ToString(in.RemoveFromVersionId) {
			v.stages = slices.DeleteFunc(v.stages, func(stage string) bool { return stage == *in.VersionStage })
		}
		if v.id == aws.ToString(in.MoveToVersionId) {
			s.label(*in.VersionStage, v)
		}
	}
	return &secretsmanager.UpdateSecretVersionStageOutput{}, s.forget()
}

// newStore returns a store on a clock that moves by a minute at each look.
func newStore() (*SecretStore, *fakeSecrets) {
	at := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	clock := func() time.Time { at = at.Add(time.Minute); return at }
	f := &fakeSecrets{now: clock, secrets: map[string]*fakeSecret{}, fail: map[string]error{}}
	return &SecretStore{Name: "shop/production/functions", api: f, explain: (&Clients{}).Explain, now: clock}, f
}

func TestSecretStore(t *testing.T) {
	ctx := t.Context()
	s, f := newStore()
	if d, err := s.Describe(ctx); d != nil || err != nil {
		t.Fatalf("nothing is there, and it found %v, %v", d, err)
	}
	if v, err := s.Read(ctx); v != nil || err != nil {
		t.Fatalf("nothing is there, and it read %v, %v", v, err)
	}
	first, err := s.Write(ctx, nil, map[string]string{"A": "1", "HTML": "<&>"})
	if err != nil {
		t.Fatal(err)
	}
	if got := f.secrets[s.Name].versions[0].text; got != `{"A":"1","HTML":"<&>"}` {
		t.Errorf("wrote %s", got)
	}
	read, err := s.Read(ctx)
	if err != nil || read.Version != first.Version || read.ARN != first.ARN || !maps.Equal(read.Values, first.Values) {
		t.Fatalf("%+v, %v", read, err)
	}
	same, err := s.Write(ctx, read, map[string]string{"HTML": "<&>", "A": "1"})
	if err != nil || same.Version != first.Version || slices.Contains(f.calls, "PutSecretValue") {
		t.Errorf("the same values made the version %s of %s: %v, calls %v", same.Version, first.Version, err, f.calls)
	}
	second, err := s.Write(ctx, read, map[string]string{"A": "2"})
	if err != nil || second.Version == first.Version {
		t.Fatalf("%+v, %v", second, err)
	}

	if d, err := s.Describe(ctx); err != nil || d.Version != second.Version || d.ARN != second.ARN || d.Deleted || d.Values != nil {
		t.Errorf("%+v, %v", d, err)
	}
	if was, err := s.Delete(ctx); !was || err != nil {
		t.Errorf("%v, %v", was, err)
	}
	if was, err := s.Delete(ctx); was || err != nil {
		t.Errorf("deleted twice: %v, %v", was, err)
	}
	if d, err := s.Describe(ctx); err != nil || !d.Deleted {
		t.Errorf("%+v, %v", d, err)
	}
	gone, err := s.Read(ctx)
	if err != nil || !gone.Deleted {
		t.Fatalf("%+v, %v", gone, err)
	}
	back, err := s.Write(ctx, gone, map[string]string{"A": "2"})
	if err != nil || back.Version != second.Version {
		t.Errorf("brought back %+v, %v", back, err)
	}
}

// TestSecretVersionsAreKept checks that what old releases name is still there
// after many changes, that labels do not run out, and what list knows.
func TestSecretVersionsAreKept(t *testing.T) {
	ctx := t.Context()
	s, f := newStore()
	var written []*SecretValue
	var was *SecretValue
	for i := range 40 {
		v, err := s.Write(ctx, was, map[string]string{"N": fmt.Sprint(i), "OLD": "x"}, func() []string {
			if i > 10 { // the release that runs was made with the tenth
				return []string{written[10].Version}
			}
			return nil
		}()...)
		if err != nil {
			t.Fatalf("write %d: %v", i, err)
		}
		written, was = append(written, v), v
	}
	there := func(v *SecretValue) bool {
		return slices.ContainsFunc(f.secrets[s.Name].versions, func(have *fakeVersion) bool { return have.id == v.Version })
	}
	for i, v := range written {
		if want := i >= 40-keptVersions || i == 10; there(v) != want {
			t.Errorf("version %d is kept: %v, want %v", i, !want, want)
		}
	}
	list, _, err := s.list(ctx)
	if err != nil || len(list) != 2 {
		t.Fatalf("%+v, %v", list, err)
	}
	if n := list[0]; n.Name != "N" || n.Before || n.Changed.Before(written[38].Created) {
		t.Errorf("N was changed last: %+v", n)
	}
	if old := list[1]; old.Name != "OLD" || !old.Before || old.Changed.After(written[11].Created) {
		t.Errorf("OLD was never changed: %+v", old)
	}
}

func TestSecretList(t *testing.T) {
	ctx := t.Context()
	s, _ := newStore()
	if list, _, err := s.list(ctx); len(list) != 0 || err != nil {
		t.Errorf("%v, %v", list, err)
	}
	first, _ := s.Write(ctx, nil, map[string]string{"A": "1", "B": "1"})
	second, _ := s.Write(ctx, first, map[string]string{"A": "1", "B": "2"})
	if _, err := s.Write(ctx, second, map[string]string{"A": "1", "B": "2", "C": "1"}); err != nil {
		t.Fatal(err)
	}
	list, version, err := s.list(ctx)
	if v, _ := s.Read(ctx); v.Version != version {
		t.Errorf("the version is %s, not %s", version, v.Version)
	}
	if err != nil || len(list) != 3 {
		t.Fatalf("%+v, %v", list, err)
	}
	if !(list[0].Changed.Before(list[1].Changed) && list[1].Changed.Before(list[2].Changed)) || list[0].Before {
		t.Errorf("%+v", list)
	}
}

func TestSecretFailures(t *testing.T) {
	ctx := t.Context()
	s, f := newStore()
	f.secrets[s.Name] = &fakeSecret{versions: []*fakeVersion{{id: "v", text: `sesame`, stages: []string{"AWSCURRENT"}}}}
	if _, err := s.Read(ctx); err == nil || !strings.Contains(err.Error(), "no JSON object") || strings.Contains(err.Error(), "sesame") {
		t.Errorf("%v", err)
	}
	if _, err := s.Write(ctx, nil, map[string]string{"A": strings.Repeat("x", maxSecret)}); err == nil || !strings.Contains(err.Error(), "takes 65536") {
		t.Errorf("%v", err)
	}
	for op, want := range map[string]string{
		"GetSecretValue": "read the secret", "CreateSecret": "make the secret", "PutSecretValue": "write the secret", "ListSecretVersionIds": "list the versions",
		"DeleteSecret": "delete the secret", "RestoreSecret": "bring back", "UpdateSecretVersionStage": "label a version",
	} {
		s, f := newStore()
		f.fail[op] = apiError("AccessDeniedException", "not allowed")
		var err error
		switch op {
		case "GetSecretValue":
			_, err = s.Read(ctx)
		case "PutSecretValue", "ListSecretVersionIds":
			was, _ := s.Write(ctx, nil, map[string]string{})
			_, err = s.Write(ctx, was, map[string]string{"A": "1"})
		case "DeleteSecret":
			_, err = s.Delete(ctx)
		case "RestoreSecret":
			_, err = s.Write(ctx, &SecretValue{Deleted: true}, nil)
		default:
			_, err = s.Write(ctx, nil, map[string]string{"A": "1"})
		}
		var p *Problem
		if !errors.As(err, &p) || !strings.Contains(p.What, want) || len(p.Next) == 0 {
			t.Errorf("%s: %v", op, err)
		}
	}
}
