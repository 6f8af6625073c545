package aws

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/e2e/harness"
)

// A resolved resource is one of a stack with its properties, whatever ids the
// resources became.
type resolvedResource struct {
	Type       string
	Properties map[string]any
}

func (a *account) resolved(stack string) map[string]resolvedResource {
	a.t.Helper()
	var all map[string]resolvedResource
	a.emulator.control(a.t, a.id, "resolved"+stackQuery(region, stack), nil, &all)
	return all
}

// parametersFile writes a parameters.json as people who follow the guide have
// one.
func (p *project) parametersFile(t *testing.T, values map[string]string) {
	t.Helper()
	var list []map[string]string
	for name, value := range values {
		list = append(list, map[string]string{"ParameterKey": name, "ParameterValue": value})
	}
	raw, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	p.write(t, "parameters.json", string(raw))
}

// byHand are the parameters of somebody who gives the keys to CloudFormation.
func (p *project) byHand(image string) map[string]string {
	return map[string]string{
		"ProjectName": "supabase-edge-runtime", "Environment": "staging", "DesiredCount": "1", "JWTSecret": p.keys["JWT_SECRET"], "AnonKey": p.keys["ANON_KEY"],
		"ServiceRoleKey": p.keys["SERVICE_ROLE_KEY"], "ImageUri": image,
	}
}

// keysByHand are the properties that differ where CloudFormation was given the
// keys: then the template makes the secrets.
func sameButKeys(t *testing.T, ours, theirs map[string]resolvedResource) {
	t.Helper()
	for name, r := range theirs {
		if _, ok := ours[name]; !ok && r.Type != "AWS::SecretsManager::Secret" {
			t.Errorf("only by hand: %s, a %s", name, r.Type)
		}
	}
	for name, our := range ours {
		their, ok := theirs[name]
		if !ok {
			t.Errorf("only by selvedge deploy: %s, a %s", name, our.Type)
			continue
		}
		if our.Type == "AWS::ECS::TaskDefinition" {
			dropSecrets(our.Properties)
			dropSecrets(their.Properties)
		}
		if our.Type == "AWS::IAM::Role" && strings.HasPrefix(name, "Execution") {
			continue // names the secrets
		}
		if !reflect.DeepEqual(our, their) {
			a, _ := json.MarshalIndent(our, "", " ")
			b, _ := json.MarshalIndent(their, "", " ")
			t.Errorf("%s by selvedge deploy:\n%s\nby hand:\n%s", name, a, b)
		}
	}
}

// dropSecrets leaves out where secrets come from, and the release's name.
func dropSecrets(properties map[string]any) {
	delete(properties, "Tags")
	containers, _ := properties["ContainerDefinitions"].([]any)
	for _, c := range containers {
		if c, ok := c.(map[string]any); ok {
			delete(c, "Secrets")
			delete(c, "DockerLabels")
		}
	}
}

// TestByHand: the template with the AWS CLI makes what selvedge deploy makes.
func TestByHand(t *testing.T) {
	needCLI(t)
	template := filepath.Join(harness.Repo, "aws-cloudformation.yaml")
	t.Parallel()
	ours, theirs := newAccount(t), newAccount(t)
	theirs.free = true // CloudFormation may be given the keys by hand
	p := newProject(ours)
	f := newFront(t)
	first := ours.deploy(p, f.URL, "--env", "staging", "--set", "desired_count=1")

	// The image that was pushed there is put into the other account's registry.
	_, digest, _ := strings.Cut(first.Image, "@")
	repository := "supabase-edge-runtime-staging"
	theirs.knownImage(repository, "v1", digest)
	p.parametersFile(t, p.byHand(first.Image))
	theirs.aws("cloudformation", "create-stack", "--stack-name", repository, "--template-body", "file://"+template, "--capabilities", "CAPABILITY_IAM",
		"--parameters", "file://"+filepath.Join(p.dir, "parameters.json"))
	harness.Eventually(t, 20*time.Second, "the stack is made", func() bool { return theirs.stackStatus(repository) == "CREATE_COMPLETE" })
	sameButKeys(t, ours.resolved(repository), theirs.resolved(repository))

	// The keys of both reach the container under the same names.
	for _, a := range []*account{ours, theirs} {
		containers, _ := a.resolved(repository)["TaskDefinition"].Properties["ContainerDefinitions"].([]any)
		text, err := json.Marshal(containers)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"JWT_SECRET", "ANON_KEY", "SERVICE_ROLE_KEY"} {
			if !strings.Contains(string(text), `"Name":"`+name+`","ValueFrom"`) {
				t.Errorf("%s does not reach the container as a secret: %s", name, text)
			}
		}
	}

	// cloudformation deploy changes what is different, and finds nothing after.
	deploy := []string{"cloudformation", "deploy", "--stack-name", repository, "--template-file", template, "--capabilities", "CAPABILITY_IAM",
		"--no-fail-on-empty-changeset", "--parameter-overrides", "DesiredCount=2"}
	theirs.aws(deploy...)
	if out := theirs.aws(deploy...); !strings.Contains(out, "No changes to deploy") {
		t.Errorf("%s", out)
	}
	if s := theirs.stackStatus(repository); s != "UPDATE_COMPLETE" {
		t.Errorf("the stack is %s", s)
	}
	if outputs := theirs.aws("cloudformation", "describe-stacks", "--stack-name", repository, "--query", "Stacks[0].Outputs[].OutputKey", "--output", "text"); !strings.Contains(outputs, "FunctionsUrl") || !strings.Contains(outputs, "LogGroupName") {
		t.Errorf("outputs: %s", outputs)
	}
}

// TestScript: deploy-edge-runtime-aws.sh with a parameters.json does what
// selvedge deploy does.
func TestScript(t *testing.T) {
	script := filepath.Join(harness.Repo, "deploy-edge-runtime-aws.sh")
	t.Parallel()
	a := newAccount(t)
	p := newProject(a)
	f := newFront(t)
	p.write(t, ".env", "") // the keys are in parameters.json
	values := p.byHand("")
	delete(values, "ImageUri")
	values["Environment"] = "production"
	p.parametersFile(t, values)
	cmd := exec.Command(script, "--yes", "--url", f.URL)
	cmd.Dir = p.dir
	cmd.Env = append(a.environ(), "PATH="+filepath.Dir(harness.Binary)+string(os.PathListSeparator)+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	a.said.Write(out)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if s := a.stackStatus(service); s != "CREATE_COMPLETE" {
		t.Errorf("the stack is %q\n%s", s, out)
	}
	harness.Eventually(t, 10*time.Second, "one task is wanted, as parameters.json says", func() bool { return a.desired(t) == 1 })
}
