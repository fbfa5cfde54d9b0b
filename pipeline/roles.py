"""The pipeline's roles, each stated whole: one managed policy, nothing that CDK Pipelines would add.

CDK Pipelines gives its own roles more than they need (`s3:GetObject*`, `sts:AssumeRole` on every role of the account,
`codebuild:StartBuild` on every project, `logs:CreateLogGroup`). They are therefore replaced by the ones here, handed
over with policy updates off; see docs/decisions/0201-own-pipeline-roles.md.
"""

from collections.abc import Mapping, Sequence

from aws_cdk import CfnElement, Stack, Token
from aws_cdk import aws_iam as iam
from constructs import Construct

from pipeline.bootstrap.resources import ANY_REGION, bootstrap_repository_arns, bootstrap_role_arns
from pipeline.config import PipelineConfig, StageConfig
from pipeline.replication import Replica, other_regions
from pipeline.storage import PipelineStorage
from stages.acknowledgements import acknowledge
from stages.policies import grant

#: Service to the reason why a resource of it ends in a wildcard.
_OPEN_ENDS = {
    "iam": "Roles of `cdk bootstrap` in this account, in any region: a commit can add a region, and what deploys it is "
    "the role from before that commit.",
    "kms": "The ARN of a key in another region is not known here; a condition narrows it to the one with our alias.",
    "s3": "Artifacts of one bucket, whose keys are not known beforehand.",
}
_BUCKET_USE = ("s3:GetBucketLocation", "s3:GetBucketVersioning", "s3:ListBucket")
_OBJECT_READING = ("s3:GetObject", "s3:GetObjectVersion")
_OBJECT_USE = (*_OBJECT_READING, "s3:PutObject")
#: What CodePipeline asks of its role for a bucket whose policy does not mention it.
#: Source: https://docs.aws.amazon.com/codepipeline/latest/userguide/how-to-custom-role.html#how-to-custom-role-policy
_REPLICA_USE = ("s3:GetBucketAcl", *_BUCKET_USE)
_REPLICA_OBJECT_USE = (*_OBJECT_USE, "s3:PutObjectAcl")
_KEY_READING = ("kms:Decrypt", "kms:DescribeKey")
_KEY_USE = (*_KEY_READING, "kms:Encrypt", "kms:GenerateDataKey", "kms:ReEncryptFrom", "kms:ReEncryptTo")
#: What hands in the content of a report, by its kind.
_TEST_REPORT = "codebuild:BatchPutTestCases"
_COVERAGE_REPORT = "codebuild:BatchPutCodeCoverages"


class PipelineRoles(Construct):
    """Every role that the pipeline's account holds for it.

    Attributes:
        pipeline: runs actions and hands deployments over to the bootstrap's deploy roles.
        synth: runs the gates and synthesizes.
        self_mutation: deploys PipelineStack.
        assets: publishes files and images to where the environments are.
        policies: what whoever uses a role must wait for.
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
                _allow(
                    "RunBuilds",
                    ["codebuild:BatchGetBuilds", "codebuild:StartBuild", "codebuild:StopBuild"],
                    [self._arn("codebuild", f"project/{name}") for name in project_names(config)],
                ),
                _allow("Deploy", ["sts:AssumeRole"], bootstrap_role_arns("deploy", targets)),
                *self._replicate(),
            ],
            writes_artifacts=True,
        )
        self.synth = self.build_role(
            "synth",
            purpose="Runs the gates and synthesizes",
            statements=[self._use_connection()],
            writes_artifacts=True,
            reports={"gates": _TEST_REPORT, "tests": _TEST_REPORT, "coverage": _COVERAGE_REPORT},
        )
        self.self_mutation = self.build_role(
            "self-mutation",
            purpose="Lets the pipeline deploy its own stack",
            statements=[
                _allow(
                    "DeployPipelineStack",
                    ["sts:AssumeRole"],
                    [
                        *bootstrap_role_arns("deploy", own),
                        *bootstrap_role_arns("file-publishing", own),
                        *bootstrap_role_arns("lookup", own),
                    ],
                )
            ],
        )
        self.assets = self.build_role(
            "assets",
            purpose="Publishes files and images to where the environments are",
            statements=[
                _allow(
                    "PublishAssets",
                    ["sts:AssumeRole"],
                    [
                        *bootstrap_role_arns("file-publishing", targets),
                        *bootstrap_role_arns("image-publishing", targets),
                    ],
                )
            ],
        )

    def scan_role(self) -> iam.Role:
        """A role that may have published images scanned in its own account, and read about them in others."""
        places = dict.fromkeys((one.environment.account, one.environment.region) for one in self._config.stages)
        own = [place for place in places if place[0] == self._config.account]
        others = [place for place in places if place not in own]
        statements = []
        if own:
            actions = ["ecr:DescribeImageScanFindings", "ecr:StartImageScan"]
            statements.append(_allow("ScanImages", actions, bootstrap_repository_arns(own)))
            statements.append(_allow("ReadHowItIsScanned", ["ecr:GetRegistryScanningConfiguration"], ["*"]))
            # Where Amazon Inspector scans, ECR reads its findings with the caller's rights. Source:
            # https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-scanning-enhanced-iam.html
            statements.append(_allow("ReadInspector", ["inspector2:ListCoverage", "inspector2:ListFindings"], ["*"]))
        if others:
            statements.append(_allow("ReadScans", ["sts:AssumeRole"], bootstrap_role_arns("lookup", others)))
        return self.build_role("scan-image", purpose="Has images scanned before they run", statements=statements)

    def smoke_role(self, stage: StageConfig, reader_role_arn: str) -> iam.Role:
        """A role that may become the one that reads the smoke key of one environment, and nothing else."""
        return self.build_role(
            f"smoke-{stage.name}",
            purpose=f"Runs the smoke checks of {stage.name}",
            statements=[_allow("ReadSmokeKey", ["sts:AssumeRole"], [reader_role_arn])],
            reports={"smoke": _TEST_REPORT},
        )

    def report_role(self, stage: StageConfig) -> iam.Role:
        """A role that may look at what is deployed in one environment, and touch nothing."""
        place = (stage.environment.account, stage.environment.region)
        return self.build_role(
            f"changes-{stage.name}",
            purpose=f"Reports what a deployment to {stage.name} would change",
            statements=[_allow("ReadDeployed", ["sts:AssumeRole"], bootstrap_role_arns("lookup", [place]))],
        )

    def build_role(
        self,
        name: str,
        *,
        purpose: str,
        statements: Sequence[iam.PolicyStatement],
        writes_artifacts: bool = False,
        reports: Mapping[str, str] | None = None,
    ) -> iam.Role:
        """A role for a CodeBuild project: it reads artifacts, writes its log, and does what `statements` say.

        With output artifacts it writes those too. `reports` are the kinds of report that it hands in, each with the
        action for what is in them.
        """
        return self._role(
            name,
            service="codebuild.amazonaws.com",
            purpose=purpose,
            statements=[
                _allow(
                    "WriteLog", ["logs:CreateLogStream", "logs:PutLogEvents"], [self._storage.log_group.log_group_arn]
                ),
                *(
                    _allow(
                        f"Write{kind.title()}Report",
                        ["codebuild:CreateReport", "codebuild:UpdateReport", put],
                        [self._arn("codebuild", f"report-group/{report_group_name(self._config, kind)}")],
                    )
                    for kind, put in (reports or {}).items()
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
        artifacts = self._artifacts(writes=writes_artifacts)
        policy = grant(role, name=names.name(f"policy-pipeline-{name}"), statements=[*artifacts, *statements])
        bucket = self._storage.bucket
        logical_id = Stack.of(bucket).get_logical_id(_resource(bucket))
        acknowledge(policy, {f"AwsSolutions-IAM5[Resource::<{logical_id}.Arn>/*]": _OPEN_ENDS["s3"]})
        for statement in statements:
            for resource in statement.resources:
                if not Token.is_unresolved(resource) and resource.endswith("*") and resource != "*":
                    reason = _OPEN_ENDS[resource.split(":")[2]]
                    acknowledge(policy, {f"AwsSolutions-IAM5[Resource::{resource}]": reason})
        self.policies.append(policy)
        return role

    def _artifacts(self, *, writes: bool) -> list[iam.PolicyStatement]:
        bucket, key = self._storage.bucket, self._storage.key
        return [
            _allow("FindArtifacts", _BUCKET_USE, [bucket.bucket_arn]),
            _allow("UseArtifacts", _OBJECT_USE if writes else _OBJECT_READING, [bucket.arn_for_objects("*")]),
            _allow("UseKey", _KEY_USE if writes else _KEY_READING, [key.key_arn]),
        ]

    def _replicate(self) -> list[iam.PolicyStatement]:
        """Copying artifacts to the regions of other environments."""
        config = self._config
        replicas = [Replica.of(config, region) for region in other_regions(config)]
        if not replicas:
            return []
        use_key = _allow(
            "UseReplicaKeys",
            _KEY_USE,
            [f"arn:aws:kms:{one.region}:{config.account}:key/*" for one in replicas],
        )
        # The ARNs are not known here, the aliases are.
        use_key.add_condition("ForAnyValue:StringEquals", {"kms:ResourceAliases": [one.key_alias for one in replicas]})
        buckets = [f"arn:aws:s3:::{one.bucket_name}" for one in replicas]
        return [
            _allow("FindReplicas", _REPLICA_USE, buckets),
            _allow("UseReplicas", _REPLICA_OBJECT_USE, [f"{arn}/*" for arn in buckets]),
            use_key,
        ]

    def _use_connection(self) -> iam.PolicyStatement:
        """Both prefixes: the service was renamed, and which of the two is checked depends on the caller."""
        arn = self._config.connection_arn
        tail = arn.split(":", 3)[3]
        return _allow(
            "UseConnection",
            ["codeconnections:UseConnection", "codestar-connections:UseConnection"],
            [f"arn:aws:{service}:{tail}" for service in ("codeconnections", "codestar-connections")],
        )

    def _arn(self, service: str, resource: str) -> str:
        return f"arn:aws:{service}:{self._config.region}:{self._config.account}:{resource}"


def project_name(config: PipelineConfig, purpose: str) -> str:
    """Name of the CodeBuild project that does one thing."""
    return config.names.name(f"project-{purpose}")


def smoke_purpose(stage: str) -> str:
    """What the project of one environment's smoke checks is for."""
    return f"smoke-{stage}"


def report_purpose(stage: str) -> str:
    """What the project of one environment's change report is for."""
    return f"changes-{stage}"


def project_names(config: PipelineConfig) -> list[str]:
    """Every CodeBuild project of the pipeline."""
    return [
        *(
            project_name(config, purpose)
            for purpose in ("synth", "self-mutation", "publish-files", "publish-images", "scan-image")
        ),
        *(project_name(config, smoke_purpose(stage.name)) for stage in config.stages),
        *(project_name(config, report_purpose(stage.name)) for stage in config.stages if stage.approval),
    ]


def report_group_name(config: PipelineConfig, kind: str) -> str:
    """Name of the report group of one kind."""
    return config.names.name(f"reports-{kind}")


def report_group_names(config: PipelineConfig) -> list[str]:
    """Every report group of the pipeline; CodeBuild takes at most five for a project."""
    return [report_group_name(config, kind) for kind in ("gates", "tests", "coverage", "smoke")]


def _allow(sid: str, actions: Sequence[str], resources: Sequence[str]) -> iam.PolicyStatement:
    return iam.PolicyStatement(sid=sid, actions=list(actions), resources=list(resources))


def _resource(construct: Construct) -> CfnElement:
    resource = construct.node.default_child
    assert isinstance(resource, CfnElement)  # noqa: S101 - what an L2 construct is made of
    return resource
