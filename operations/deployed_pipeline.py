"""The deployed pipeline of an installation: where it deploys to, and with which context it was deployed.

`cdk.json` in a checkout may differ, and values given with `-c` are stored nowhere else.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from boto3.session import Session
from botocore.exceptions import BotoCoreError, ClientError

from operations.context import SUFFIX, Context, parse_json
from operations.installation import PIPELINE_TYPE, Installation, Stack, is_pipeline_stack
from operations.search import AccessError, StackSummary, home_region, search

#: Variable of the synth project through which `-c` survives self-mutation; it holds only what differs from `cdk.json`.
_OVERRIDES = "CONTEXT_OVERRIDES"
#: Parts of the names of the bootstrap's roles.
_DEPLOY_ROLE, _LOOKUP_ROLE = "-deploy-role-", "-lookup-role-"


@dataclass(frozen=True, kw_only=True, order=True)
class DeploymentTarget:
    """An account and region that the pipeline deploys to."""

    account: str
    region: str
    #: ARN of the bootstrap's lookup role there, which trusts the pipeline's account.
    lookup_role: str


@dataclass(frozen=True, kw_only=True)
class DeployedPipeline:
    """A deployed pipeline."""

    account: str
    region: str
    targets: frozenset[DeploymentTarget]
    #: Context that differs from `cdk.json`.
    overrides: Mapping[str, object]

    @classmethod
    def read(cls, session: Session, account: str, stacks: Iterable[Stack]) -> "DeployedPipeline | None":
        """Read the pipeline in these stacks; return None if there is none."""
        for stack in stacks:
            for name in stack.ids(PIPELINE_TYPE):
                return cls(
                    account=account,
                    region=stack.region,
                    targets=frozenset(_targets(session, stack.region, name)),
                    overrides=_overrides(session, stack),
                )
        return None

    @property
    def regions(self) -> set[str]:
        """Regions of its own account in which it has resources: artifacts are replicated to other regions there."""
        return {self.region} | {target.region for target in self.targets}

    def differences(self, context: Context) -> list[str]:
        """Return one line for each value given with `-c` that differs from the deployed installation."""
        own: dict[str, object] = {"account": self.account, "region": self.region}
        lines = []
        for key, given in context.given.items():
            if key == SUFFIX:
                continue
            deployed = own.get(key, self.overrides.get(key, context.from_file(key)))
            if parse_json(given) != parse_json(deployed):
                value = f"with {deployed}" if deployed else "without it"
                lines.append(f"-c {key}={given}, but it was deployed {value}")
        return lines


def find_environments(
    session: Session, installation: Installation, targets: Iterable[DeploymentTarget]
) -> list[tuple[str, StackSummary]]:
    """Return account and stack of every environment that exists in these targets in other accounts.

    Raises:
        AccessError: Naming each account and region that could not be searched.
    """
    found: list[tuple[str, StackSummary]] = []
    failures: list[str] = []
    for target in sorted(targets):
        try:
            stacks = search(_assume_lookup_role(session, target), installation.project, [target.region]).stacks
        except AccessError as error:
            failures.append(f"account {target.account}, {error}")
        else:
            found += [
                (target.account, stack)
                for stack in stacks
                if stack.installation == installation.name and not is_pipeline_stack(stack.name)
            ]
    if failures:
        raise AccessError("\n".join(failures))
    return found


def _assume_lookup_role(session: Session, target: DeploymentTarget) -> Session:
    try:
        credentials = session.client("sts", region_name=home_region(session)).assume_role(
            RoleArn=target.lookup_role, RoleSessionName="look-before-destroy"
        )["Credentials"]
    except (ClientError, BotoCoreError) as error:
        raise AccessError(f"region {target.region}: {error}") from error
    return Session(
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials["SessionToken"],
        region_name=target.region,
    )


def _targets(session: Session, region: str, pipeline: str) -> Iterator[DeploymentTarget]:
    """Yield where the pipeline's CloudFormation actions deploy to, by the roles that they assume."""
    definition = session.client("codepipeline", region_name=region).get_pipeline(name=pipeline)["pipeline"]
    for action in (action for stage in definition["stages"] for action in stage.get("actions", ())):
        role = action.get("roleArn", "")
        if action["actionTypeId"]["provider"] == "CloudFormation" and _DEPLOY_ROLE in role:
            yield DeploymentTarget(
                account=role.split(":")[4],
                region=action.get("region") or region,
                lookup_role=role.replace(_DEPLOY_ROLE, _LOOKUP_ROLE),
            )


def _overrides(session: Session, stack: Stack) -> Mapping[str, object]:
    names = stack.ids("AWS::CodeBuild::Project")
    if not names:
        return {}
    projects = session.client("codebuild", region_name=stack.region).batch_get_projects(names=names)["projects"]
    for project in projects:
        for variable in project["environment"].get("environmentVariables", ()):
            if variable["name"] == _OVERRIDES:
                overrides = json.loads(variable["value"])
                return overrides if isinstance(overrides, Mapping) else {}
    return {}
