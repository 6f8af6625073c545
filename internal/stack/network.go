package stack

// Networks of the VPC. The load balancer is in the public ones.
const (
	vpcCidr      = "10.0.0.0/16"
	public1Cidr  = "10.0.0.0/20"
	public2Cidr  = "10.0.16.0/20"
	private1Cidr = "10.0.128.0/20"
	private2Cidr = "10.0.144.0/20"
)

// stackName is the name that most things have.
const stackName = Sub("${ProjectName}-${Environment}")

func named(suffix string) List {
	return List{object("Key", "Name", "Value", Sub(string(stackName)+suffix))}
}

func zone(n int) any { return Select{n, GetAZs{}} }

func network() []Resource {
	subnet := func(name, cidr string, zoneOf int, condition string) Resource {
		suffix := map[bool]string{true: "-private-", false: "-public-"}[condition != ""]
		return Resource{Name: name, Type: "AWS::EC2::Subnet", Condition: condition, Properties: object(
			"VpcId", Ref("Vpc"), "CidrBlock", cidr, "AvailabilityZone", zone(zoneOf), "Tags", named(suffix+string(rune('1'+zoneOf))))}
	}
	routes := func(name, subnet, table, condition string) Resource {
		return Resource{Name: name, Type: "AWS::EC2::SubnetRouteTableAssociation", Condition: condition, Properties: object(
			"SubnetId", Ref(subnet), "RouteTableId", Ref(table))}
	}
	return []Resource{
		{Section: "Network", Name: "Vpc", Type: "AWS::EC2::VPC", Properties: object(
			"CidrBlock", vpcCidr, "EnableDnsHostnames", true, "Tags", named(""))},
		{Name: "InternetGateway", Type: "AWS::EC2::InternetGateway", Properties: object()},
		{Name: "GatewayAttachment", Type: "AWS::EC2::VPCGatewayAttachment", Properties: object(
			"VpcId", Ref("Vpc"), "InternetGatewayId", Ref("InternetGateway"))},
		subnet("PublicSubnet1", public1Cidr, 0, ""),
		subnet("PublicSubnet2", public2Cidr, 1, ""),
		{Name: "PublicRouteTable", Type: "AWS::EC2::RouteTable", Properties: object("VpcId", Ref("Vpc"))},
		{Name: "PublicRoute", Type: "AWS::EC2::Route", DependsOn: []string{"GatewayAttachment"}, Properties: object(
			"RouteTableId", Ref("PublicRouteTable"), "DestinationCidrBlock", "0.0.0.0/0", "GatewayId", Ref("InternetGateway"))},
		routes("PublicSubnet1Routes", "PublicSubnet1", "PublicRouteTable", ""),
		routes("PublicSubnet2Routes", "PublicSubnet2", "PublicRouteTable", ""),

		subnet("PrivateSubnet1", private1Cidr, 0, "IsPrivate"),
		subnet("PrivateSubnet2", private2Cidr, 1, "IsPrivate"),
		{Name: "NatAddress", Type: "AWS::EC2::EIP", Condition: "IsPrivate", DependsOn: []string{"GatewayAttachment"},
			Comment:    "The address from which functions call others, with NetworkMode private-nat.",
			Properties: object("Domain", "vpc")},
		{Name: "NatGateway", Type: "AWS::EC2::NatGateway", Condition: "IsPrivate", Properties: object(
			"AllocationId", GetAtt("NatAddress.AllocationId"), "SubnetId", Ref("PublicSubnet1"))},
		{Name: "PrivateRouteTable", Type: "AWS::EC2::RouteTable", Condition: "IsPrivate", Properties: object(
			"VpcId", Ref("Vpc"))},
		{Name: "PrivateRoute", Type: "AWS::EC2::Route", Condition: "IsPrivate", Properties: object(
			"RouteTableId", Ref("PrivateRouteTable"), "DestinationCidrBlock", "0.0.0.0/0", "NatGatewayId", Ref("NatGateway"))},
		routes("PrivateSubnet1Routes", "PrivateSubnet1", "PrivateRouteTable", "IsPrivate"),
		routes("PrivateSubnet2Routes", "PrivateSubnet2", "PrivateRouteTable", "IsPrivate"),
		{Name: "S3Endpoint", Type: "AWS::EC2::VPCEndpoint",
			Comment: "The layers of images lie in S3. This way to it is free, and past the NAT gateway.",
			Properties: object("VpcId", Ref("Vpc"), "VpcEndpointType", "Gateway", "ServiceName", Sub("com.amazonaws.${AWS::Region}.s3"),
				"RouteTableIds", List{Ref("PublicRouteTable"), If{"IsPrivate", Ref("PrivateRouteTable"), noValue}})},

		{Name: "LoadBalancerSecurityGroup", Type: "AWS::EC2::SecurityGroup", Properties: object(
			"GroupDescription", "Who may connect to the load balancer",
			"VpcId", Ref("Vpc"),
			"SecurityGroupIngress", List{
				ingress(80, "HTTP"),
				If{"HasHttps", ingress(443, "HTTPS"), noValue},
			},
			"SecurityGroupEgress", List{object("IpProtocol", "tcp", "FromPort", ContainerPort, "ToPort", ContainerPort, "CidrIp", vpcCidr, "Description", "tasks")})},
		{Name: "TaskSecurityGroup", Type: "AWS::EC2::SecurityGroup", Properties: object(
			"GroupDescription", "Tasks: the load balancer comes in, functions call out",
			"VpcId", Ref("Vpc"),
			"SecurityGroupEgress", List{object("IpProtocol", "-1", "CidrIp", "0.0.0.0/0", "Description", "functions call out")})},
		{Name: "TasksFromLoadBalancer", Type: "AWS::EC2::SecurityGroupIngress", Properties: object(
			"GroupId", GetAtt("TaskSecurityGroup.GroupId"), "IpProtocol", "tcp", "FromPort", ContainerPort, "ToPort", ContainerPort,
			"SourceSecurityGroupId", GetAtt("LoadBalancerSecurityGroup.GroupId"), "Description", "the load balancer, nobody else")},
	}
}

func ingress(port int, what string) Map {
	return object("IpProtocol", "tcp", "FromPort", port, "ToPort", port, "CidrIp", Ref("AllowedCidr"), "Description", what)
}
