"""Whose rights an action uses: what CodePipeline and CodeBuild call in whose name, and have decided by the policies.

Real calls are signed with the credentials of the role that makes them on AWS. What the rehearsal does without a call
(artifacts are folders here, a build's log is a file) is decided all the same.

Sources: https://docs.aws.amazon.com/codepipeline/latest/userguide/how-to-custom-role.html,
https://docs.aws.amazon.com/codebuild/latest/userguide/setting-up-service-role.html
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import boto3.session
from botocore.exceptions import ClientError

from rehearsal.codepipeline.actions import ActionError
from rehearsal.codepipeline.definition import Action, Pipeline
from rehearsal.emulator.client import ACCOUNT_ID, REGION, Credentials
from rehearsal.emulator.principals import DeniedError, Principals

_CONNECTION_SERVICES = ("codeconnections", "codestar-connections")


class SessionFor(Protocol):
    """Makes a boto3 session of somebody in the emulated account."""

    def __call__(self, credentials: Credentials, /) -> boto3.session.Session:
        """Make it."""
        ...


@dataclass(frozen=True, kw_only=True)
class ActionRoles:
    """The roles of one pipeline, and what they do around its actions."""

    pipeline: Pipeline
    principals: Principals
    session_for: SessionFor

    def action_session(self, action: Action) -> boto3.session.Session:
        """Return a session of the role that an action works as: its own, which the pipeline's assumes, else that one.

        Raises:
            ActionError: a role may not be assumed.
        """
        pipeline = self.session_for(self._assume(self.pipeline.role_arn, "codepipeline.amazonaws.com", self._source))
        if action.role_arn is None:
            return pipeline
        try:
            given = pipeline.client("sts").assume_role(RoleArn=action.role_arn, RoleSessionName=self.pipeline.name)
        except ClientError as error:
            msg = f"{self.pipeline.role_arn} cannot assume {action.role_arn}: {error.response['Error']['Message']}"
            raise ActionError(msg) from error
        keys = given["Credentials"]
        return self.session_for(
            Credentials(
                access_key_id=keys["AccessKeyId"],
                secret_access_key=keys["SecretAccessKey"],
                session_token=keys["SessionToken"],
            )
        )

    def build_credentials(self, project: Mapping[str, Any]) -> Credentials:
        """Return credentials of a CodeBuild project's service role.

        Raises:
            ActionError: CodeBuild may not assume it.
        """
        return self._assume(project["serviceRole"], "codebuild.amazonaws.com", project["arn"])

    def fetch_source(self, action: Action) -> None:
        """Decide what the source action does: use the connection, store the artifact."""
        self._require(self._performer(action), self._use_connection(action.configuration["ConnectionArn"]))
        self.write_artifacts(self._performer(action), action.outputs)

    def start_build(self, action: Action) -> None:
        """Decide what CodePipeline does to run a build."""
        project = f"arn:aws:codebuild:{REGION}:{ACCOUNT_ID}:project/{action.configuration['ProjectName']}"
        self._require(
            self._performer(action), [("codebuild:StartBuild", project), ("codebuild:BatchGetBuilds", project)]
        )

    def read_artifacts(self, role: str, names: Iterable[str]) -> None:
        """Decide that a role reads artifacts."""
        self._require(role, [("s3:GetObject", self._object(name)) for name in names])

    def write_artifacts(self, role: str, names: Iterable[str]) -> None:
        """Decide that a role stores artifacts."""
        self._require(role, [("s3:PutObject", self._object(name)) for name in names])

    def clone_source(self, role: str, connection_arn: str) -> None:
        """Decide that a build clones the repository, as with an artifact of format CODEBUILD_CLONE_REF."""
        self._require(role, self._use_connection(connection_arn))

    def write_log(self, role: str, group: str, stream: str) -> None:
        """Decide that a build writes its log."""
        arn = f"arn:aws:logs:{REGION}:{ACCOUNT_ID}:log-group:{group}:log-stream:{stream}"
        self._require(role, [("logs:CreateLogStream", arn), ("logs:PutLogEvents", arn)])

    def report(self, role: str, group: str, *, project: str, coverage: bool) -> None:
        """Decide that a build hands in its test or coverage reports.

        CodeBuild makes a group that is named by a bare name, under the project's name.
        """
        put = "codebuild:BatchPutCodeCoverages" if coverage else "codebuild:BatchPutTestCases"
        actions = ["codebuild:CreateReport", "codebuild:UpdateReport", put]
        arn = group
        if not group.startswith("arn:"):
            arn = f"arn:aws:codebuild:{REGION}:{ACCOUNT_ID}:report-group/{project}-{group}"
            actions.insert(0, "codebuild:CreateReportGroup")
        self._require(role, [(action, arn) for action in actions])

    def verify_deliveries(self) -> None:
        """Have decided what services do in their own name with what stands now.

        Raises:
            ActionError: something is not allowed, although the deployment itself went through.
        """
        try:
            self.principals.verify_deliveries()
        except DeniedError as error:
            raise ActionError(str(error)) from error

    def performer(self, action: Action) -> str:
        """Return the ARN of the role that an action works as."""
        return self._performer(action)

    def _performer(self, action: Action) -> str:
        return action.role_arn or self.pipeline.role_arn

    @property
    def _source(self) -> str:
        return f"arn:aws:codepipeline:{REGION}:{ACCOUNT_ID}:{self.pipeline.name}"

    def _object(self, name: str) -> str:
        return f"arn:aws:s3:::{self.pipeline.artifact_bucket}/{self.pipeline.name[:20]}/{name[:10]}/artifact"

    @staticmethod
    def _use_connection(arn: str) -> list[tuple[str, str]]:
        """Decide under both prefixes for an ARN of the new one: which is checked depends on the caller."""
        _, _, service, tail = arn.split(":", 3)
        services = _CONNECTION_SERVICES if service == _CONNECTION_SERVICES[0] else (service,)
        return [(f"{one}:UseConnection", f"arn:aws:{one}:{tail}") for one in services]

    def _assume(self, role: str, service: str, source_arn: str) -> Credentials:
        context = {"aws:SourceAccount": ACCOUNT_ID, "aws:SourceArn": source_arn}
        try:
            return self.principals.assume(role, service=service, session=self.pipeline.name, context=context)
        except DeniedError as error:
            raise ActionError(str(error)) from error

    def _require(self, role: str, calls: Iterable[tuple[str, str]]) -> None:
        try:
            for action, resource in calls:
                self.principals.require(role, action, resource)
        except DeniedError as error:
            raise ActionError(str(error)) from error
