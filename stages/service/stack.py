"""The service stack: containers, ingress, scaling, and the alarms that roll back a bad release."""

from aws_cdk import CfnOutput, Duration, Environment, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecr_assets as ecr_assets
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_kms as kms
from aws_cdk import aws_rds as rds
from aws_cdk import aws_sns as sns
from constructs import Construct

from kit.encryption import import_key
from kit.log_groups import EncryptedLogGroup
from stages.config.environment import EnvironmentConfig
from stages.database.credentials import CredentialArns
from stages.network.security_groups import API_PORT, SecurityGroups, import_security_group
from stages.service.api_keys import LiveKey, SmokeKey
from stages.service.canary import BAKE_TIME, TRAFFIC_SHIFT, Canary
from stages.service.deployment_alarms import DEPLOYMENT_ALARMS, add_deployment_alarms
from stages.service.firewall import Firewall
from stages.service.ingress import Ingress
from stages.service.metrics import ServiceMetrics
from stages.service.scaling import scale_api, scale_worker
from stages.service.smoke_reader import SmokeReader
from stages.service.task_definition import SERVICE_FOLDER, TaskInputs
from stages.service.tasks import AdminTask, PaymentTask


class ServiceStack(Stack):
    """Two services from one image, `api` behind the load balancer and `worker`, and the `admin` task.

    Attributes:
        metrics: The metrics of the services, for the monitoring stack.
        api_url: Output with the base URL of the API.
        smoke_key_secret_arn: Output with the complete ARN of the smoke checks' key.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        config: EnvironmentConfig,
        key: kms.IKey,
        vpc: ec2.IVpc,
        groups: SecurityGroups,
        database: rds.IDatabaseCluster,
        credentials: CredentialArns,
        alarm_topic: sns.ITopic,
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            stack_name=config.names.stack("service"),
            description=f"Payment API, {config.environment_suffix}: containers and ingress",
            env=Environment(account=config.account, region=config.region),
        )
        key = import_key(self, key)
        self._config, self._key = config, key
        ingress = Ingress(self, "Ingress", config=config, key=key, vpc=vpc, group=groups.alb)
        Firewall(self, "Firewall", config=config, key=key, load_balancer_arn=ingress.load_balancer.load_balancer_arn)
        canary = None
        if config.uses_canary:
            canary = Canary(self, "Canary", config=config, ingress=ingress, vpc=vpc, alarm_topic=alarm_topic)
        target_groups = {"primary": ingress.target_group} | ({"alternate": canary.alternate} if canary else {})
        self.metrics = ServiceMetrics(
            config=config,
            load_balancer=ingress.load_balancer,
            target_group=ingress.target_group,
            database=database,
        )
        deployment_alarms = add_deployment_alarms(
            self, metrics=self.metrics, target_groups=target_groups, config=config, topic=alarm_topic
        )
        self._cluster = self._create_cluster(vpc)
        smoke_key = SmokeKey(self, "SmokeKey", config=config, key=key)
        inputs = TaskInputs(
            config=config,
            key=key,
            image=ecr_assets.DockerImageAsset(
                self, "Image", directory=str(SERVICE_FOLDER), platform=ecr_assets.Platform.LINUX_AMD64
            ),
            credentials=credentials,
            smoke_key=smoke_key.secret_arn,
            database_host=database.cluster_endpoint.hostname,
            base_url=ingress.base_url,
            migrate_logs=self._log_group("Migrate", config.names.migrate_logs),
        )
        api = self._api(inputs, import_security_group(self, "ApiGroup", groups.api), deployment_alarms, canary)
        target = api.load_balancer_target(
            container_name="api", container_port=API_PORT, alternate_target=canary.target if canary else None
        )
        target.attach_to_application_target_group(ingress.target_group)
        scale_api(api, config=config, target_groups=list(target_groups.values()))
        worker = self._worker(inputs, import_security_group(self, "WorkerGroup", groups.worker))
        scale_worker(worker, config=config)
        SmokeReader(self, "SmokeReader", config=config, key=key, secret_arn=smoke_key.secret_arn)
        self._add_outputs(ingress, smoke_key)
        self._add_admin_task(inputs)

    def _add_outputs(self, ingress: Ingress, smoke_key: SmokeKey) -> None:
        self.api_url = CfnOutput(self, "ApiUrl", value=ingress.base_url, description="Base URL of the API")
        CfnOutput(
            self,
            "AlbDnsName",
            value=ingress.load_balancer.load_balancer_dns_name,
            description="Host name of the load balancer itself",
        )
        self.smoke_key_secret_arn = CfnOutput(
            self, "SmokeKeySecretArn", value=smoke_key.secret_arn, description="Secret with the smoke checks' API key"
        )

    def _add_admin_task(self, inputs: TaskInputs) -> None:
        """Add the task for administrators' commands, with outputs for `aws ecs run-task`."""
        key = LiveKey(self, "LiveKey", config=self._config, key=self._key)
        task = AdminTask(
            self,
            "AdminTask",
            log_group=self._log_group("Admin", self._config.names.admin_logs),
            live_key=key.secret_arn,
            inputs=inputs,
        )
        for name, value, description in (
            ("AdminCluster", self._cluster.cluster_name, "Cluster of administrators' commands"),
            ("AdminTaskDefinition", task.definition.task_definition_arn, "Task definition of administrators' commands"),
            ("LiveKeySecretArn", key.secret_arn, "Secret in which administrators' commands store API keys"),
        ):
            CfnOutput(self, name, value=value, description=description)

    def _create_cluster(self, vpc: ec2.IVpc) -> ecs.Cluster:
        names = self._config.names
        logs = self._log_group("ContainerInsights", names.container_insights_logs)
        cluster = ecs.Cluster(
            self,
            "Cluster",
            cluster_name=names.cluster,
            vpc=vpc,
            container_insights_v2=ecs.ContainerInsights.ENHANCED,
        )
        cluster.node.add_dependency(logs)  # otherwise Container Insights creates the group, which nothing deletes
        return cluster

    def _log_group(self, construct_id: str, name: str) -> EncryptedLogGroup:
        return EncryptedLogGroup(self, f"{construct_id}Logs", name=name, target=self._config, key=self._key)

    def _api(
        self,
        inputs: TaskInputs,
        group: ec2.ISecurityGroup,
        deployment_alarms: list[cloudwatch.Alarm],
        canary: Canary | None,
    ) -> ecs.FargateService:
        capacity, names = self._config.capacity, self._config.names
        task = PaymentTask(
            self,
            "ApiTask",
            kind="api",
            cpu=capacity.api_cpu,
            memory_mib=capacity.api_memory_mib,
            log_group=self._log_group("Api", names.api_logs),
            inputs=inputs,
        )
        return self._service(
            "Api",
            name=names.name("ecs-service-api"),
            task=task,
            group=group,
            deployment_alarms=deployment_alarms,
            canary=canary,
            # A task registers while its migrations may still wait two minutes for the database.
            health_check_grace_period=Duration.seconds(180),
        )

    def _worker(self, inputs: TaskInputs, group: ec2.ISecurityGroup) -> ecs.FargateService:
        capacity, names = self._config.capacity, self._config.names
        task = PaymentTask(
            self,
            "WorkerTask",
            kind="worker",
            cpu=capacity.worker_cpu,
            memory_mib=capacity.worker_memory_mib,
            log_group=self._log_group("Worker", names.worker_logs),
            inputs=inputs,
        )
        return self._service("Worker", name=names.name("ecs-service-worker"), task=task, group=group)

    def _service(
        self,
        construct_id: str,
        *,
        name: str,
        task: PaymentTask,
        group: ec2.ISecurityGroup,
        deployment_alarms: list[cloudwatch.Alarm] | None = None,
        canary: Canary | None = None,
        health_check_grace_period: Duration | None = None,
    ) -> ecs.FargateService:
        alarms = None
        if deployment_alarms:  # by physical name: references would make service and alarms depend on each other
            alarms = ecs.DeploymentAlarmConfig(
                alarm_names=[self._config.names.name(f"alarm-{alarm}") for alarm in DEPLOYMENT_ALARMS],
                behavior=ecs.AlarmBehavior.ROLLBACK_ON_ALARM,
            )
        service = ecs.FargateService(
            self,
            construct_id,
            service_name=name,
            cluster=self._cluster,
            task_definition=task.definition,
            platform_version=ecs.FargatePlatformVersion.LATEST,
            vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS),
            security_groups=[group],
            assign_public_ip=False,
            min_healthy_percent=100,
            max_healthy_percent=200,
            deployment_strategy=ecs.DeploymentStrategy.CANARY if canary else None,
            canary_configuration=TRAFFIC_SHIFT if canary else None,
            bake_time=BAKE_TIME if canary else None,
            circuit_breaker=ecs.DeploymentCircuitBreaker(enable=True, rollback=True),
            deployment_alarms=alarms,
            availability_zone_rebalancing=ecs.AvailabilityZoneRebalancing.ENABLED,
            health_check_grace_period=health_check_grace_period,
            enable_execute_command=False,
            enable_ecs_managed_tags=True,
            propagate_tags=ecs.PropagatedTagSource.SERVICE,
        )
        service.node.add_dependency(
            task.execution_policy, *(deployment_alarms or ()), *([canary.policy] if canary else ())
        )
        return service
