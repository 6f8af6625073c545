"""Roles and their policies."""

import json
from typing import Any

from .kinds import Kind, Made, Properties, Site, ignoring, pairs, register


def _put_policies(site: Site, role: str, policies: list[Any]) -> None:
    for policy in policies:
        site.api("iam", "PutRolePolicy", RoleName=role, PolicyName=policy["PolicyName"], PolicyDocument=json.dumps(policy["PolicyDocument"]))


def _names(policies: list[Any]) -> set[str]:
    return {p["PolicyName"] for p in policies}


@register
class Role(Kind):
    type = "AWS::IAM::Role"
    fixed = frozenset({"RoleName", "Path"})

    def create(self, site: Site, p: Properties) -> Made:
        name = p.get("RoleName") or site.name(64)
        optional = {k: p[k] for k in ("Description", "Path", "PermissionsBoundary", "MaxSessionDuration") if k in p}
        tags = [{"Key": k, "Value": v} for k, v in {**pairs(p.get("Tags")), **site.tags}.items()]
        role = site.api("iam", "CreateRole", RoleName=name, AssumeRolePolicyDocument=json.dumps(p["AssumeRolePolicyDocument"]), Tags=tags, **optional)["Role"]
        _put_policies(site, name, p.get("Policies", []))
        for arn in p.get("ManagedPolicyArns", []):
            site.api("iam", "AttachRolePolicy", RoleName=name, PolicyArn=arn)
        return Made(name, {"Arn": role["Arn"], "RoleId": role["RoleId"]})

    def update(self, site: Site, made: Made, old: Properties, new: Properties) -> Made:
        site.api("iam", "UpdateAssumeRolePolicy", RoleName=made.id, PolicyDocument=json.dumps(new["AssumeRolePolicyDocument"]))
        for name in _names(old.get("Policies", [])) - _names(new.get("Policies", [])):
            site.api("iam", "DeleteRolePolicy", RoleName=made.id, PolicyName=name)
        _put_policies(site, made.id, new.get("Policies", []))
        before, after = set(old.get("ManagedPolicyArns", [])), set(new.get("ManagedPolicyArns", []))
        for arn in before - after:
            site.api("iam", "DetachRolePolicy", RoleName=made.id, PolicyArn=arn)
        for arn in after - before:
            site.api("iam", "AttachRolePolicy", RoleName=made.id, PolicyArn=arn)
        return made

    def delete(self, site: Site, made: Made, p: Properties) -> None:
        for name in _names(p.get("Policies", [])):
            ignoring("NoSuchEntity", lambda name=name: site.api("iam", "DeleteRolePolicy", RoleName=made.id, PolicyName=name))
        for arn in p.get("ManagedPolicyArns", []):
            ignoring("NoSuchEntity", lambda arn=arn: site.api("iam", "DetachRolePolicy", RoleName=made.id, PolicyArn=arn))
        site.api("iam", "DeleteRole", RoleName=made.id)


@register
class Policy(Kind):
    """A policy inside roles."""

    type = "AWS::IAM::Policy"

    def create(self, site: Site, p: Properties) -> Made:
        for role in p.get("Roles", []):
            _put_policies(site, role, [p])
        return Made(site.name(64))

    def update(self, site: Site, made: Made, old: Properties, new: Properties) -> Made:
        self.delete(site, made, old)
        for role in new.get("Roles", []):
            _put_policies(site, role, [new])
        return made

    def delete(self, site: Site, made: Made, p: Properties) -> None:
        for role in p.get("Roles", []):
            ignoring("NoSuchEntity", lambda role=role: site.api("iam", "DeleteRolePolicy", RoleName=role, PolicyName=p["PolicyName"]))
