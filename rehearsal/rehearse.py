"""The rehearsal: the bootstrap that a person would do once, then the pipeline itself.

It reads what was synthesized and nothing else of the project: it knows neither `pipeline/` nor `stages/`.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rehearsal.account import Account, SetupError, read_parameter, read_secret
from rehearsal.codepipeline.actions import CancelledError, Provider
from rehearsal.codepipeline.approval import Approval, Approver
from rehearsal.codepipeline.cloudformation import CloudFormation
from rehearsal.codepipeline.codebuild import CodeBuild
from rehearsal.codepipeline.definition import Pipeline
from rehearsal.codepipeline.execution import Execution, PipelineChangedError
from rehearsal.codepipeline.roles import ActionRoles
from rehearsal.codepipeline.source import Commit, Source
from rehearsal.compute.processes import record_process
from rehearsal.emulator.client import ACCOUNT_ID, REGION
from rehearsal.emulator.principals import Decisions
from rehearsal.timeline import Status, Timeline

SETUP, TEARDOWN = "Setup", "Destroy"
_MAX_RESTARTS = 3
#: What CloudFormation may do, as the README has a person bootstrap; without such files what the CLI gives it.
_EXECUTION_POLICIES = "pipeline/bootstrap/execution-policy-*.json"
_UNLIMITED = "arn:aws:iam::aws:policy/AdministratorAccess"
_CONNECTION = f"arn:aws:codeconnections:{REGION}:{ACCOUNT_ID}:connection/00000000-0000-4000-8000-000000000000"


@dataclass(frozen=True, kw_only=True)
class Rehearsal:
    """`prepare` once, `run` for every commit, `destroy` at the end."""

    account: Account
    timeline: Timeline
    approver: Approver

    def prepare(self, commit: Commit) -> None:
        """Start the account, bootstrap it, and deploy `commit`'s PipelineStack, as a person does once.

        Raises:
            SetupError: a command failed.
        """
        with self._step(SETUP, "emulator") as log:
            self.account.open(log)
        workspace = self.account.workspace
        cdk = str(workspace.checkout / "node_modules" / ".bin" / "cdk")
        with self._step(SETUP, "cdk bootstrap") as log:
            commit.clone_into(self._clone)
            policies = self.account.create_policies(sorted(self._clone.glob(_EXECUTION_POLICIES)))
            limits = ("--cloudformation-execution-policies", ",".join(policies or [_UNLIMITED]))
            self.account.run_tool(
                [cdk, "bootstrap", f"aws://{ACCOUNT_ID}/{REGION}", "--ci", *limits], folder=workspace.home, log=log
            )
            certificate = self.account.import_certificate()
            self.account.remember()
        with self._step(SETUP, "cdk deploy PipelineStack") as log:
            self.account.run_tool(
                [
                    *(cdk, "deploy", "PipelineStack", "--ci", "--require-approval", "never"),
                    *("--context", f"connection_arn={_CONNECTION}"),
                    *("--context", "repository=local/rehearsal"),
                    *("--context", f"certificate_arn={certificate}"),
                    *("--context", "alarm_email=operators@example.com"),
                ],
                folder=self._clone,
                log=log,
            )

    def run(self, commit: Commit) -> None:
        """Run the deployed pipeline on a commit, again from the start whenever it has changed itself.

        Raises:
            StageFailedError: an action failed.
            SetupError: the pipeline changes itself again and again.
        """
        for _ in range(_MAX_RESTARTS + 1):
            try:
                self._execution(commit).run()
            except PipelineChangedError:
                continue
            return
        msg = f"the pipeline changed itself {_MAX_RESTARTS + 1} times in a row: its synthesis is not stable"
        raise SetupError(msg)

    def decisions(self) -> Decisions:
        """What the policies decided so far, kept in the workspace too; nothing before the emulator runs."""
        found = self.account.decisions()
        file = self.account.workspace.rehearsal / "decisions.json"
        file.write_text(json.dumps({"decisions": found.entries, "undecided": found.undecided}, indent=1) + "\n")
        return found

    def destroy(self) -> None:
        """Destroy every stack, then compare the account with what it held after the bootstrap.

        Raises:
            SetupError: the command failed.
            LeftoversError: something is left.
        """
        self.account.keep_policies()
        with self._step(TEARDOWN, "make destroy") as log:
            # What AWS needs minutes for takes the emulator no time.
            patience = ("--settle", "1", "--poll", "0.3")
            self.account.run_module("operations.destroy", "--yes", *patience, folder=self._clone, log=log)
        with self._step(TEARDOWN, "nothing is left") as log:
            self.account.verify_destroyed(log)

    @property
    def _clone(self) -> Path:
        """The clone in which a person types `cdk deploy` and `make destroy`."""
        return self.account.workspace.builds / "person"

    def _execution(self, commit: Commit) -> Execution:
        pipeline = self._definition()
        workspace = self.account.workspace
        return Execution(
            pipeline=pipeline,
            commit_id=commit.id,
            artifacts=workspace.artifacts,
            logs=workspace.logs,
            providers=self._providers(pipeline, commit),
            timeline=self.timeline,
            cancelled=self.account.cancelled,
            changed=lambda: self._definition().fingerprint != pipeline.fingerprint,
        )

    def _definition(self) -> Pipeline:
        """The one pipeline that the account holds, as the emulator's CloudFormation resolved it."""
        folder = self.account.records / "AWS-CodePipeline-Pipeline"
        records = sorted(folder.glob("*.json"))
        if len(records) != 1:
            msg = f"the account holds {len(records)} pipelines instead of one"
            raise SetupError(msg)
        return Pipeline.parse(json.loads(records[0].read_text(encoding="utf-8")))

    def _providers(self, pipeline: Pipeline, commit: Commit) -> Mapping[str, Provider]:
        account = self.account
        roles = ActionRoles(pipeline=pipeline, principals=account.principals, session_for=account.session_of)
        codebuild = account.session.client("codebuild")

        def project(name: str) -> Mapping[str, Any]:
            found = codebuild.batch_get_projects(names=[name])["projects"][0]
            record = json.loads((account.records / "AWS-CodeBuild-Project" / f"{name}.json").read_text("utf-8"))
            group = record.get("LogsConfig", {}).get("CloudWatchLogs", {}).get("GroupName")
            return {**found, "logGroup": group or f"/aws/codebuild/{name}"}

        return {
            "Source": Source(commit=commit, roles=roles),
            "CodeBuild": CodeBuild(
                builds=account.workspace.builds,
                cached=account.workspace.checkout,
                roles=roles,
                environment=account.build_environment,
                project=project,
                secret=read_secret,
                parameter=read_parameter,
                started=lambda pid, name: record_process(account.workspace.run, pid, name),
            ),
            "CloudFormation": CloudFormation(
                roles=roles,
                upload=lambda key, body: account.upload(pipeline.artifact_bucket, key, body),
                localize=account.runtime.localize,
            ),
            "Approval": Approval(approver=self.approver),
        }

    @contextmanager
    def _step(self, stage: str, name: str) -> Iterator[Path]:
        """One action outside the pipeline, in the same timeline."""
        entry = self.timeline.plan(stage, name, stage)
        log = self.account.workspace.logs / f"{stage}.{name.replace(' ', '-')}.log"
        log.touch()
        self.timeline.begin(entry, log)
        try:
            yield log
        except CancelledError:
            self.timeline.end(entry, Status.ABANDONED, "stopped")
            raise
        except BaseException as error:
            self.timeline.end(entry, Status.FAILED, str(error))
            raise
        self.timeline.end(entry, Status.SUCCEEDED)
