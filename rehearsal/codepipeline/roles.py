"""The roles that CodePipeline and CodeBuild act as.

API calls of the rehearsal are signed by the role that makes them on AWS. Calls that the rehearsal has no need to make
(artifacts are folders, build logs are files) are authorized all the same.

Sources: https://docs.aws.amazon.com/codepipeline/latest/userguide/how-to-custom-role.html,
https://docs.aws.amazon.com/codebuild/latest/userguide/setting-up-service-role.html
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import boto3.session
from botocore.exceptions import ClientError

from rehearsal.account.authorization_client import AuthorizationClient, CallDeniedError
from rehearsal.account.sessions import ACCOUNT_ID, REGION, Credentials
from rehearsal.codepipeline.definition import Action, Pipeline
from rehearsal.codepipeline.run_context import ActionError

_CONNECTION_SERVICES = ("codeconnections", "codestar-connections")


@dataclass(frozen=True, kw_only=True)
class ActionRoles:
    """The roles of one pipeline, and the calls that its actions make as them.

    Every method but `action_role` raises `ActionError` when the deployed policies deny a call.
    """

    pipeline: Pipeline
    authorization: AuthorizationClient
    open_session: Callable[[Credentials], boto3.session.Session]

    def action_role(self, action: Action) -> str:
        """Return the ARN of the role that an action runs as: its own, or the pipeline's."""
        return action.role_arn or self.pipeline.role_arn

    def action_session(self, action: Action) -> boto3.session.Session:
        """Open a session of the role that an action runs as; the pipeline's role assumes the action's."""
        source_arn = f"arn:aws:codepipeline:{REGION}:{ACCOUNT_ID}:{self.pipeline.name}"
        pipeline = self.open_session(self._assume(self.pipeline.role_arn, "codepipeline.amazonaws.com", source_arn))
        if action.role_arn is None:
            return pipeline
        try:
            assumed = pipeline.client("sts").assume_role(RoleArn=action.role_arn, RoleSessionName=self.pipeline.name)
        except ClientError as error:
            reason = error.response["Error"]["Message"]
            raise ActionError(f"{self.pipeline.role_arn} cannot assume {action.role_arn}: {reason}") from error
        keys = assumed["Credentials"]
        return self.open_session(
            Credentials(
                access_key_id=keys["AccessKeyId"],
                secret_access_key=keys["SecretAccessKey"],
                session_token=keys["SessionToken"],
            )
        )

    def build_credentials(self, project: Mapping[str, Any]) -> Credentials:
        """Return credentials of a CodeBuild project's service role."""
        return self._assume(project["serviceRole"], "codebuild.amazonaws.com", project["arn"])

    def fetch_source(self, action: Action) -> None:
        """Authorize a source action: it uses the connection and stores the artifact."""
        role = self.action_role(action)
        self.clone_source(role, action.configuration["ConnectionArn"])
        self.write_artifacts(role, action.outputs)

    def start_build(self, action: Action) -> None:
        """Authorize CodePipeline to start a build and to poll it."""
        project = f"arn:aws:codebuild:{REGION}:{ACCOUNT_ID}:project/{action.configuration['ProjectName']}"
        calls = [("codebuild:StartBuild", project), ("codebuild:BatchGetBuilds", project)]
        self._authorize(self.action_role(action), calls)

    def read_artifacts(self, role: str, names: Iterable[str]) -> None:
        """Authorize a role to read artifacts."""
        self._authorize(role, [("s3:GetObject", self._object_arn(name)) for name in names])

    def write_artifacts(self, role: str, names: Iterable[str]) -> None:
        """Authorize a role to store artifacts."""
        self._authorize(role, [("s3:PutObject", self._object_arn(name)) for name in names])

    def clone_source(self, role: str, connection_arn: str) -> None:
        """Authorize a role to use a connection.

        The connections service was renamed; which of the two prefixes AWS checks depends on the caller, so that an ARN
        with the new one is authorized under both.
        """
        _, _, service, tail = connection_arn.split(":", 3)
        services = _CONNECTION_SERVICES if service == _CONNECTION_SERVICES[0] else (service,)
        self._authorize(role, [(f"{prefix}:UseConnection", f"arn:aws:{prefix}:{tail}") for prefix in services])

    def write_log(self, role: str, group: str, stream: str) -> None:
        """Authorize a build to write its log."""
        arn = f"arn:aws:logs:{REGION}:{ACCOUNT_ID}:log-group:{group}:log-stream:{stream}"
        self._authorize(role, [("logs:CreateLogStream", arn), ("logs:PutLogEvents", arn)])

    def put_report(self, role: str, group_arn: str, *, coverage: bool) -> None:
        """Authorize a build to put a test report or a coverage report into a report group."""
        put = "codebuild:BatchPutCodeCoverages" if coverage else "codebuild:BatchPutTestCases"
        self._authorize(
            role, [(action, group_arn) for action in ("codebuild:CreateReport", "codebuild:UpdateReport", put)]
        )

    def verify_service_calls(self) -> None:
        """Authorize the calls that AWS services make in their own name with the resources that exist now."""
        try:
            self.authorization.verify_service_calls()
        except CallDeniedError as error:
            raise ActionError(str(error)) from error

    def _object_arn(self, artifact: str) -> str:
        return f"arn:aws:s3:::{self.pipeline.artifact_bucket}/{self.pipeline.name[:20]}/{artifact[:10]}/artifact"

    def _assume(self, role: str, service: str, source_arn: str) -> Credentials:
        context = {"aws:SourceAccount": ACCOUNT_ID, "aws:SourceArn": source_arn}
        try:
            return self.authorization.assume(role, service=service, session=self.pipeline.name, context=context)
        except CallDeniedError as error:
            raise ActionError(str(error)) from error

    def _authorize(self, role: str, calls: Iterable[tuple[str, str]]) -> None:
        try:
            for action, resource in calls:
                self.authorization.require(role, action, resource)
        except CallDeniedError as error:
            raise ActionError(str(error)) from error
