"""PipelineStack: from a push to every environment. The only stack that a person ever deploys."""

from typing import Any  # keyword arguments of different types

from aws_cdk import Annotations, CfnOutput, Environment, Stack, pipelines
from aws_cdk import aws_codebuild as codebuild
from aws_cdk import aws_codepipeline as codepipeline
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from constructs import Construct

from kit.custom_resources import EMPTY_BUCKET
from kit.naming import tag_all
from pipeline.approval import InformedApproval
from pipeline.assets import asset_publishing_defaults
from pipeline.builds import JOBS, build_defaults, change_report_step, image_scan_step, smoke_step, synth_step
from pipeline.config import PipelineConfig, StageConfig
from pipeline.notifications import FUNCTIONS, PipelineNotifications
from pipeline.overrides import override_generated_projects
from pipeline.projects import report_group_names
from pipeline.replication import ReplicationStack, other_regions
from pipeline.roles import PipelineRoles
from pipeline.rollback import roll_back_on_failure
from pipeline.storage import PipelineStorage
from pipeline.versions import npm_version
from stages.payment_stage import PaymentStage


class PipelineStack(Stack):
    """Source, synth with gates, self-mutation, assets, then the environments in the order of the configuration."""

    def __init__(self, scope: Construct, construct_id: str, *, config: PipelineConfig) -> None:
        super().__init__(
            scope,
            construct_id,
            stack_name=config.stack_name,
            description=f"Delivery pipeline of the payment API, installation {config.names.suffix}",
            env=Environment(account=config.account, region=config.region),
        )
        self._config = config
        self._stacks: dict[str, list[str]] = {}
        self._dashboards: dict[str, str] = {}
        self._storage = PipelineStorage(
            self,
            "Storage",
            target=config,
            function_logs=[config.names.function_logs(purpose) for purpose in (EMPTY_BUCKET, *FUNCTIONS)],
        )
        self._roles = PipelineRoles(self, "Roles", config=config, storage=self._storage)
        self._create_report_groups()
        self._source = pipelines.CodePipelineSource.connection(
            config.repository,
            config.branch,
            connection_arn=config.connection_arn,
            code_build_clone_output=True,  # with history, which the secret scan reads
            trigger_on_push=True,
            action_name="Source",
        )
        self._synth = synth_step(config=config, role=self._roles.synth.without_policy_updates(), source=self._source)
        self._jobs = self._synth.add_output_directory(JOBS)
        self.pipeline = pipelines.CodePipeline(
            self,
            "Pipeline",
            pipeline_name=config.names.name("pipeline"),
            pipeline_type=codepipeline.PipelineType.V2,
            execution_mode=codepipeline.ExecutionMode.QUEUED,
            **self._artifact_buckets(scope),
            # By ARN: given the role itself, CDK adds the dependency on it twice, which cfn-lint reports.
            role=iam.Role.from_role_arn(self, "PipelineRole", self._roles.pipeline.role_arn, mutable=False),
            use_pipeline_role_for_actions=True,
            synth=self._synth,
            self_mutation=True,
            cli_version=npm_version("aws-cdk"),
            cdk_assets_cli_version=npm_version("cdk-assets"),
            publish_assets_in_parallel=False,
            code_build_defaults=build_defaults(self._storage),
            asset_publishing_code_build_defaults=asset_publishing_defaults(),
        )
        scan = image_scan_step(
            config=config,
            role=self._roles.create_scan_role().without_policy_updates(),
            assembly=self._synth,
            jobs=self._jobs,
        )
        self.pipeline.add_wave("ScanImage", post=[scan])
        for stage in config.stages:
            self._add_stage(stage)
        self.pipeline.build_pipeline()
        roll_back_on_failure(self.pipeline.pipeline, [stage.stage_name for stage in config.stages])
        PipelineNotifications(self, "Notifications", config=config, storage=self._storage, stacks=self._stacks)
        self._warn_about_missing_subscribers()
        override_generated_projects(self.pipeline, config=config, roles=self._roles)
        tag_all(self, config.names)

    def _artifact_buckets(self, scope: Construct) -> dict[str, Any]:
        """Return one bucket, or one for each region that the pipeline deploys to."""
        replicas: dict[str, s3.IBucket] = {}
        for region in other_regions(self._config):
            replica = ReplicationStack(scope, f"PipelineStack-{region}", config=self._config, region=region)
            self.add_stack_dependency(replica)
            replicas[region] = replica.bucket
        own = self._storage.bucket
        return (
            {"cross_region_replication_buckets": {**replicas, self.region: own}}
            if replicas
            else {"artifact_bucket": own}
        )

    def _add_stage(self, stage: StageConfig) -> None:
        deployed = PaymentStage(self, stage.stage_name, config=stage.environment)
        self._stacks[stage.name] = [one.stack_name for one in deployed.node.children if isinstance(one, Stack)]
        if stage.approval:
            self._add_approval(stage, deployed)
        self._dashboards[stage.name] = str(deployed.dashboard_url.value)
        role = self._roles.create_smoke_role(stage)
        self.pipeline.add_stage(
            deployed,
            post=[
                smoke_step(
                    config=self._config,
                    role=role.without_policy_updates(),
                    jobs=self._jobs,
                    stage=stage,
                    api_url=deployed.api_url,
                )
            ],
        )

    def _add_approval(self, stage: StageConfig, deployed: PaymentStage) -> None:
        """Add report and approval in a stage of their own: a rejection fails its stage, which must not roll back."""
        report = change_report_step(
            config=self._config,
            role=self._roles.create_change_report_role(stage).without_policy_updates(),
            assembly=self._synth,
            jobs=self._jobs,
            stage=stage,
            nested=deployed.artifact_id,
        )
        approval = InformedApproval(
            f"Approve{stage.stage_name}",
            report=report,
            text=self._approval_text(stage, report.exported_variable("SUMMARY")),
            link=report.exported_variable("REPORT_URL"),
        )
        self.pipeline.add_wave(f"Approve{stage.stage_name}", post=[report, approval])

    def _approval_text(self, stage: StageConfig, summary: str) -> str:
        """Return what would change, the commit, and how the environment that already runs the commit is doing."""
        parts = [summary, f"commit {self._source.source_attribute('CommitId')}"]
        if stage.name in self._config.without_subscriber:
            parts.append(f"alarms of {stage.name} reach nobody: alarm_email is not set")
        for earlier in list(self._dashboards)[-1:]:
            parts.append(f"dashboard of {earlier}: {self._dashboards[earlier]}")
        return " | ".join(parts)

    def _warn_about_missing_subscribers(self) -> None:
        """Show at synthesis and at the end of `make deploy` whose alarms and notifications reach nobody."""
        affected = ", ".join(self._config.without_subscriber)
        CfnOutput(
            self,
            "ReachNobody",
            value=f"{affected}: set alarm_email" if affected else "none",
            description="Environments whose alarms and notifications reach nobody",
        )
        if affected:
            Annotations.of(self).add_warning_v2(
                "payment-pipeline:reach-nobody",
                f"Alarms and notifications reach nobody: {affected}. Set alarm_email in cdk.json or with -c "
                "alarm_email=... (for one environment: environments.NAME.alarm_email); recipients must confirm once.",
            )

    def _create_report_groups(self) -> None:
        """Declare the report groups: CodeBuild would otherwise create groups that outlive the stack."""
        for name in report_group_names(self._config):
            codebuild.CfnReportGroup(
                self,
                name,
                name=name,
                type="CODE_COVERAGE" if "coverage" in name else "TEST",
                delete_reports=True,
                export_config=codebuild.CfnReportGroup.ReportExportConfigProperty(export_config_type="NO_EXPORT"),
            )
