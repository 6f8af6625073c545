package deploy

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	ecrtypes "github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/selvedge-dev/selvedge/internal/stack"
)

// A Release is a revision of the service's task definition.
type Release struct {
	Revision int       `json:"revision"`
	Time     time.Time `json:"time"`
	// Release is the tag that its image was pushed with.
	Release string `json:"release,omitempty"`
	Image   string `json:"image"`
	Digest  string `json:"digest,omitempty"`
	// By is who deployed it, an ARN.
	By string `json:"by,omitempty"`
	// Current is set for the one that runs.
	Current bool `json:"current,omitempty"`
	// Gone is set where the image is no longer in the repository.
	Gone bool   `json:"gone,omitempty"`
	ARN  string `json:"task_definition"`

	secrets map[string]string // the version of each secret parameter
}

// Releases lists the newest revisions of a deployment, the newest first.
func (c *Clients) Releases(ctx context.Context, t Target, most int) ([]Release, error) {
	if _, err := c.NeedStack(ctx, t); err != nil {
		return nil, err
	}
	list, err := c.releases(ctx, t, most)
	if err != nil {
		return nil, err
	}
	return list, c.markGone(ctx, t, list)
}

// releases lists them without looking for their images.
func (c *Clients) releases(ctx context.Context, t Target, most int) ([]Release, error) {
	name := t.Stack()
	var arns []string
	in := &ecs.ListTaskDefinitionsInput{FamilyPrefix: &name, Sort: ecstypes.SortOrderDesc, Status: ecstypes.TaskDefinitionStatusActive, MaxResults: aws.Int32(int32(min(most, 100)))}
	for len(arns) < most {
		out, err := c.ECS.ListTaskDefinitions(ctx, in)
		if err != nil {
			return nil, c.Explain("list the releases of "+name, err)
		}
		for _, arn := range out.TaskDefinitionArns {
			// A prefix finds families that begin with the name as well.
			if family, _, _ := strings.Cut(lastPart(arn), ":"); family == name {
				arns = append(arns, arn)
			}
		}
		if in.NextToken = out.NextToken; aws.ToString(in.NextToken) == "" {
			break
		}
	}
	arns = arns[:min(len(arns), most)]
	current, err := c.currentDefinition(ctx, name)
	if err != nil {
		return nil, err
	}
	if current != "" && !slices.Contains(arns, current) {
		arns = append(arns, current)
	}
	list := make([]Release, len(arns))
	var all []func() error
	for i, arn := range arns {
		all = append(all, func() error {
			out, err := c.ECS.DescribeTaskDefinition(ctx, &ecs.DescribeTaskDefinitionInput{TaskDefinition: &arn})
			if err != nil {
				return c.Explain("read the release "+lastPart(arn), err)
			}
			list[i] = readRelease(out.TaskDefinition)
			list[i].Current = arn == current
			return nil
		})
	}
	for batch := range slices.Chunk(all, 8) {
		if err := together(batch...); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(list, func(a, b Release) int { return cmp.Compare(b.Revision, a.Revision) })
	return list, nil
}

// currentDefinition is the task definition that the service runs, or is on the
// way to, "" where there is no service.
func (c *Clients) currentDefinition(ctx context.Context, name string) (string, error) {
	out, err := c.ECS.DescribeServices(ctx, &ecs.DescribeServicesInput{Cluster: &name, Services: []string{name}})
	if isAbsent(err) || err == nil && len(out.Services) == 0 {
		return "", nil
	}
	if err != nil {
		return "", c.Explain("read the service "+name, err)
	}
	return aws.ToString(out.Services[0].TaskDefinition), nil
}

func readRelease(d *ecstypes.TaskDefinition) Release {
	r := Release{Revision: int(d.Revision), Time: aws.ToTime(d.RegisteredAt), By: aws.ToString(d.RegisteredBy), ARN: aws.ToString(d.TaskDefinitionArn), secrets: map[string]string{}}
	for _, c := range d.ContainerDefinitions {
		if aws.ToString(c.Name) != stack.ContainerName {
			continue
		}
		r.Image, r.Release = aws.ToString(c.Image), c.DockerLabels[stack.ReleaseLabel]
		if _, digest, ok := strings.Cut(r.Image, "@"); ok {
			r.Digest = digest
		}
		for _, s := range c.Secrets {
			// ARN:KEY:STAGE:VERSION, where an ARN has seven parts.
			parts := strings.Split(aws.ToString(s.ValueFrom), ":")
			if len(parts) != 10 || parts[9] == "" {
				continue
			}
			arn := strings.Join(parts[:7], ":")
			switch aws.ToString(s.Name) {
			case "JWT_SECRET":
				r.secrets["KeysSecretArn"], r.secrets["KeysSecretVersion"] = arn, parts[9]
			case "SELVEDGE_FUNCTION_SECRETS":
				r.secrets["FunctionSecretsArn"], r.secrets["FunctionSecretsVersion"] = arn, parts[9]
			}
		}
	}
	return r
}

// markGone asks ECR which of the images are still there.
func (c *Clients) markGone(ctx context.Context, t Target, list []Release) error {
	var ids []ecrtypes.ImageIdentifier
	for _, r := range list {
		if r.Digest != "" && !slices.ContainsFunc(ids, func(id ecrtypes.ImageIdentifier) bool { return *id.ImageDigest == r.Digest }) {
			ids = append(ids, ecrtypes.ImageIdentifier{ImageDigest: aws.String(r.Digest)})
		}
	}
	there := map[string]bool{}
	for batch := range slices.Chunk(ids, 100) {
		out, err := c.ECR.BatchGetImage(ctx, &ecr.BatchGetImageInput{RepositoryName: aws.String(t.Stack()), ImageIds: batch})
		if isAbsent(err) {
			break // the repository is gone
		}
		if err != nil {
			return c.Explain("ask the registry for the images", err)
		}
		for _, img := range out.Images {
			there[aws.ToString(img.ImageId.ImageDigest)] = true
		}
	}
	for i := range list {
		list[i].Gone = list[i].Digest != "" && !there[list[i].Digest]
	}
	return nil
}

// choose finds the release that a version means: a revision's number, a
// release's tag, or the beginning of a digest. "" is the one before the
// current one.
func choose(list []Release, version string) (*Release, error) {
	at := slices.IndexFunc(list, func(r Release) bool { return r.Current })
	if version == "" {
		if at < 0 {
			return nil, &Problem{What: "no release runs, so there is none before it", Next: []string{"name one: selvedge rollback VERSION", "list them: selvedge releases"}}
		}
		for i := at + 1; i < len(list); i++ {
			if list[i].Image != list[at].Image && !list[i].Gone {
				return &list[i], nil
			}
		}
		return nil, &Problem{What: "there is no release before the current one", Next: []string{"list them: selvedge releases"}}
	}
	for i := range list { // the newest first
		r := &list[i]
		digest := strings.TrimPrefix(r.Digest, "sha256:")
		if fmt.Sprint(r.Revision) == version || r.Release == version || len(version) >= 6 && strings.HasPrefix(digest, strings.TrimPrefix(version, "sha256:")) {
			return r, nil
		}
	}
	return nil, &Problem{What: "there is no release " + version, Usage: true, Next: []string{"list them: selvedge releases", "a version is a revision (7), a release (20260102T030405Z) or the beginning of an image's digest"}}
}
