package deploy

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// Clients are the services of AWS that are called, with one set of credentials
// in one region.
type Clients struct {
	// Region is where all of them are; Profile is the one of the AWS
	// configuration that was asked for, "" for none.
	Region, Profile string

	STS            *sts.Client
	CloudFormation *cloudformation.Client
	ECR            *ecr.Client
	ECS            *ecs.Client
	ELB            *elasticloadbalancingv2.Client
	Secrets        *secretsmanager.Client
	Logs           *cloudwatchlogs.Client
	CloudWatch     *cloudwatch.Client
	IAM            *iam.Client
}

const (
	// callTimeout bounds one try of one call. The longest answers, a template
	// and a page of log lines, take a second or two.
	callTimeout = 30 * time.Second
	// callAttempts are the tries of a call that is throttled or fails on the
	// way. An account's limits are shared with everything else in it.
	callAttempts = 8
)

// Connect makes the clients from what the AWS tools use: variables, profiles,
// single sign-on, roles of containers and machines. profile and region may be
// "". It calls nobody, except a service of the machine that gives a region.
func Connect(ctx context.Context, profile, region string) (*Clients, error) {
	o := []func(*config.LoadOptions) error{
		config.WithHTTPClient(awshttp.NewBuildableClient().WithTimeout(callTimeout)),
	}
	if profile != "" {
		o = append(o, config.WithSharedConfigProfile(profile))
	}
	if region != "" {
		o = append(o, config.WithRegion(region))
	}
	if os.Getenv("AWS_RETRY_MODE") == "" {
		// It slows down by itself when told that calls come too fast.
		o = append(o, config.WithRetryMode(aws.RetryModeAdaptive))
	}
	if os.Getenv("AWS_MAX_ATTEMPTS") == "" {
		o = append(o, config.WithRetryMaxAttempts(callAttempts))
	}
	cfg, err := config.LoadDefaultConfig(ctx, o...)
	if err != nil {
		return nil, explainConfig(err, profile)
	}
	if cfg.Region == "" {
		return nil, &Problem{
			What: "no AWS region is chosen", Usage: true,
			Next: []string{"name one with --region, AWS_REGION or region in selvedge.toml, such as eu-central-1 or us-east-1"},
		}
	}
	return NewClients(cfg, profile), nil
}

// NewClients makes the clients of a configuration.
func NewClients(cfg aws.Config, profile string) *Clients {
	cfg.AppID = "selvedge"
	return &Clients{
		Region: cfg.Region, Profile: profile,
		STS:            sts.NewFromConfig(cfg),
		CloudFormation: cloudformation.NewFromConfig(cfg),
		ECR:            ecr.NewFromConfig(cfg),
		ECS:            ecs.NewFromConfig(cfg),
		ELB:            elasticloadbalancingv2.NewFromConfig(cfg),
		Secrets:        secretsmanager.NewFromConfig(cfg),
		Logs:           cloudwatchlogs.NewFromConfig(cfg),
		CloudWatch:     cloudwatch.NewFromConfig(cfg),
		IAM:            iam.NewFromConfig(cfg),
	}
}

// explainConfig says what is wrong with the AWS configuration files.
func explainConfig(err error, profile string) error {
	p := &Problem{What: "the AWS configuration cannot be used", Why: err.Error(), Err: err, Usage: true,
		Next: []string{"look at ~/.aws/config and ~/.aws/credentials, or at the variables AWS_*"}}
	if isMissingProfile(err) {
		p.What = fmt.Sprintf("there is no AWS profile %q", profile)
		p.Why = ""
		p.Next = []string{"list those there are: aws configure list-profiles", "make it: aws configure --profile " + profile}
	}
	return p
}
