"""What the deployed pipeline of an installation says: where it deploys to, and what context it was deployed with.

`cdk.json` in a checkout may say something else, and what was given with `-c` is nowhere but here.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from boto3.session import Session
from botocore.exceptions import BotoCoreError, ClientError

from operations.context import SUFFIX, Context, as_json
from operations.installation import PIPELINE_TYPE, Installation, Stack, is_of_pipeline
from operations.search import Sighting, UnseenError, home_region, look

#: Variable of the synth project by which `-c` survives self-mutation; only what differs from `cdk.json`.
_OVERRIDES = "CONTEXT_OVERRIDES"
#: In the names of the bootstrap's roles.
_DEPLOY_ROLE, _LOOKUP_ROLE = "-deploy-role-", "-lookup-role-"


@dataclass(frozen=True, kw_only=True, order=True)
class Place:
    """An account and region that the pipeline deploys to."""

    account: str
    region: str
    #: ARN of the bootstrap's role for looking there, which trusts the pipeline's account.
    lookup_role: str


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """A deployed pipeline."""

    account: str
    region: str
    places: frozenset[Place]
    overrides: Mapping[str, object]

    @classmethod
    def read(cls, session: Session, account: str, stacks: Iterable[Stack]) -> "Deployed | None":
        """Read it from the account; None when none of these stacks holds a pipeline."""
        for stack in stacks:
            for name in stack.ids(PIPELINE_TYPE):
                return cls(
                    account=account,
                    region=stack.region,
                    places=frozenset(_places(session, stack.region, name)),
                    overrides=_overrides(session, stack),
                )
        return None

    @property
    def regions(self) -> set[str]:
        """Where it has something in its own account: for other regions its artifacts are copied there."""
        return {self.region} | {place.region for place in self.places}

    def differences(self, context: Context) -> list[str]:
        """Return what was given with `-c` and is not what the installation was deployed with, one line each."""
        own: dict[str, object] = {"account": self.account, "region": self.region}
        lines = []
        for key, asked in context.given.items():
            if key == SUFFIX:
                continue
            deployed = own.get(key, self.overrides.get(key, context.filed(key)))
            if as_json(asked) != as_json(deployed):
                lines.append(
                    f"-c {key}={asked}, but it was deployed " + (f"with {deployed}" if deployed else "without")
                )
        return lines


def look_elsewhere(session: Session, installation: Installation, places: Iterable[Place]) -> list[tuple[str, Sighting]]:
    """Return account and stack of every environment that exists in these places, which are in other accounts.

    Raises:
        UnseenError: naming each account and region that could not be looked at.
    """
    found: list[tuple[str, Sighting]] = []
    unseen: list[str] = []
    for place in sorted(places):
        try:
            seen = look(_assume(session, place), installation.project, [place.region]).stacks
        except UnseenError as error:
            unseen.append(f"account {place.account}, {error}")
        else:
            found += [(place.account, one) for one in seen if _is_environment_of(one, installation)]
    if unseen:
        raise UnseenError("\n".join(unseen))
    return found


def _is_environment_of(sighting: Sighting, installation: Installation) -> bool:
    return sighting.installation == installation.name and not is_of_pipeline(sighting.name)


def _assume(session: Session, place: Place) -> Session:
    try:
        keys = session.client("sts", region_name=home_region(session)).assume_role(
            RoleArn=place.lookup_role, RoleSessionName="look-before-destroy"
        )["Credentials"]
    except (ClientError, BotoCoreError) as error:
        raise UnseenError(f"region {place.region}: {error}") from error
    return Session(
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
        region_name=place.region,
    )


def _places(session: Session, region: str, pipeline: str) -> Iterator[Place]:
    """Yield where the pipeline's CloudFormation actions work, by the roles that they assume."""
    definition = session.client("codepipeline", region_name=region).get_pipeline(name=pipeline)["pipeline"]
    for action in (action for stage in definition["stages"] for action in stage.get("actions", ())):
        role = action.get("roleArn", "")
        if action["actionTypeId"]["provider"] == "CloudFormation" and _DEPLOY_ROLE in role:
            yield Place(
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
