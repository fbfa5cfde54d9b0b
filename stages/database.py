"""Database stack: Aurora PostgreSQL and the credentials of everyone who talks to it."""

from aws_cdk import Duration, Environment, RemovalPolicy, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_kms as kms
from aws_cdk import aws_rds as rds
from constructs import Construct

from stages.acknowledgements import acknowledge
from stages.config import EnvironmentConfig
from stages.encryption import key_as_is
from stages.log_groups import DeclaredLogGroup
from stages.secrets import OWNER_USER, Secrets
from stages.security_groups import DATABASE_PORT, as_is
from stages.vpc import Network

DATABASE_NAME = "payments"
MAJOR_VERSION = "18"
#: Only the major version: RDS upgrades minor versions by itself and withdraws old ones. A full version would be drift
#: after the first upgrade, refused as a downgrade once it lags behind, and refused for a new environment once withdrawn
#: (docs/decisions/0110-major-engine-version.md).
ENGINE = rds.DatabaseClusterEngine.aurora_postgres(
    version=rds.AuroraPostgresEngineVersion.of(MAJOR_VERSION, MAJOR_VERSION)
)
#: `rds.force_ssl`: no plain text on the wire. `log_parameter_max_length`: slow statements are logged without their
#: values, which may be customers' data. `idle_in_transaction_session_timeout`: a dead task cannot hold locks for long.
PARAMETERS = {
    "rds.force_ssl": "1",
    "log_min_duration_statement": "500",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "log_lock_waits": "1",
    "idle_in_transaction_session_timeout": "60000",
}


class DatabaseStack(Stack):
    """A writer and a reader in different zones, reachable only by the tasks, gone without a trace on destroy."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        config: EnvironmentConfig,
        key: kms.IKey,
        network: Network,
        group: ec2.ISecurityGroup,
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            stack_name=config.names.stack("database"),
            description=f"Payment API, {config.environment_suffix}: database and credentials",
            env=Environment(account=config.account, region=config.region),
        )
        key = key_as_is(self, key)
        self.secrets = Secrets(self, "Secrets", config=config, key=key)
        self.cluster = self._cluster(config, key, network, as_is(self, "DatabaseGroup", group))

    def _cluster(
        self, config: EnvironmentConfig, key: kms.IKey, network: Network, group: ec2.ISecurityGroup
    ) -> rds.DatabaseCluster:
        names = config.names
        logs = DeclaredLogGroup(self, "Logs", name=names.database_logs, config=config, key=key)
        isolated = network.vpc.isolated_subnets
        cluster = rds.DatabaseCluster(
            self,
            "Cluster",
            cluster_identifier=names.database,
            engine=ENGINE,
            default_database_name=DATABASE_NAME,
            port=DATABASE_PORT,
            credentials=rds.Credentials.from_password(
                OWNER_USER, self.secrets.owner.secret_value_from_json("password")
            ),
            iam_authentication=True,
            vpc=network.vpc,
            subnet_group=self._subnet_group(config, network),
            security_groups=[group],
            parameter_group=self._parameter_group(config),
            writer=self._instance(config, key, "writer", zone=network.zone_of(isolated[0])),
            readers=[self._instance(config, key, "reader", zone=network.zone_of(isolated[1]), scale_with_writer=True)],
            serverless_v2_min_capacity=config.capacity.database_min_acu,
            serverless_v2_max_capacity=config.capacity.database_max_acu,
            storage_encrypted=True,
            storage_encryption_key=key,
            cloudwatch_logs_exports=["postgresql"],
            backup=rds.BackupProps(
                retention=Duration.days(config.capacity.backup_retention_days), preferred_window="07:00-08:00"
            ),
            preferred_maintenance_window="sun:08:30-sun:09:30",
            delete_automated_backups=True,
            copy_tags_to_snapshot=True,
            deletion_protection=False,
            removal_policy=RemovalPolicy.DESTROY,
        )
        cluster.node.add_dependency(logs)  # or RDS makes the group itself, and the next deployment collides with it
        _acknowledge(cluster)
        return cluster

    def _subnet_group(self, config: EnvironmentConfig, network: Network) -> rds.SubnetGroup:
        return rds.SubnetGroup(
            self,
            "SubnetGroup",
            subnet_group_name=config.names.name("db-subnet-group"),
            description="The isolated subnets",
            vpc=network.vpc,
            vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_ISOLATED),
            removal_policy=RemovalPolicy.DESTROY,
        )

    def _parameter_group(self, config: EnvironmentConfig) -> rds.ParameterGroup:
        return rds.ParameterGroup(
            self,
            "Parameters",
            name=config.names.name(
                f"aurora-parameters-pg{MAJOR_VERSION}"
            ),  # replaced when the family changes, hence in the name
            description="TLS only, no customer data in the log",
            engine=ENGINE,
            parameters=PARAMETERS,
            removal_policy=RemovalPolicy.DESTROY,
        )

    def _instance(
        self, config: EnvironmentConfig, key: kms.IKey, role: str, *, zone: str, scale_with_writer: bool = False
    ) -> rds.IClusterInstance:
        return rds.ClusterInstance.serverless_v2(
            role,
            instance_identifier=config.names.name(f"aurora-instance-{role}"),
            availability_zone=zone,
            scale_with_writer=scale_with_writer or None,  # of readers only: it must be as large at a failover
            auto_minor_version_upgrade=True,
            publicly_accessible=False,
            enable_performance_insights=True,
            performance_insight_encryption_key=key,
            performance_insight_retention=rds.PerformanceInsightRetention.DEFAULT,
        )


def _acknowledge(cluster: rds.DatabaseCluster) -> None:
    acknowledge(
        cluster,
        {
            **dict.fromkeys(
                ("AwsSolutions-RDS10", "NIST.800.53.R5-RDSInstanceDeletionProtectionEnabled"),
                "Environments are made and destroyed by their pipeline, which stops before a change that would replace "
                "or destroy the database; deletion protection would leave destroyed environments behind.",
            ),
            "NIST.800.53.R5-RDSInBackupPlan": "Aurora's own continuous backups allow any point of the retention "
            "period; a plan of AWS Backup would keep copies that outlive the environment.",
            **dict.fromkeys(
                ("NIST.800.53.R5-RDSEnhancedMonitoringEnabled", "CKV_AWS_118"),
                "Enhanced Monitoring writes to the account-wide group RDSOSMetrics, which no environment may own or "
                "delete; Performance Insights is on.",
            ),
        },
    )
