package cost

// A Price is what AWS charges for a unit of something in us-east-1, without
// taxes and discounts.
type Price struct {
	What, Unit string
	USD        float64
	// Source is AWS's page on it.
	Source string
}

// Region is the one whose prices these are, and AsOf when they were looked up,
// in published listings and not in a bill.
const (
	Region = "us-east-1"
	AsOf   = "2026"
)

const (
	fargatePage    = "https://aws.amazon.com/fargate/pricing/"
	balancerPage   = "https://aws.amazon.com/elasticloadbalancing/pricing/"
	vpcPage        = "https://aws.amazon.com/vpc/pricing/"
	cloudwatchPage = "https://aws.amazon.com/cloudwatch/pricing/"
	transferPage   = "https://aws.amazon.com/ec2/pricing/on-demand/"
	secretsPage    = "https://aws.amazon.com/secrets-manager/pricing/"
	registryPage   = "https://aws.amazon.com/ecr/pricing/"
	wafPage        = "https://aws.amazon.com/waf/pricing/"
	xrayPage       = "https://aws.amazon.com/xray/pricing/"
)

var (
	vcpuX86 = Price{"Fargate, x86: vCPU", "hour", 0.04048, fargatePage}
	gbX86   = Price{"Fargate, x86: memory", "GB-hour", 0.004445, fargatePage}
	vcpuARM = Price{"Fargate, ARM64: vCPU", "hour", 0.03238, fargatePage}
	gbARM   = Price{"Fargate, ARM64: memory", "GB-hour", 0.00356, fargatePage}

	balancerHour = Price{"Application Load Balancer", "hour", 0.0225, balancerPage}
	capacityUnit = Price{"Application Load Balancer: capacity unit (LCU)", "hour", 0.008, balancerPage}
	publicIPv4   = Price{"Public IPv4 address", "hour", 0.005, vpcPage}
	natHour      = Price{"NAT gateway", "hour", 0.045, vpcPage}
	natGB        = Price{"NAT gateway: data through it", "GB", 0.045, vpcPage}
	transferGB   = Price{"Data to the internet, beyond 100 GB a month of the account", "GB", 0.09, transferPage}

	logsIngested = Price{"CloudWatch Logs: taken in", "GB", 0.50, cloudwatchPage}
	logsStored   = Price{"CloudWatch Logs: kept", "GB-month", 0.03, cloudwatchPage}
	customMetric = Price{"CloudWatch: metric of one's own", "month", 0.30, cloudwatchPage}
	alarmMetric  = Price{"CloudWatch: alarm", "month", 0.10, cloudwatchPage}
	dashboard    = Price{"CloudWatch: dashboard, beyond three of the account", "month", 3.00, cloudwatchPage}

	secretMonth = Price{"Secrets Manager: secret", "month", 0.40, secretsPage}
	registryGB  = Price{"ECR: image data", "GB-month", 0.10, registryPage}

	wafACL      = Price{"WAF: web ACL", "month", 5.00, wafPage}
	wafRule     = Price{"WAF: rule or managed rule group", "month", 1.00, wafPage}
	wafRequests = Price{"WAF: requests", "million", 0.60, wafPage}
	traces      = Price{"X-Ray: traces recorded, beyond 100,000 a month of the account", "million", 5.00, xrayPage}
)

// spotShare is what spare capacity costs of the list price. It changes with
// supply; this is what it was.
const spotShare = 0.32

// Prices are all of them, in the order of the estimate.
func Prices() []Price {
	return []Price{
		vcpuX86, gbX86, vcpuARM, gbARM, balancerHour, capacityUnit, publicIPv4, natHour, natGB, transferGB,
		logsIngested, logsStored, customMetric, alarmMetric, dashboard, secretMonth, registryGB, wafACL, wafRule, wafRequests, traces,
	}
}
