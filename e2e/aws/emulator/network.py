"""VPCs and what is in them."""

from typing import Any

from .calls import Failed
from .kinds import Kind, Made, Properties, Site, call, pairs, register, without


class _Ec2(Kind):
    """A type of EC2, which takes its tags by a call of their own."""

    make = ""  # the operation that makes one
    result = ("", "")  # where its answer has the id
    remove, remove_by = "", ""

    def create(self, site: Site, p: Properties) -> Made:
        answer = call(site, "ec2", self.make, without(p, "Tags", *self.later))
        made = Made(answer[self.result[0]][self.result[1]], {})
        tag(site, made.id, p)
        self.finish(site, made, p, answer)
        return made

    later: tuple[str, ...] = ()

    def finish(self, site: Site, made: Made, p: Properties, answer: dict[str, Any]) -> None:
        """What is done after the resource is there."""

    def update(self, site: Site, made: Made, old: Properties, new: Properties) -> Made:
        if without(old, "Tags", *self.later) != without(new, "Tags", *self.later):
            return super().update(site, made, old, new)
        tag(site, made.id, new)
        self.finish(site, made, new, {})
        return made

    def delete(self, site: Site, made: Made, p: Properties) -> None:
        site.api("ec2", self.remove, **{self.remove_by: made.id})


def tag(site: Site, id: str, p: Properties) -> None:
    tags = {**pairs(p.get("Tags")), **site.tags}
    if tags:
        site.api("ec2", "CreateTags", Resources=[id], Tags=[{"Key": k, "Value": v} for k, v in tags.items()])


@register
class Vpc(_Ec2):
    type = "AWS::EC2::VPC"
    fixed = frozenset({"CidrBlock"})
    make, result, remove, remove_by = "CreateVpc", ("Vpc", "VpcId"), "DeleteVpc", "VpcId"
    later = ("EnableDnsHostnames", "EnableDnsSupport")

    def finish(self, site: Site, made: Made, p: Properties, answer: dict[str, Any]) -> None:
        for name in self.later:
            if name in p:
                site.api("ec2", "ModifyVpcAttribute", VpcId=made.id, **{name: {"Value": p[name] in (True, "true")}})
        groups = site.api("ec2", "DescribeSecurityGroups", Filters=[{"Name": "vpc-id", "Values": [made.id]}])
        default = [g["GroupId"] for g in groups["SecurityGroups"] if g["GroupName"] == "default"]
        made.attributes = {"VpcId": made.id, "CidrBlock": p["CidrBlock"], "DefaultSecurityGroup": default[0]}


@register
class InternetGateway(_Ec2):
    type = "AWS::EC2::InternetGateway"
    make, result = "CreateInternetGateway", ("InternetGateway", "InternetGatewayId")
    remove, remove_by = "DeleteInternetGateway", "InternetGatewayId"

    def finish(self, site: Site, made: Made, p: Properties, answer: dict[str, Any]) -> None:
        made.attributes = {"InternetGatewayId": made.id}


@register
class GatewayAttachment(Kind):
    type = "AWS::EC2::VPCGatewayAttachment"
    fixed = frozenset({"VpcId"})

    def create(self, site: Site, p: Properties) -> Made:
        call(site, "ec2", "AttachInternetGateway", p)
        return Made(f"IGW|{p['VpcId']}")

    def delete(self, site: Site, made: Made, p: Properties) -> None:
        site.api("ec2", "DetachInternetGateway", VpcId=p["VpcId"], InternetGatewayId=p["InternetGatewayId"])


@register
class Subnet(_Ec2):
    type = "AWS::EC2::Subnet"
    fixed = frozenset({"VpcId", "CidrBlock", "AvailabilityZone"})
    make, result, remove, remove_by = "CreateSubnet", ("Subnet", "SubnetId"), "DeleteSubnet", "SubnetId"
    later = ("MapPublicIpOnLaunch",)

    def finish(self, site: Site, made: Made, p: Properties, answer: dict[str, Any]) -> None:
        if "MapPublicIpOnLaunch" in p:
            on = p["MapPublicIpOnLaunch"] in (True, "true")
            site.api("ec2", "ModifySubnetAttribute", SubnetId=made.id, MapPublicIpOnLaunch={"Value": on})
        made.attributes = {"SubnetId": made.id, "AvailabilityZone": p.get("AvailabilityZone", ""), "VpcId": p["VpcId"]}


@register
class RouteTable(_Ec2):
    type = "AWS::EC2::RouteTable"
    fixed = frozenset({"VpcId"})
    make, result, remove, remove_by = "CreateRouteTable", ("RouteTable", "RouteTableId"), "DeleteRouteTable", "RouteTableId"

    def finish(self, site: Site, made: Made, p: Properties, answer: dict[str, Any]) -> None:
        made.attributes = {"RouteTableId": made.id}


@register
class Route(Kind):
    type = "AWS::EC2::Route"
    fixed = frozenset({"RouteTableId", "DestinationCidrBlock"})

    def create(self, site: Site, p: Properties) -> Made:
        call(site, "ec2", "CreateRoute", p)
        return Made(f"{p['RouteTableId']}|{p['DestinationCidrBlock']}")

    def update(self, site: Site, made: Made, old: Properties, new: Properties) -> Made:
        call(site, "ec2", "ReplaceRoute", new)
        return made

    def delete(self, site: Site, made: Made, p: Properties) -> None:
        site.api("ec2", "DeleteRoute", RouteTableId=p["RouteTableId"], DestinationCidrBlock=p["DestinationCidrBlock"])


@register
class RouteTableAssociation(Kind):
    type = "AWS::EC2::SubnetRouteTableAssociation"
    fixed = frozenset({"SubnetId", "RouteTableId"})

    def create(self, site: Site, p: Properties) -> Made:
        return Made(call(site, "ec2", "AssociateRouteTable", p)["AssociationId"])

    def delete(self, site: Site, made: Made, p: Properties) -> None:
        site.api("ec2", "DisassociateRouteTable", AssociationId=made.id)


@register
class ElasticIp(Kind):
    type = "AWS::EC2::EIP"
    fixed = frozenset({"Domain"})

    def create(self, site: Site, p: Properties) -> Made:
        answer = call(site, "ec2", "AllocateAddress", without(p, "Tags"))
        tag(site, answer["AllocationId"], p)
        return Made(answer["PublicIp"], {"AllocationId": answer["AllocationId"], "PublicIp": answer["PublicIp"]})

    def delete(self, site: Site, made: Made, p: Properties) -> None:
        site.api("ec2", "ReleaseAddress", AllocationId=made.attributes["AllocationId"])


@register
class NatGateway(_Ec2):
    type = "AWS::EC2::NatGateway"
    fixed = frozenset({"AllocationId", "SubnetId"})
    make, result, remove, remove_by = "CreateNatGateway", ("NatGateway", "NatGatewayId"), "DeleteNatGateway", "NatGatewayId"

    def finish(self, site: Site, made: Made, p: Properties, answer: dict[str, Any]) -> None:
        made.attributes = {"NatGatewayId": made.id}


@register
class Endpoint(_Ec2):
    type = "AWS::EC2::VPCEndpoint"
    fixed = frozenset({"VpcId", "ServiceName", "VpcEndpointType"})
    make, result = "CreateVpcEndpoint", ("VpcEndpoint", "VpcEndpointId")

    def update(self, site: Site, made: Made, old: Properties, new: Properties) -> Made:
        before, after = set(old.get("RouteTableIds", [])), set(new.get("RouteTableIds", []))
        site.api("ec2", "ModifyVpcEndpoint", VpcEndpointId=made.id,
                 AddRouteTableIds=sorted(after - before), RemoveRouteTableIds=sorted(before - after))
        return made

    def delete(self, site: Site, made: Made, p: Properties) -> None:
        site.api("ec2", "DeleteVpcEndpoints", VpcEndpointIds=[made.id])


def _permission(rule: Properties) -> dict[str, Any]:
    """A rule of a security group as the API has it."""
    description = {"Description": rule["Description"]} if "Description" in rule else {}
    permission: dict[str, Any] = {"IpProtocol": str(rule["IpProtocol"])}
    for end in ("FromPort", "ToPort"):
        if end in rule:
            permission[end] = int(rule[end])
    if "CidrIp" in rule:
        permission["IpRanges"] = [{"CidrIp": rule["CidrIp"], **description}]
    if "CidrIpv6" in rule:
        permission["Ipv6Ranges"] = [{"CidrIpv6": rule["CidrIpv6"], **description}]
    other = rule.get("SourceSecurityGroupId") or rule.get("DestinationSecurityGroupId")
    if other:
        permission["UserIdGroupPairs"] = [{"GroupId": other, **description}]
    lists = rule.get("SourcePrefixListId") or rule.get("DestinationPrefixListId")
    if lists:
        permission["PrefixListIds"] = [{"PrefixListId": lists, **description}]
    if not {"IpRanges", "Ipv6Ranges", "UserIdGroupPairs", "PrefixListIds"} & set(permission):
        raise Failed("InvalidParameterValue", "a rule of a security group names no source or destination")
    return permission


@register
class SecurityGroup(Kind):
    type = "AWS::EC2::SecurityGroup"
    fixed = frozenset({"GroupName", "GroupDescription", "VpcId"})

    def create(self, site: Site, p: Properties) -> Made:
        name = p.get("GroupName") or site.name(255)
        id = site.api("ec2", "CreateSecurityGroup", GroupName=name, Description=p["GroupDescription"], VpcId=p["VpcId"])["GroupId"]
        if "SecurityGroupEgress" in p:  # takes the place of the rule that allows everything
            everything = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
            site.api("ec2", "RevokeSecurityGroupEgress", GroupId=id, IpPermissions=[everything])
        self._rules(site, id, p, "Authorize")
        tag(site, id, p)
        return Made(id, {"GroupId": id, "VpcId": p["VpcId"]})

    def update(self, site: Site, made: Made, old: Properties, new: Properties) -> Made:
        self._rules(site, made.id, old, "Revoke")
        self._rules(site, made.id, new, "Authorize")
        tag(site, made.id, new)
        return made

    @staticmethod
    def _rules(site: Site, id: str, p: Properties, verb: str) -> None:
        for direction in ("Ingress", "Egress"):
            rules = [_permission(r) for r in p.get("SecurityGroup" + direction, [])]
            if rules:
                site.api("ec2", f"{verb}SecurityGroup{direction}", GroupId=id, IpPermissions=rules)

    def delete(self, site: Site, made: Made, p: Properties) -> None:
        site.api("ec2", "DeleteSecurityGroup", GroupId=made.id)


class _Rule(Kind):
    direction = ""
    fixed = frozenset({
        "GroupId", "IpProtocol", "FromPort", "ToPort", "CidrIp", "CidrIpv6", "SourceSecurityGroupId", "DestinationSecurityGroupId",
        "SourcePrefixListId", "DestinationPrefixListId",
    })

    def create(self, site: Site, p: Properties) -> Made:
        answer = site.api("ec2", f"AuthorizeSecurityGroup{self.direction}", GroupId=p["GroupId"], IpPermissions=[_permission(p)])
        return Made(answer["SecurityGroupRules"][0]["SecurityGroupRuleId"])

    def delete(self, site: Site, made: Made, p: Properties) -> None:
        site.api("ec2", f"RevokeSecurityGroup{self.direction}", GroupId=p["GroupId"], IpPermissions=[_permission(p)])


@register
class Ingress(_Rule):
    type, direction = "AWS::EC2::SecurityGroupIngress", "Ingress"


@register
class Egress(_Rule):
    type, direction = "AWS::EC2::SecurityGroupEgress", "Egress"
