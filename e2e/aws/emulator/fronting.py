"""What stands before a load balancer: certificates, names, firewalls."""

import random
import string

from moto.route53 import models as route53

from .kinds import Kind, Made, Properties, Site, call, register, without

# Zones of AWS are called Z and something, which templates check.
route53.create_route53_zone_id = lambda *_, **__: "Z" + "".join(random.choices(string.ascii_uppercase + string.digits, k=20))


@register
class Certificate(Kind):
    type = "AWS::CertificateManager::Certificate"
    fixed = frozenset({"DomainName", "SubjectAlternativeNames", "ValidationMethod", "DomainValidationOptions"})

    def create(self, site: Site, p: Properties) -> Made:
        # The zones of the validation records are CloudFormation's own matter.
        return Made(call(site, "acm", "RequestCertificate", without(p, "DomainValidationOptions"))["CertificateArn"])

    def delete(self, site: Site, made: Made, p: Properties) -> None:
        site.api("acm", "DeleteCertificate", CertificateArn=made.id)


@register
class RecordSet(Kind):
    type = "AWS::Route53::RecordSet"
    fixed = frozenset({"HostedZoneId", "Name"})

    def create(self, site: Site, p: Properties) -> Made:
        self._change(site, "UPSERT", p)
        return Made(p["Name"])

    @staticmethod
    def _change(site: Site, action: str, p: Properties) -> None:
        record = without(p, "HostedZoneId", "HostedZoneName", "Comment")
        if "ResourceRecords" in record:
            record["ResourceRecords"] = [{"Value": v} for v in record["ResourceRecords"]]
        call(site, "route53", "ChangeResourceRecordSets",
             {"HostedZoneId": p["HostedZoneId"], "ChangeBatch": {"Changes": [{"Action": action, "ResourceRecordSet": record}]}})

    def update(self, site: Site, made: Made, old: Properties, new: Properties) -> Made:
        self._change(site, "UPSERT", new)
        return made

    def delete(self, site: Site, made: Made, p: Properties) -> None:
        self._change(site, "DELETE", p)


@register
class WebAcl(Kind):
    type = "AWS::WAFv2::WebACL"
    fixed = frozenset({"Name", "Scope"})

    def create(self, site: Site, p: Properties) -> Made:
        name = p.get("Name") or site.name()
        made = call(site, "wafv2", "CreateWebACL", {**p, "Name": name})["Summary"]
        return Made(f"{name}|{made['Id']}|{p['Scope']}", {"Arn": made["ARN"], "Id": made["Id"]})

    @staticmethod
    def _one(site: Site, made: Made) -> Properties:
        name, id, scope = made.id.split("|")
        return {"Name": name, "Id": id, "Scope": scope}

    def _lock(self, site: Site, made: Made) -> str:
        return site.api("wafv2", "GetWebACL", **self._one(site, made))["LockToken"]

    def update(self, site: Site, made: Made, old: Properties, new: Properties) -> Made:
        call(site, "wafv2", "UpdateWebACL", {**without(new, "Tags"), **self._one(site, made), "LockToken": self._lock(site, made)})
        return made

    def delete(self, site: Site, made: Made, p: Properties) -> None:
        site.api("wafv2", "DeleteWebACL", **self._one(site, made), LockToken=self._lock(site, made))


@register
class WebAclAssociation(Kind):
    type = "AWS::WAFv2::WebACLAssociation"
    fixed = frozenset({"ResourceArn", "WebACLArn"})

    def create(self, site: Site, p: Properties) -> Made:
        site.api("wafv2", "AssociateWebACL", WebACLArn=p["WebACLArn"], ResourceArn=p["ResourceArn"])
        return Made(p["WebACLArn"] + "|" + p["ResourceArn"])

    def delete(self, site: Site, made: Made, p: Properties) -> None:
        site.api("wafv2", "DisassociateWebACL", ResourceArn=p["ResourceArn"])
