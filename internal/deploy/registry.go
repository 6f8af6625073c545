package deploy

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/ecr"

	"github.com/selvedge-dev/selvedge/internal/stack"
)

// A Destination is a repository of a registry, and how to get in.
type Destination struct {
	// Host may have a port; Insecure means that it speaks HTTP.
	Host     string
	Insecure bool
	// Repository is the path of the repository there.
	Repository     string
	User, Password string
}

// makeRegistry makes the stack of the repository where it is missing, and
// returns the repository's URI.
func (o *Operator) makeRegistry(ctx context.Context, k *Stack) (string, error) {
	if k, err := o.ready(ctx, k); err != nil {
		return "", err
	} else if k.exists() {
		return k.Outputs["RepositoryUri"], nil
	}
	if o.DryRun {
		return o.assumedRepository(), nil
	}
	bounded, cancel := o.bounded(ctx)
	defer cancel()
	name := o.Settings.RegistryStack()
	out, err := o.CloudFormation.CreateStack(bounded, &cloudformation.CreateStackInput{
		StackName: &name, TemplateBody: aws.String(string(stack.Registry().YAML())), ClientRequestToken: aws.String("selvedge-" + o.began.UTC().Format("20060102T150405")),
		Parameters: []types.Parameter{
			{ParameterKey: aws.String("ProjectName"), ParameterValue: &o.Settings.Project},
			{ParameterKey: aws.String("Environment"), ParameterValue: &o.Settings.Environment},
		},
		OnFailure: types.OnFailureDelete,
	})
	if err != nil {
		return "", o.Explain("make the repository's stack "+name, err)
	}
	// All of its events are about this. By its id it is known also when it is
	// gone again.
	w := &watch{o: o, stack: aws.ToString(out.StackId), total: 1, state: map[string]types.ResourceStatus{}, finished: map[string]bool{}}
	made, err := w.run(bounded)
	switch {
	case err != nil && bounded.Err() != nil:
		return "", o.stopped(ended(bounded), "CloudFormation made the repository", "CloudFormation goes on making it; nothing else was changed", "run the command again")
	case err != nil:
		return "", o.Explain("follow the making of "+name, err)
	case made == nil || !made.Is(types.StackStatusCreateComplete):
		p := &Problem{What: "the repository could not be made", State: "nothing is left of it"}
		for _, f := range w.failed {
			p.Details = append(p.Details, f.Name+": "+f.Reason)
		}
		p.Next = adviceFor(p.Details...)
		return "", p
	}
	return made.Outputs["RepositoryUri"], nil
}

// assumedRepository is the URI that the repository will have.
func (o *Operator) assumedRepository() string {
	domain := "amazonaws.com"
	if strings.HasPrefix(o.Region, "cn-") {
		domain += ".cn"
	}
	return fmt.Sprintf("%s.dkr.ecr.%s.%s/%s", o.account, o.Region, domain, o.Settings.Stack())
}

// destination asks ECR how to push to a repository.
func (o *Operator) destination(ctx context.Context, uri string) (Destination, error) {
	out, err := o.ECR.GetAuthorizationToken(ctx, &ecr.GetAuthorizationTokenInput{})
	if err != nil {
		return Destination{}, o.Explain("log in to the registry", err)
	}
	_, repository, _ := strings.Cut(uri, "/")
	d := Destination{Repository: repository}
	for _, a := range out.AuthorizationData {
		u, err := url.Parse(aws.ToString(a.ProxyEndpoint))
		if err != nil || u.Host == "" {
			continue
		}
		raw, err := base64.StdEncoding.DecodeString(aws.ToString(a.AuthorizationToken))
		if err != nil {
			continue
		}
		d.Host, d.Insecure = u.Host, u.Scheme == "http"
		d.User, d.Password, _ = strings.Cut(string(raw), ":")
		return d, nil
	}
	return d, &Problem{What: "ECR gives no way to log in to the registry"}
}
