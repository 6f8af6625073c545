package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/selvedge-dev/selvedge/internal/cost"
	"github.com/selvedge-dev/selvedge/internal/deploy"
	"github.com/selvedge-dev/selvedge/internal/stack"
)

func newCost(s Streams) *cobra.Command {
	var target awsFlags
	var deployed, asJSON bool
	u := cost.DefaultUsage()
	traced := u.Traced * 100
	cmd := &cobra.Command{
		Use:   "cost",
		Short: "Estimate what a deployment on AWS costs a month",
		Long: `Estimate what a deployment costs a month, item by item: from the parameters that
` + "`selvedge deploy`" + ` would use, and from how much it is used, which you say with
flags. Nobody is asked: prices are those of ` + cost.Region + `, in USD, as listed in ` + cost.AsOf + `.
With --deployed the parameters are those of the stack that runs.`,
		Example: `  selvedge cost
  selvedge cost --set cpu_architecture=ARM64 --set cpu=256 --set memory=512
  selvedge cost --env staging --requests 500000 --logs-gb 1
  selvedge cost --deployed --tasks 3.5 --json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			u.Traced = traced / 100
			settings, parameters, err := costParameters(cmd, s, &target, deployed)
			if err != nil {
				return err
			}
			plan, err := cost.FromParameters(parameters)
			if err == nil {
				err = u.Validate(plan)
			}
			if err != nil {
				return usage(err)
			}
			if u.Tasks == 0 {
				u.Tasks = float64(plan.Tasks)
			}
			e := cost.Of(plan, u)
			if asJSON {
				return printIndented(s.Out, struct {
					Stack        string `json:"stack"`
					Currency     string `json:"currency"`
					PricesRegion string `json:"prices_region"`
					PricesAsOf   string `json:"prices_as_of"`
					cost.Estimate
					Usage cost.Usage `json:"usage"`
				}{settings.Stack(), "USD", cost.Region, cost.AsOf, e, u})
			}
			printCost(s.Out, settings.Stack(), e)
			if r := settings.Region.Text; r != "" && r != cost.Region {
				fmt.Fprintf(s.Err, "The prices are those of %s; %s has its own, see https://calculator.aws\n", cost.Region, r)
			}
			return nil
		},
	}
	target.register(cmd)
	target.registerSettings(cmd)
	fl := cmd.Flags()
	fl.BoolVar(&deployed, "deployed", false, "take the parameters of the stack that runs, which needs AWS credentials")
	fl.Float64Var(&u.Tasks, "tasks", 0, "how many tasks there are on average, `N` (default as many as there are at least)")
	fl.Float64Var(&u.Requests, "requests", u.Requests, "requests a month, `N`")
	fl.Float64Var(&u.ResponseKB, "response-kb", u.ResponseKB, "the size of an answer, in `KB`")
	fl.Float64Var(&u.LogsGB, "logs-gb", u.LogsGB, "what is logged a month, in `GB`")
	fl.Float64Var(&u.NatGB, "nat-gb", u.NatGB, "what goes through the NAT gateway a month, in `GB`, where there is one")
	fl.Float64Var(&traced, "traced", traced, "how many of 100 requests are traced, `N`, where tracing is on")
	fl.Float64Var(&u.ImagesGB, "images-gb", u.ImagesGB, "what the image registry holds, in `GB`")
	fl.Float64Var(&u.Hours, "hours", u.Hours, "how many hours of the month the deployment exists, `N`")
	fl.BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// costParameters returns all parameters of a deployment: those of the stack, or
// those that a deploy would use.
func costParameters(cmd *cobra.Command, s Streams, target *awsFlags, deployed bool) (*deploy.Settings, map[string]string, error) {
	if deployed {
		ctx, stop, settings, clients, err := target.connect(cmd, s)
		if err != nil {
			return nil, nil, err
		}
		defer stop()
		k, err := clients.NeedStack(ctx, settings.Names)
		if err != nil {
			return nil, nil, err
		}
		return settings, withDefaults(k.Parameters), nil
	}
	settings, err := target.settings(s, "")
	if err != nil {
		return nil, nil, err
	}
	parameters := map[string]string{}
	for name, v := range settings.Parameters {
		parameters[name] = v.Text
	}
	// What a deploy adds, for the rules that ask for it.
	parameters["ImageUri"] = "image"
	parameters["KeysSecretArn"] = "arn:aws:secretsmanager:us-east-1:111122223333:secret:keys"
	parameters["KeysSecretVersion"] = strings.Repeat("0", 32)
	if err := stack.Service().Check(parameters); err != nil {
		return nil, nil, usage(err)
	}
	return settings, withDefaults(parameters), nil
}

// withDefaults adds the template's defaults.
func withDefaults(parameters map[string]string) map[string]string {
	all := map[string]string{}
	for _, p := range stack.Service().Parameters {
		all[p.Name] = p.Default
		if v, ok := parameters[p.Name]; ok {
			all[p.Name] = v
		}
	}
	return all
}

func printCost(w io.Writer, name string, e cost.Estimate) {
	fmt.Fprintf(w, "%s, USD a month\n\n", paint(w, bold, name))
	width := len("Total")
	for _, item := range e.Items {
		width = max(width, len(item.Name))
	}
	for _, item := range e.Items {
		fmt.Fprintf(w, "  %-*s  %8.2f  %s\n", width, item.Name, item.USD, paint(w, dim, item.Detail))
	}
	fmt.Fprintf(w, "  %s\n", paint(w, bold, fmt.Sprintf("%-*s  %8.2f", width, "Total", e.USD)))
	fmt.Fprintf(w, "\nList prices of %s, %s, without taxes. Free: %s.\n", cost.Region, cost.AsOf, strings.Join(cost.Free(), ", "))
}
