"""PipelineStack: from a push to every environment. The only stack that a person ever deploys."""

from typing import Any

from aws_cdk import Annotations, CfnOutput, Environment, Stack, pipelines
from aws_cdk import aws_codebuild as codebuild
from aws_cdk import aws_codepipeline as codepipeline
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from constructs import Construct

from pipeline.approval import InformedApproval
from pipeline.assets import asset_publishing_defaults
from pipeline.builds import JOBS, build_defaults, change_report_step, image_scan_step, smoke_step, synth_step
from pipeline.config import PipelineConfig, StageConfig
from pipeline.functions import KINDS
from pipeline.notifications import PipelineNotifications
from pipeline.ownership import take_over
from pipeline.replication import ReplicationStack, other_regions
from pipeline.roles import PipelineRoles, report_group_names
from pipeline.rollback import roll_back_on_failure
from pipeline.storage import PipelineStorage
from pipeline.versions import npm_version
from stages.naming import tag_all
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
            config=config,
            encrypted_logs=[
                config.names.function_logs(kind) for kind in ("empty-bucket", *(f"pipeline-{one}" for one in KINDS))
            ],
        )
        self._roles = PipelineRoles(self, "Roles", config=config, storage=self._storage)
        self._reports()
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
            # By ARN: given the role itself, CDK lets the pipeline depend on it twice, which cfn-lint rightly finds odd.
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
            role=self._roles.scan_role().without_policy_updates(),
            assembly=self._synth,
            jobs=self._jobs,
        )
        self.pipeline.add_wave("ScanImage", post=[scan])
        for stage in config.stages:
            self._add_stage(stage)
        self.pipeline.build_pipeline()
        roll_back_on_failure(self.pipeline.pipeline, [stage.stage_name for stage in config.stages])
        PipelineNotifications(self, "Notifications", config=config, storage=self._storage, stacks=self._stacks)
        self._say_who_hears()
        take_over(self.pipeline, config=config, roles=self._roles)
        tag_all(self, config.names)

    def _artifact_buckets(self, scope: Construct) -> dict[str, Any]:
        """One bucket, or one for each region that CloudFormation deploys to."""
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
            self._ask_before(stage, deployed)
        self._dashboards[stage.name] = str(deployed.dashboard_url.value)
        role = self._roles.smoke_role(stage, deployed.smoke_reader_role_arn)
        self.pipeline.add_stage(
            deployed,
            post=[
                smoke_step(
                    config=self._config,
                    role=role.without_policy_updates(),
                    jobs=self._jobs,
                    stage=stage,
                    deployed=deployed,
                )
            ],
        )

    def _ask_before(self, stage: StageConfig, deployed: PaymentStage) -> None:
        """Report and approval, in a stage of their own: a rejection fails its stage, and must not roll back another."""
        report = change_report_step(
            config=self._config,
            role=self._roles.report_role(stage).without_policy_updates(),
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
        """What would change, of which commit, and how the environment does that has the commit already."""
        parts = [summary, f"commit {self._source.source_attribute('CommitId')}"]
        if stage.name in self._config.unheard:
            parts.append(f"alarms of {stage.name} reach nobody: alarm_email is not set")
        for earlier in list(self._dashboards)[-1:]:
            parts.append(f"dashboard of {earlier}: {self._dashboards[earlier]}")
        return " | ".join(parts)

    def _say_who_hears(self) -> None:
        """Say at synthesis and at the end of `make deploy` whose messages reach nobody."""
        unheard = ", ".join(self._config.unheard)
        CfnOutput(
            self,
            "ReachNobody",
            value=f"{unheard}: set alarm_email" if unheard else "none",
            description="Whose alarms and notifications reach nobody",
        )
        if unheard:
            Annotations.of(self).add_warning_v2(
                "payment-pipeline:reach-nobody",
                f"Alarms and notifications reach nobody: {unheard}. Set alarm_email in cdk.json or with -c "
                "alarm_email=..., for one environment as environments.NAME.alarm_email; the address must confirm once.",
            )

    def _reports(self) -> None:
        """Declared, because CodeBuild would otherwise make groups that outlive the stack."""
        for name in report_group_names(self._config):
            codebuild.CfnReportGroup(
                self,
                name,
                name=name,
                type="CODE_COVERAGE" if "coverage" in name else "TEST",
                delete_reports=True,
                export_config=codebuild.CfnReportGroup.ReportExportConfigProperty(export_config_type="NO_EXPORT"),
            )
