"""The pipeline's roles: one managed policy each, stated in full, instead of what CDK Pipelines would generate.

CDK Pipelines gives its roles more than they need (`s3:GetObject*`, `sts:AssumeRole` on every role of the account,
`codebuild:StartBuild` on every project, `logs:CreateLogGroup`). The roles here replace them, passed with policy updates
turned off; see docs/decisions/0201-own-pipeline-roles.md.
"""

from collections.abc import Mapping, Sequence

from aws_cdk import CfnElement, Stack, Token
from aws_cdk import aws_iam as iam
from constructs import Construct

from kit.acknowledgements import acknowledge
from kit.policies import allow, grant
from pipeline.bootstrap.arns import ANY_REGION, bootstrap_repository_arns, bootstrap_role_arns
from pipeline.config import PipelineConfig, StageConfig
from pipeline.projects import project_names, report_group_arn
from pipeline.replication import ReplicaEnvironment, other_regions
from pipeline.storage import PipelineStorage

#: Service to the reason why resources of it end in a wildcard.
_PREFIX_REASONS = {
    "iam": "Roles of `cdk bootstrap` in this account, in any region: a commit can add a region, and the role that "
    "deploys it dates from before that commit.",
    "kms": "The ARN of a key in another region is not known here; a condition narrows it to the key with our alias.",
    "s3": "Artifacts in one bucket, whose keys are not known in advance.",
}
_READ_BUCKET = ("s3:GetBucketLocation", "s3:GetBucketVersioning", "s3:ListBucket")
_READ_OBJECTS = ("s3:GetObject", "s3:GetObjectVersion")
_WRITE_OBJECTS = (*_READ_OBJECTS, "s3:PutObject")
#: What CodePipeline requires of its role for a bucket whose policy does not mention the role.
#: Source: https://docs.aws.amazon.com/codepipeline/latest/userguide/how-to-custom-role.html#how-to-custom-role-policy
_READ_REPLICA = ("s3:GetBucketAcl", *_READ_BUCKET)
_WRITE_REPLICA_OBJECTS = (*_WRITE_OBJECTS, "s3:PutObjectAcl")
_DECRYPT = ("kms:Decrypt", "kms:DescribeKey")
_ENCRYPT = (*_DECRYPT, "kms:Encrypt", "kms:GenerateDataKey", "kms:ReEncryptFrom", "kms:ReEncryptTo")
#: The action that uploads the content of a report, by kind of report.
_TEST_REPORT = "codebuild:BatchPutTestCases"
_COVERAGE_REPORT = "codebuild:BatchPutCodeCoverages"


class PipelineRoles(Construct):
    """Every role of the pipeline in its own account.

    Attributes:
        pipeline: Runs actions and passes deployments to the bootstrap's deploy roles.
        synth: Runs the gates and synthesizes.
        self_mutation: Deploys PipelineStack.
        assets: Publishes files and images to the environments' accounts and regions.
        policies: What every user of a role must depend on.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, config: PipelineConfig, storage: PipelineStorage
    ) -> None:
        super().__init__(scope, construct_id)
        self._config = config
        self._storage = storage
        self.policies: list[iam.ManagedPolicy] = []
        targets = [(stage.environment.account, stage.environment.region) for stage in config.stages]
        own = [(config.account, ANY_REGION)]
        self.pipeline = self._role(
            "pipeline",
            service="codepipeline.amazonaws.com",
            purpose="Runs the delivery pipeline's actions",
            statements=[
                self._use_connection(),
                allow(
                    "RunBuilds",
                    ["codebuild:BatchGetBuilds", "codebuild:StartBuild", "codebuild:StopBuild"],
                    [self._codebuild_arn(f"project/{name}") for name in project_names(config)],
                ),
                allow("Deploy", ["sts:AssumeRole"], bootstrap_role_arns("deploy", targets)),
                *self._replicate(),
            ],
            writes_artifacts=True,
        )
        self.synth = self._build_role(
            "synth",
            purpose="Runs the gates and synthesizes",
            statements=[self._use_connection()],
            writes_artifacts=True,
            reports={"gates": _TEST_REPORT, "tests": _TEST_REPORT, "coverage": _COVERAGE_REPORT},
        )
        self.self_mutation = self._build_role(
            "self-mutation",
            purpose="Lets the pipeline deploy its own stack",
            statements=[
                allow(
                    "DeployPipelineStack",
                    ["sts:AssumeRole"],
                    [arn for kind in ("deploy", "file-publishing", "lookup") for arn in bootstrap_role_arns(kind, own)],
                )
            ],
        )
        self.assets = self._build_role(
            "assets",
            purpose="Publishes files and images to the environments' accounts and regions",
            statements=[
                allow(
                    "PublishAssets",
                    ["sts:AssumeRole"],
                    [
                        *bootstrap_role_arns("file-publishing", targets),
                        *bootstrap_role_arns("image-publishing", targets),
                    ],
                )
            ],
        )

    def create_scan_role(self) -> iam.Role:
        """Create a role that may scan published images in its own account, and read their findings in others."""
        locations = dict.fromkeys((one.environment.account, one.environment.region) for one in self._config.stages)
        own = [location for location in locations if location[0] == self._config.account]
        others = [location for location in locations if location not in own]
        statements = []
        if own:
            actions = ["ecr:DescribeImageScanFindings", "ecr:StartImageScan"]
            statements.append(allow("ScanImages", actions, bootstrap_repository_arns(own)))
            statements.append(allow("ReadHowItIsScanned", ["ecr:GetRegistryScanningConfiguration"], ["*"]))
            # Where Amazon Inspector scans, ECR reads its findings with the caller's permissions. Source:
            # https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-scanning-enhanced-iam.html
            statements.append(allow("ReadInspector", ["inspector2:ListCoverage", "inspector2:ListFindings"], ["*"]))
        if others:
            statements.append(allow("ReadScans", ["sts:AssumeRole"], bootstrap_role_arns("lookup", others)))
        return self._build_role("scan-image", purpose="Scans images before they are deployed", statements=statements)

    def create_smoke_role(self, stage: StageConfig) -> iam.Role:
        """Create a role that may assume the role that reads one environment's smoke key, and nothing else."""
        return self._build_role(
            f"smoke-{stage.name}",
            purpose=f"Runs the smoke checks of {stage.name}",
            statements=[allow("ReadSmokeKey", ["sts:AssumeRole"], [stage.environment.names.smoke_reader_role_arn])],
            reports={"smoke": _TEST_REPORT},
        )

    def create_change_report_role(self, stage: StageConfig) -> iam.Role:
        """Create a role that may read what is deployed in one environment, and change nothing."""
        location = (stage.environment.account, stage.environment.region)
        return self._build_role(
            f"changes-{stage.name}",
            purpose=f"Reports what a deployment to {stage.name} would change",
            statements=[allow("ReadDeployed", ["sts:AssumeRole"], bootstrap_role_arns("lookup", [location]))],
        )

    def _build_role(
        self,
        name: str,
        *,
        purpose: str,
        statements: Sequence[iam.PolicyStatement],
        writes_artifacts: bool = False,
        reports: Mapping[str, str] | None = None,
    ) -> iam.Role:
        """Create a role for a CodeBuild project, which may read artifacts and write its log.

        Args:
            name: Part of the role's physical name.
            purpose: Description of the role.
            statements: What else the role may do.
            writes_artifacts: Whether the project has output artifacts.
            reports: Kinds of report that it uploads, each with the action for its content.
        """
        return self._role(
            name,
            service="codebuild.amazonaws.com",
            purpose=purpose,
            statements=[
                allow(
                    "WriteLog", ["logs:CreateLogStream", "logs:PutLogEvents"], [self._storage.log_group.log_group_arn]
                ),
                *(
                    allow(
                        f"Write{kind.title()}Report",
                        ["codebuild:CreateReport", "codebuild:UpdateReport", upload],
                        [report_group_arn(self._config, kind)],
                    )
                    for kind, upload in (reports or {}).items()
                ),
                *statements,
            ],
            writes_artifacts=writes_artifacts,
        )

    def _role(
        self,
        name: str,
        *,
        service: str,
        purpose: str,
        statements: Sequence[iam.PolicyStatement],
        writes_artifacts: bool,
    ) -> iam.Role:
        names = self._config.names
        role = iam.Role(
            self,
            "".join(part.title() for part in name.split("-")),
            role_name=names.name(f"role-pipeline-{name}"),
            description=purpose,
            assumed_by=iam.ServicePrincipal(
                service, conditions={"StringEquals": {"aws:SourceAccount": self._config.account}}
            ),
        )
        artifacts = self._use_artifacts(writes=writes_artifacts)
        policy = grant(role, name=names.name(f"policy-pipeline-{name}"), statements=[*artifacts, *statements])
        bucket = self._storage.bucket
        resource = bucket.node.default_child
        assert isinstance(resource, CfnElement)  # noqa: S101 - the L1 resource of a bucket
        logical_id = Stack.of(bucket).get_logical_id(resource)
        acknowledge(policy, f"AwsSolutions-IAM5[Resource::<{logical_id}.Arn>/*]", reason=_PREFIX_REASONS["s3"])
        for statement in statements:
            for arn in statement.resources:
                if not Token.is_unresolved(arn) and arn.endswith("*") and arn != "*":
                    reason = _PREFIX_REASONS[arn.split(":")[2]]
                    acknowledge(policy, f"AwsSolutions-IAM5[Resource::{arn}]", reason=reason)
        self.policies.append(policy)
        return role

    def _use_artifacts(self, *, writes: bool) -> list[iam.PolicyStatement]:
        bucket, key = self._storage.bucket, self._storage.key
        return [
            allow("FindArtifacts", _READ_BUCKET, [bucket.bucket_arn]),
            allow("UseArtifacts", _WRITE_OBJECTS if writes else _READ_OBJECTS, [bucket.arn_for_objects("*")]),
            allow("UseKey", _ENCRYPT if writes else _DECRYPT, [key.key_arn]),
        ]

    def _replicate(self) -> list[iam.PolicyStatement]:
        """Allow copying artifacts to the regions of other environments."""
        config = self._config
        replicas = [ReplicaEnvironment.of(config, region) for region in other_regions(config)]
        if not replicas:
            return []
        buckets = [f"arn:aws:s3:::{replica.bucket_name}" for replica in replicas]
        return [
            allow("FindReplicas", _READ_REPLICA, buckets),
            allow("UseReplicas", _WRITE_REPLICA_OBJECTS, [f"{arn}/*" for arn in buckets]),
            allow(  # the keys' ARNs are not known here, their aliases are
                "UseReplicaKeys",
                _ENCRYPT,
                [f"arn:aws:kms:{replica.region}:{config.account}:key/*" for replica in replicas],
                {"ForAnyValue:StringEquals": {"kms:ResourceAliases": [replica.key_alias for replica in replicas]}},
            ),
        ]

    def _use_connection(self) -> iam.PolicyStatement:
        """Allow using the connection under both prefixes: the service was renamed, and AWS checks either one."""
        services = ("codeconnections", "codestar-connections")
        tail = self._config.connection_arn.split(":", 3)[3]
        return allow(
            "UseConnection",
            [f"{service}:UseConnection" for service in services],
            [f"arn:aws:{service}:{tail}" for service in services],
        )

    def _codebuild_arn(self, resource: str) -> str:
        return f"arn:aws:codebuild:{self._config.region}:{self._config.account}:{resource}"
