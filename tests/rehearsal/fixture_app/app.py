"""The fixture's CDK app: one pipeline, one stack for each environment."""

import json
from pathlib import Path
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_codebuild as codebuild
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_rds as rds
from aws_cdk import aws_s3 as s3
from aws_cdk import pipelines
from constructs import Construct

ACCOUNT, REGION = "000000000000", "us-east-1"
ARN = f"arn:aws:{{}}:{REGION}:{ACCOUNT}:{{}}/11111111-1111-1111-1111-111111111111"
CLI_VERSION = "2.1148.1"
SETTINGS = json.loads(Path("environments.json").read_text())


class ServiceStack(cdk.Stack):
    """A load balancer, a Fargate service with its migration, and a database."""

    def __init__(self, scope: Construct, construct_id: str, *, environment: str, **kwargs: Any) -> None:
        super().__init__(scope, construct_id, **kwargs)
        vpc = ec2.Vpc(
            self,
            "Vpc",
            availability_zones=[f"{REGION}a", f"{REGION}b"],
            nat_gateways=0,
            restrict_default_security_group=False,
            subnet_configuration=[
                ec2.SubnetConfiguration(name="public", subnet_type=ec2.SubnetType.PUBLIC),
                ec2.SubnetConfiguration(name="isolated", subnet_type=ec2.SubnetType.PRIVATE_ISOLATED),
            ],
        )
        database = rds.DatabaseCluster(
            self,
            "Database",
            cluster_identifier=f"aurora-cluster-{environment}",
            engine=rds.DatabaseClusterEngine.aurora_postgres(version=rds.AuroraPostgresEngineVersion.VER_16_6),
            credentials=rds.Credentials.from_generated_secret("owner", secret_name=f"db-credentials-{environment}"),
            default_database_name="app",
            writer=rds.ClusterInstance.serverless_v2("writer"),
            vpc=vpc,
            vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_ISOLATED),
            storage_encrypted=True,
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        balancer = elbv2.ApplicationLoadBalancer(
            self, "Alb", load_balancer_name=f"alb-{environment}", vpc=vpc, internet_facing=True
        )
        service = self._service(vpc, database, environment)
        balancer.add_listener(
            "Https",
            port=443,
            certificates=[acm.Certificate.from_certificate_arn(self, "Tls", ARN.format("acm", "certificate"))],
        ).add_targets(
            "Api",
            port=8443,
            protocol=elbv2.ApplicationProtocol.HTTPS,
            targets=[service.load_balancer_target(container_name="api", container_port=8443)],
            health_check=elbv2.HealthCheck(path="/healthz", protocol=elbv2.Protocol.HTTPS),
            deregistration_delay=cdk.Duration.seconds(5),
        )
        self.url = cdk.CfnOutput(self, "ApiUrl", value=f"https://{balancer.load_balancer_dns_name}")

    def _service(self, vpc: ec2.IVpc, database: rds.DatabaseCluster, environment: str) -> ecs.FargateService:
        assert database.secret is not None
        task = ecs.FargateTaskDefinition(self, "Task", family=f"task-api-{environment}", cpu=256, memory_limit_mib=512)
        image = ecs.ContainerImage.from_asset("service")
        log_group = logs.LogGroup(
            self, "Log", log_group_name=f"/ecs/api-{environment}", removal_policy=cdk.RemovalPolicy.DESTROY
        )
        migrate = task.add_container(
            "migrate",
            image=image,
            command=["python", "-m", "fixture", "migrate"],
            essential=False,
            environment={"PGHOST": database.cluster_endpoint.hostname, "PGPORT": "5432", "PGDATABASE": "app"},
            secrets={
                "PGUSER": ecs.Secret.from_secrets_manager(database.secret, "username"),
                "PGPASSWORD": ecs.Secret.from_secrets_manager(database.secret, "password"),
            },
            logging=ecs.LogDriver.aws_logs(stream_prefix="migrate", log_group=log_group),
        )
        api = task.add_container(
            "api",
            image=image,
            command=["python", "-m", "fixture", "api"],
            environment={"ENVIRONMENT": environment, "BIND_HOST": "0.0.0.0", "PORT": "8443"},
            port_mappings=[ecs.PortMapping(container_port=8443)],
            health_check=ecs.HealthCheck(
                command=["CMD", "python", "-m", "fixture.healthcheck"],
                interval=cdk.Duration.seconds(5),
                timeout=cdk.Duration.seconds(5),
            ),
            logging=ecs.LogDriver.aws_logs(stream_prefix="api", log_group=log_group),
        )
        api.add_container_dependencies(
            ecs.ContainerDependency(container=migrate, condition=ecs.ContainerDependencyCondition.COMPLETE)
        )
        service = ecs.FargateService(
            self,
            "Service",
            cluster=ecs.Cluster(self, "Cluster", cluster_name=f"ecs-cluster-{environment}", vpc=vpc),
            service_name=f"ecs-service-api-{environment}",
            task_definition=task,
            assign_public_ip=True,
            circuit_breaker=ecs.DeploymentCircuitBreaker(rollback=True),
            min_healthy_percent=100,
        )
        service.auto_scale_task_count(min_capacity=1, max_capacity=2)
        database.connections.allow_default_port_from(service)
        return service


class FixtureStage(cdk.Stage):
    """One environment."""

    def __init__(self, scope: Construct, construct_id: str, *, environment: str) -> None:
        super().__init__(scope, construct_id, env=cdk.Environment(account=ACCOUNT, region=REGION))
        stack = ServiceStack(self, "Service", environment=environment, stack_name=f"fixture-service-{environment}")
        self.url = stack.url
        if SETTINGS["refused_template"]:
            cdk.CfnResource(stack, "Refused", type="AWS::EC2::Unknown", properties={"Name": "refused"})


class PipelineStack(cdk.Stack):
    """Source, synth with the unit test, self-mutation, assets, and the environments in order."""

    def __init__(self, scope: Construct, construct_id: str) -> None:
        super().__init__(scope, construct_id, env=cdk.Environment(account=ACCOUNT, region=REGION))
        source = pipelines.CodePipelineSource.connection(
            "local/fixture", "main", connection_arn=ARN.format("codestar-connections", "connection")
        )
        pipeline = pipelines.CodePipeline(
            self,
            "Pipeline",
            pipeline_name="pipeline-fixture",
            pipeline_type=cdk.aws_codepipeline.PipelineType.V2,
            artifact_bucket=s3.Bucket(
                self, "Artifacts", removal_policy=cdk.RemovalPolicy.DESTROY, auto_delete_objects=True
            ),
            synth=pipelines.ShellStep(
                "Synth",
                input=source,
                commands=["python -m unittest discover --verbose checks --top-level-directory .", "python app.py"],
                env={"CDK_OUTDIR": "cdk.out"},
            ),
            cli_version=CLI_VERSION,
            publish_assets_in_parallel=False,
            # The CLI reads the bootstrap's version as the deploy role.
            asset_publishing_code_build_defaults=pipelines.CodeBuildOptions(
                role_policy=[
                    iam.PolicyStatement(actions=["sts:AssumeRole"], resources=[f"arn:aws:iam::{ACCOUNT}:role/cdk-*"])
                ]
            ),
        )
        for settings in SETTINGS["environments"]:
            name = settings["name"]
            stage = FixtureStage(self, name.title(), environment=name)
            smoke = pipelines.CodeBuildStep(
                f"Smoke{name.title()}",
                input=source,
                commands=["python smoke.py"],
                env={"ENVIRONMENT": name},
                env_from_cfn_outputs={"BASE_URL": stage.url},
                role_policy_statements=[
                    iam.PolicyStatement(actions=["ssm:GetParameter"], resources=[ARN.format("ssm", "parameter")])
                ],
            )
            approval = [pipelines.ManualApprovalStep(f"Approve{name.title()}")] if settings["approval"] else []
            pipeline.add_stage(stage, pre=approval, post=[smoke])
        pipeline.build_pipeline()
        self._publish_with_cli()

    def _publish_with_cli(self) -> None:
        """Publish assets with the CLI: no release of cdk-assets reads this library's cloud assembly schema."""
        publish = "cdk publish-assets 'PipelineStack/**' --app . --unstable=publish-assets"
        install = f"command -v cdk || npm install -g aws-cdk@{CLI_VERSION}"
        phases = {"install": {"commands": [install]}, "build": {"commands": [publish]}}
        spec = {"version": "0.2", "phases": phases}
        for construct in self.node.find_child("Pipeline").node.find_child("Assets").node.find_all():
            if isinstance(construct, codebuild.CfnProject):
                construct.add_property_override("Source.BuildSpec", json.dumps(spec))


app = cdk.App(
    # It takes longer than all the rest, and the templates are no promise of anybody.
    builtin_cloud_formation_validation=False,
    context={
        "@aws-cdk/core:defaultCrossStackReferences": "strong",
        "@aws-cdk/aws-iam:minimizePolicies": True,
        "@aws-cdk/core:newStyleStackSynthesis": True,
    },
)
PipelineStack(app, "PipelineStack")
app.synth()
