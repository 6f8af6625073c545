package aws

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	cft "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"

	"github.com/selvedge-dev/selvedge/e2e/harness"
)

// TestTemplate has CloudFormation make the template's resources, with the
// defaults and with everything on, and remove them again.
func TestTemplate(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(harness.Repo, "aws-cloudformation.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for name, set := range map[string][]string{
		"defaults": nil,
		"everything": {
			"DomainName", "functions.example.com", "HostedZoneId", "ZONE", "NetworkMode", "private-nat", "FargateSpot", "true", "EnableAlarms", "true",
			"AlarmEmail", "ops@example.com", "EnableWAF", "true", "EnableTracing", "true", "EnableExec", "true", "EnableInsights", "true",
			"MonthlyBudgetUSD", "50", "RequestsPerTarget", "100", "CPU", "1024", "Memory", "2048", "CpuArchitecture", "ARM64",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSDK(t)
			zone := s.zone("example.com")
			for i := range set {
				set[i] = strings.Replace(set[i], "ZONE", zone, 1)
			}
			image := s.imageIn("template-test", "1")
			before := s.inventory()
			in := &cloudformation.CreateStackInput{
				StackName: aws.String("template-test"), TemplateBody: aws.String(string(raw)), Capabilities: []cft.Capability{cft.CapabilityCapabilityIam},
				Parameters: parameters(append([]string{
					"ProjectName", "template", "Environment", "test", "ImageUri", image,
					"JWTSecret", "a-jwt-secret-of-the-tests-with-32-characters", "AnonKey", "an-anon-key", "ServiceRoleKey", "a-service-role-key",
				}, set...)...),
			}
			if _, err := s.cfn.CreateStack(t.Context(), in); err != nil {
				t.Fatal(err)
			}
			stack := s.settled("template-test")
			if stack.StackStatus != cft.StackStatusCreateComplete {
				t.Fatalf("%s:\n%s", stack.StackStatus, strings.Join(s.eventsOf("template-test"), "\n"))
			}
			outputs := map[string]string{}
			for _, o := range stack.Outputs {
				outputs[*o.OutputKey] = *o.OutputValue
			}
			url := regexp.MustCompile(`^http://[\w.-]+$`)
			if name == "everything" {
				url = regexp.MustCompile(`^https://functions\.example\.com$`)
			}
			if !url.MatchString(outputs["FunctionsUrl"]) || outputs["LogGroupName"] != "/ecs/template-test" {
				t.Errorf("outputs %v", outputs)
			}
			if _, err := s.cfn.DeleteStack(t.Context(), &cloudformation.DeleteStackInput{StackName: stack.StackId}); err != nil {
				t.Fatal(err)
			}
			if stack = s.settled(*stack.StackId); stack.StackStatus != cft.StackStatusDeleteComplete {
				t.Fatalf("%s:\n%s", stack.StackStatus, strings.Join(s.eventsOf(*stack.StackId), "\n"))
			}
			left := added(before, s.inventory())
			for kind, names := range left {
				if kind == "endpoint" && !slices.ContainsFunc(names, func(n string) bool { return !strings.HasSuffix(n, " deleted") }) {
					continue // listed for a while
				}
				t.Errorf("left: %s %q", kind, names)
			}
		})
	}
}

// zone makes a hosted zone and returns its id.
func (s *sdk) zone(name string) string {
	s.t.Helper()
	out := s.aws("route53", "create-hosted-zone", "--name", name, "--caller-reference", name)
	var made struct{ HostedZone struct{ Id string } }
	if err := json.Unmarshal([]byte(out), &made); err != nil {
		s.t.Fatal(err)
	}
	return made.HostedZone.Id[strings.LastIndex(made.HostedZone.Id, "/")+1:]
}
