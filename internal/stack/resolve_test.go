package stack

import (
	"testing"
)

var testPseudo = Pseudo{Region: "eu-central-1", Account: "111122223333", StackName: "supabase-edge-runtime-production"}

// base are the parameters that a deploy by the CLI gives at least.
func base(more ...string) map[string]string {
	p := map[string]string{
		"ImageUri":          "111122223333.dkr.ecr.eu-central-1.amazonaws.com/supabase-edge-runtime-production@sha256:0123456789012345678901234567890123456789012345678901234567890123",
		"KeysSecretArn":     "arn:aws:secretsmanager:eu-central-1:111122223333:secret:supabase-edge-runtime/production/keys-AbCdEf",
		"KeysSecretVersion": "01234567-89ab-cdef-0123-456789abcdef",
	}
	for i := 0; i < len(more); i += 2 {
		p[more[i]] = more[i+1]
	}
	return p
}

func resolve(t *testing.T, tpl *Template, parameters map[string]string) *Resolved {
	t.Helper()
	if err := tpl.Check(parameters); err != nil {
		t.Fatal(err)
	}
	r, err := tpl.Resolve(parameters, testPseudo)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestResolveDefaults(t *testing.T) {
	r := resolve(t, Service(), base())
	if got := r.Outputs["FunctionsUrl"]; got != "http://${LoadBalancer.DNSName}" {
		t.Errorf("FunctionsUrl is %v", got)
	}
	if _, ok := r.Resources["NatGateway"]; ok {
		t.Error("there is a NAT gateway")
	}
	if got := r.Resources["LogGroup"].Properties["LogGroupName"]; got != "/ecs/supabase-edge-runtime-production" {
		t.Errorf("the log group is %v", got)
	}
}
