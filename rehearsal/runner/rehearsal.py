"""A rehearsal: bootstrap the account, deploy the pipeline stack, run the pipeline, destroy everything."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rehearsal.account.authorization_client import Decisions
from rehearsal.account.sessions import ACCOUNT_ID, REGION
from rehearsal.codepipeline.approval import ApprovalExecutor, Approver
from rehearsal.codepipeline.cloudformation import CloudFormationExecutor
from rehearsal.codepipeline.codebuild import CodeBuildExecutor
from rehearsal.codepipeline.definition import Pipeline
from rehearsal.codepipeline.execution import Execution, PipelineChangedError
from rehearsal.codepipeline.roles import ActionRoles
from rehearsal.codepipeline.run_context import ActionExecutor, CancelledError
from rehearsal.codepipeline.source import Commit, SourceExecutor
from rehearsal.codepipeline.timeline import Status, Timeline
from rehearsal.host.processes import record_process
from rehearsal.runner.emulated_account import EmulatedAccount, ServedStack, SetupError
from rehearsal.runner.project import Project

SETUP_STAGE, TEARDOWN_STAGE = "Setup", "Destroy"
_MAX_RESTARTS = 3


@dataclass(frozen=True, kw_only=True)
class Rehearsal:
    """`prepare` once, `run` for every commit, `destroy` at the end."""

    project: Project
    account: EmulatedAccount
    timeline: Timeline
    approver: Approver

    def prepare(self, commit: Commit) -> None:
        """Start the account, bootstrap it, and deploy the pipeline stack of a commit.

        Raises:
            SetupError: A command failed.

        """
        with self._step(SETUP_STAGE, "emulator") as log:
            self.account.open(log)
        with self._step(SETUP_STAGE, "cdk bootstrap") as log:
            commit.clone_into(self._clone)
            pattern = self.project.execution_policies
            documents = sorted(self._clone.glob(pattern)) if pattern else []
            bootstrap(self.account, self.account.create_execution_policies(documents), log=log)
            certificate = self.account.import_certificate()
            self.account.take_baseline()
        stacks = self.project.stacks
        with self._step(SETUP_STAGE, f"cdk deploy {' '.join(stacks)}") as log:
            options = ["--ci", "--require-approval", "never"]
            context = self.project.context_arguments(certificate_arn=certificate)
            self.account.run_command(["cdk", "deploy", *stacks, *options, *context], folder=self._clone, log=log)

    def run(self, commit: Commit) -> None:
        """Run the deployed pipeline for a commit, again from the start whenever it has changed itself.

        Raises:
            StageFailedError: An action failed.
            SetupError: The pipeline changes itself again and again.

        """
        for _ in range(_MAX_RESTARTS + 1):
            try:
                self._execution(commit).run()
            except PipelineChangedError:
                continue
            return
        raise SetupError(f"the pipeline changed itself {_MAX_RESTARTS + 1} times in a row: its synthesis is not stable")

    def save_decisions(self) -> Decisions:
        """Save the decisions so far in the workspace, and return them; see `rehearsal.permissions`."""
        decisions = self.account.decisions()
        file = self.account.workspace.rehearsal / "decisions.json"
        file.write_text(json.dumps({"decisions": decisions.entries, "undecided": decisions.undecided}, indent=1) + "\n")
        return decisions

    def example(self, stack: ServedStack) -> list[str]:
        """Return the output of the project's example for a stack, if it has one.

        Raises:
            SetupError: The example failed.

        """
        if not self.project.example:
            return []
        workspace = self.account.workspace
        log = workspace.logs / "example.log"
        variables = {"STACK_OUTPUTS": json.dumps(dict(stack.outputs)), "CA_FILE": str(self.account.runtime.ca_file)}
        self.account.run_command(self.project.example, folder=workspace.checkout, log=log, variables=variables)
        return log.read_text(encoding="utf-8").splitlines()

    def destroy(self) -> None:
        """Destroy everything, and compare the account with what it had after the bootstrap.

        Raises:
            SetupError: The command failed.
            LeftoversError: Something is left.

        """
        self.account.save_policies()
        with self._step(TEARDOWN_STAGE, "destroy") as log:
            self.account.run_command(self.project.destroy, folder=self._clone, log=log)
        with self._step(TEARDOWN_STAGE, "compare the account") as log:
            self.account.verify_destroyed(log)

    @property
    def _clone(self) -> Path:
        """The clone in which the engineer deploys and destroys."""
        return self.account.workspace.builds / "engineer"

    def _execution(self, commit: Commit) -> Execution:
        pipeline = self._definition()
        workspace = self.account.workspace
        return Execution(
            pipeline=pipeline,
            commit_id=commit.id,
            artifacts=workspace.artifacts,
            logs=workspace.logs,
            executors=self._executors(pipeline, commit),
            timeline=self.timeline,
            cancelled=self.account.cancelled,
            has_changed=lambda: self._definition().fingerprint != pipeline.fingerprint,
        )

    def _definition(self) -> Pipeline:
        """Return the definition of the only pipeline in the account, as CloudFormation resolved it."""
        folder = self.account.records / "AWS-CodePipeline-Pipeline"
        records = sorted(folder.glob("*.json"))
        if len(records) != 1:
            raise SetupError(f"the account has {len(records)} pipelines; the rehearsal runs exactly one")
        return Pipeline.parse(json.loads(records[0].read_text(encoding="utf-8")))

    def _executors(self, pipeline: Pipeline, commit: Commit) -> Mapping[str, ActionExecutor]:
        account, workspace = self.account, self.account.workspace
        roles = ActionRoles(pipeline=pipeline, authorization=account.authorization, open_session=account.open_session)
        return {
            "Source": SourceExecutor(commit=commit, roles=roles),
            "CodeBuild": CodeBuildExecutor(
                builds=workspace.builds,
                caches=workspace.checkout,
                roles=roles,
                environment=account.build_environment,
                project=self._read_project,
                on_start=lambda pid, name: record_process(workspace.run, pid, name),
            ),
            "CloudFormation": CloudFormationExecutor(
                roles=roles,
                upload=lambda key, body: account.upload(pipeline.artifact_bucket, key, body),
                localize=account.runtime.localize,
            ),
            "Approval": ApprovalExecutor(approver=self.approver),
        }

    def _read_project(self, name: str) -> Mapping[str, object]:
        project = self.account.session.client("codebuild").batch_get_projects(names=[name])["projects"][0]
        record = json.loads((self.account.records / "AWS-CodeBuild-Project" / f"{name}.json").read_text("utf-8"))
        group = record.get("LogsConfig", {}).get("CloudWatchLogs", {}).get("GroupName")
        return {**project, "logGroup": group or f"/aws/codebuild/{name}"}

    @contextmanager
    def _step(self, stage: str, name: str) -> Iterator[Path]:
        """Show a step outside the pipeline in the timeline; yield its log file."""
        entry = self.timeline.plan(stage, name, stage)
        log = self.account.workspace.logs / f"{stage}.{name.replace(' ', '-')}.log"
        log.touch()
        self.timeline.begin(entry, log)
        try:
            yield log
        except CancelledError:
            self.timeline.end(entry, Status.ABANDONED, "cancelled")
            raise
        except BaseException as error:
            self.timeline.end(entry, Status.FAILED, str(error))
            raise
        self.timeline.end(entry, Status.SUCCEEDED)


def bootstrap(account: EmulatedAccount, execution_policies: list[str], *, log: Path) -> None:
    """Run `cdk bootstrap` with these policies for the CloudFormation execution role.

    Raises:
        SetupError: It failed.

    """
    policies = ("--cloudformation-execution-policies", ",".join(execution_policies))
    command = ["cdk", "bootstrap", f"aws://{ACCOUNT_ID}/{REGION}", "--ci", *policies]
    account.run_command(command, folder=account.workspace.home, log=log)
