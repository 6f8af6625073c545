"""Secrets and image repositories."""

import json
from typing import Any

from .calls import Failed
from .kinds import Kind, Made, Properties, Site, pairs, register


@register
class Secret(Kind):
    type = "AWS::SecretsManager::Secret"
    fixed = frozenset({"Name"})

    def create(self, site: Site, p: Properties) -> Made:
        if "GenerateSecretString" in p:
            raise Failed("InvalidRequest", "the emulator generates no secrets")
        optional = {k: p[k] for k in ("Description", "KmsKeyId", "SecretString") if k in p}
        tags = [{"Key": k, "Value": v} for k, v in {**pairs(p.get("Tags")), **site.tags}.items()]
        arn = site.api("secretsmanager", "CreateSecret", Name=p.get("Name") or site.name(), Tags=tags, **optional)["ARN"]
        return Made(arn, {"Id": arn})

    def update(self, site: Site, made: Made, old: Properties, new: Properties) -> Made:
        optional = {k: new[k] for k in ("Description", "KmsKeyId") if k in new}
        site.api("secretsmanager", "UpdateSecret", SecretId=made.id, **optional)
        if new.get("SecretString") != old.get("SecretString"):
            site.api("secretsmanager", "PutSecretValue", SecretId=made.id, SecretString=new["SecretString"])
        return made

    def delete(self, site: Site, made: Made, p: Properties) -> None:
        site.api("secretsmanager", "DeleteSecret", SecretId=made.id, ForceDeleteWithoutRecovery=True)


@register
class Repository(Kind):
    type = "AWS::ECR::Repository"
    fixed = frozenset({"RepositoryName", "EncryptionConfiguration"})

    def create(self, site: Site, p: Properties) -> Made:
        params: dict[str, Any] = {"repositoryName": p.get("RepositoryName") or site.name(256).lower()}
        if "ImageTagMutability" in p:
            params["imageTagMutability"] = p["ImageTagMutability"]
        if "EncryptionConfiguration" in p:
            params["encryptionConfiguration"] = {"encryptionType": p["EncryptionConfiguration"]["EncryptionType"]}
        tags = {**pairs(p.get("Tags")), **site.tags}
        params["tags"] = [{"Key": k, "Value": v} for k, v in tags.items()]
        made = site.api("ecr", "CreateRepository", **params)["repository"]
        self._settings(site, made["repositoryName"], p)
        return Made(made["repositoryName"], {"Arn": made["repositoryArn"], "RepositoryUri": made["repositoryUri"]})

    @staticmethod
    def _settings(site: Site, name: str, p: Properties) -> None:
        if "ImageScanningConfiguration" in p:
            on = p["ImageScanningConfiguration"].get("ScanOnPush") in (True, "true")
            site.api("ecr", "PutImageScanningConfiguration", repositoryName=name, imageScanningConfiguration={"scanOnPush": on})
        if "LifecyclePolicy" in p:
            json.loads(p["LifecyclePolicy"]["LifecyclePolicyText"])
            site.api("ecr", "PutLifecyclePolicy", repositoryName=name, lifecyclePolicyText=p["LifecyclePolicy"]["LifecyclePolicyText"])
        if "RepositoryPolicyText" in p:
            site.api("ecr", "SetRepositoryPolicy", repositoryName=name, policyText=json.dumps(p["RepositoryPolicyText"]))

    def update(self, site: Site, made: Made, old: Properties, new: Properties) -> Made:
        if "ImageTagMutability" in new:
            site.api("ecr", "PutImageTagMutability", repositoryName=made.id, imageTagMutability=new["ImageTagMutability"])
        self._settings(site, made.id, new)
        return made

    def delete(self, site: Site, made: Made, p: Properties) -> None:
        site.api("ecr", "DeleteRepository", repositoryName=made.id, force=p.get("EmptyOnDelete") in (True, "true"))
