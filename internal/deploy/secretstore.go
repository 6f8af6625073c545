package deploy

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
)

// secretsAPI are the calls of Secrets Manager that a store makes.
type secretsAPI interface {
	DescribeSecret(context.Context, *secretsmanager.DescribeSecretInput, ...func(*secretsmanager.Options)) (*secretsmanager.DescribeSecretOutput, error)
	GetSecretValue(context.Context, *secretsmanager.GetSecretValueInput, ...func(*secretsmanager.Options)) (*secretsmanager.GetSecretValueOutput, error)
	CreateSecret(context.Context, *secretsmanager.CreateSecretInput, ...func(*secretsmanager.Options)) (*secretsmanager.CreateSecretOutput, error)
	PutSecretValue(context.Context, *secretsmanager.PutSecretValueInput, ...func(*secretsmanager.Options)) (*secretsmanager.PutSecretValueOutput, error)
	RestoreSecret(context.Context, *secretsmanager.RestoreSecretInput, ...func(*secretsmanager.Options)) (*secretsmanager.RestoreSecretOutput, error)
	DeleteSecret(context.Context, *secretsmanager.DeleteSecretInput, ...func(*secretsmanager.Options)) (*secretsmanager.DeleteSecretOutput, error)
	ListSecretVersionIds(context.Context, *secretsmanager.ListSecretVersionIdsInput, ...func(*secretsmanager.Options)) (*secretsmanager.ListSecretVersionIdsOutput, error)
	UpdateSecretVersionStage(context.Context, *secretsmanager.UpdateSecretVersionStageInput, ...func(*secretsmanager.Options)) (*secretsmanager.UpdateSecretVersionStageOutput, error)
}

// A SecretStore is one secret of Secrets Manager that holds a JSON object of
// variables.
//
// Releases name the version of it that they were made with, so that one can go
// back to an old release with its secrets. Secrets Manager forgets versions
// without a label, so the store labels those it writes, the last keptVersions of
// them.
type SecretStore struct {
	// Name is the secret's.
	Name    string
	api     secretsAPI
	explain func(doing string, err error) error
	now     func() time.Time
}

const (
	// keptLabel begins the labels of versions that are kept.
	keptLabel = "kept-"
	// keptVersions leaves room below the 20 labels that a secret may have, of
	// which AWS uses three itself.
	keptVersions = 15
	// maxSecret is what a secret may hold, in bytes.
	maxSecret = 65536
	// recoveryDays is how long a deleted secret can be brought back.
	recoveryDays = 30
)

// SecretStore returns the store of a name.
func (c *Clients) SecretStore(name string) *SecretStore {
	return &SecretStore{Name: name, api: c.Secrets, explain: c.Explain, now: time.Now}
}

// A SecretValue is a version of a secret.
type SecretValue struct {
	ARN, Version string
	Values       map[string]string
	Created      time.Time
	// Deleted is set where the secret waits for its end; it can be read after
	// it is restored.
	Deleted bool
}

// Describe returns what Read does, without the values.
func (s *SecretStore) Describe(ctx context.Context) (*SecretValue, error) {
	out, err := s.api.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: &s.Name})
	switch {
	case isAbsent(err):
		return nil, nil
	case err != nil:
		return nil, s.explain("look for the secret "+s.Name, err)
	}
	v := &SecretValue{ARN: aws.ToString(out.ARN), Created: aws.ToTime(out.LastChangedDate), Deleted: out.DeletedDate != nil}
	for id, labels := range out.VersionIdsToStages {
		if slices.Contains(labels, "AWSCURRENT") {
			v.Version = id
		}
	}
	return v, nil
}

// Read returns the newest version, nil where there is no such secret.
func (s *SecretStore) Read(ctx context.Context) (*SecretValue, error) { return s.read(ctx, "") }

// read returns a version, "" for the newest.
func (s *SecretStore) read(ctx context.Context, version string) (*SecretValue, error) {
	in := &secretsmanager.GetSecretValueInput{SecretId: &s.Name}
	if version != "" {
		in.VersionId = &version
	}
	out, err := s.api.GetSecretValue(ctx, in)
	switch {
	case isAbsent(err):
		return nil, nil
	case isDeleted(err):
		return &SecretValue{Deleted: true, Values: map[string]string{}}, nil
	case err != nil:
		return nil, s.explain("read the secret "+s.Name, err)
	}
	v := &SecretValue{ARN: aws.ToString(out.ARN), Version: aws.ToString(out.VersionId), Created: aws.ToTime(out.CreatedDate)}
	if err := json.Unmarshal([]byte(aws.ToString(out.SecretString)), &v.Values); err != nil || v.Values == nil {
		// Not err: it quotes what it stumbled over.
		return nil, &Problem{What: "the secret " + s.Name + " holds no JSON object of texts",
			Why:  "somebody has written it by other means",
			Next: []string{"write it anew in the console of Secrets Manager, as {\"NAME\": \"value\"}, or delete it"}}
	}
	return v, nil
}

// isDeleted reports whether Secrets Manager says that the secret waits for its
// end.
func isDeleted(err error) bool {
	return hasCode(err, "InvalidRequestException") && (strings.Contains(err.Error(), "marked for deletion") || strings.Contains(err.Error(), "marked deleted") || strings.Contains(err.Error(), "scheduled for deletion"))
}

// Write makes a new version of these values, and the secret, if need be.
// Where the newest version has them already, that one is returned. was is what
// Read returned. The versions of keep are among those that are not forgotten.
func (s *SecretStore) Write(ctx context.Context, was *SecretValue, values map[string]string, keep ...string) (*SecretValue, error) {
	if was != nil && was.Deleted {
		if _, err := s.api.RestoreSecret(ctx, &secretsmanager.RestoreSecretInput{SecretId: &s.Name}); err != nil {
			return nil, s.explain("bring back the secret "+s.Name, err)
		}
		var err error
		if was, err = s.Read(ctx); err != nil {
			return nil, err
		}
	}
	if was != nil && maps.Equal(was.Values, values) {
		return was, nil
	}
	text := objectText(values)
	if len(text) > maxSecret {
		return nil, &Problem{What: fmt.Sprintf("the secret %s would have %d bytes", s.Name, len(text)), Usage: true,
			Why: fmt.Sprintf("Secrets Manager takes %d", maxSecret)}
	}
	v := &SecretValue{Values: maps.Clone(values), Created: s.now()}
	if was == nil {
		out, err := s.api.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: &s.Name, SecretString: &text,
			Description: aws.String("Written by selvedge; change it with `selvedge secrets`")})
		if err != nil {
			return nil, s.explain("make the secret "+s.Name, err)
		}
		v.ARN, v.Version = aws.ToString(out.ARN), aws.ToString(out.VersionId)
		_, err = s.api.UpdateSecretVersionStage(ctx, &secretsmanager.UpdateSecretVersionStageInput{
			SecretId: &s.Name, VersionStage: aws.String(s.label()), MoveToVersionId: &v.Version})
		return v, s.explain("label a version of the secret "+s.Name, err)
	}
	if err := s.forget(ctx, keep); err != nil {
		return nil, err
	}
	out, err := s.api.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: &s.Name, SecretString: &text,
		VersionStages: []string{"AWSCURRENT", s.label()}})
	if err != nil {
		return nil, s.explain("write the secret "+s.Name, err)
	}
	v.ARN, v.Version = aws.ToString(out.ARN), aws.ToString(out.VersionId)
	return v, nil
}

// label is the next label. Two versions never have the same: a label that is
// given again moves.
func (s *SecretStore) label() string {
	return keptLabel + s.now().UTC().Format("20060102T150405.000000Z")
}

// forget takes the labels off the oldest versions, so that there is one to give.
func (s *SecretStore) forget(ctx context.Context, keep []string) error {
	versions, err := s.versions(ctx)
	if err != nil {
		return err
	}
	for i, v := range versions {
		if i < keptVersions-1 || slices.Contains(keep, aws.ToString(v.VersionId)) {
			continue
		}
		for _, label := range v.VersionStages {
			if !strings.HasPrefix(label, keptLabel) {
				continue
			}
			_, err := s.api.UpdateSecretVersionStage(ctx, &secretsmanager.UpdateSecretVersionStageInput{
				SecretId: &s.Name, VersionStage: &label, RemoveFromVersionId: v.VersionId})
			if err != nil {
				return s.explain("take a label off a version of the secret "+s.Name, err)
			}
		}
	}
	return nil
}

// versions lists what is kept, the newest first.
func (s *SecretStore) versions(ctx context.Context) ([]types.SecretVersionsListEntry, error) {
	var all []types.SecretVersionsListEntry
	in := &secretsmanager.ListSecretVersionIdsInput{SecretId: &s.Name}
	for {
		out, err := s.api.ListSecretVersionIds(ctx, in)
		if err != nil {
			return nil, s.explain("list the versions of the secret "+s.Name, err)
		}
		all = append(all, out.Versions...)
		if in.NextToken = out.NextToken; aws.ToString(in.NextToken) == "" {
			break
		}
	}
	slices.SortStableFunc(all, func(a, b types.SecretVersionsListEntry) int {
		return cmp.Or(aws.ToTime(b.CreatedDate).Compare(aws.ToTime(a.CreatedDate)), slices.Compare(b.VersionStages, a.VersionStages))
	})
	return all, nil
}

// A NamedSecret is a member of a secret, without its value.
type NamedSecret struct {
	Name string `json:"name"`
	// Changed is when it got its value. Before is set where that was before
	// all versions that are kept, of which Changed is then the oldest.
	Changed time.Time `json:"changed"`
	Before  bool      `json:"before,omitempty"`
}

// list returns the names in a secret, sorted, and when each was last changed:
// what the versions that are kept tell. version is the newest one's id.
func (s *SecretStore) list(ctx context.Context) (names []NamedSecret, version string, err error) {
	current, err := s.Read(ctx)
	if err != nil || current == nil || current.Deleted {
		return nil, "", err
	}
	versions, err := s.versions(ctx)
	if err != nil {
		return nil, "", err
	}
	var list []NamedSecret
	open := map[string]bool{} // those whose last change is not found yet
	incomplete := len(versions) >= keptVersions
	for _, name := range slices.Sorted(maps.Keys(current.Values)) {
		list = append(list, NamedSecret{Name: name, Changed: current.Created})
		open[name] = true
	}
	for _, entry := range versions {
		id := aws.ToString(entry.VersionId)
		if id == current.Version || entry.CreatedDate != nil && entry.CreatedDate.After(current.Created) {
			continue
		}
		if len(open) == 0 {
			break
		}
		old, err := s.read(ctx, id)
		if err != nil || old == nil { // it may be gone by now, or be another's
			incomplete = true
			break
		}
		for i := range list {
			name := list[i].Name
			if !open[name] {
				continue
			}
			if value, ok := old.Values[name]; !ok || value != current.Values[name] {
				delete(open, name)
				continue
			}
			list[i].Changed = old.Created
		}
	}
	for i := range list {
		list[i].Before = open[list[i].Name] && incomplete
	}
	return list, current.Version, nil
}

// Delete has the secret deleted in recoveryDays. It reports whether there was
// one.
func (s *SecretStore) Delete(ctx context.Context) (bool, error) {
	_, err := s.api.DeleteSecret(ctx, &secretsmanager.DeleteSecretInput{SecretId: &s.Name, RecoveryWindowInDays: aws.Int64(recoveryDays)})
	switch {
	case isAbsent(err), isDeleted(err):
		return false, nil
	case err != nil:
		return false, s.explain("delete the secret "+s.Name, err)
	}
	return true, nil
}

// objectText writes a JSON object, the same one for the same values.
func objectText(values map[string]string) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(values) // a map of strings always marshals
	return strings.TrimSuffix(b.String(), "\n")
}
