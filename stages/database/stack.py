"""The database stack: Aurora PostgreSQL and the credentials of everything that connects to it."""

from aws_cdk import Duration, Environment, RemovalPolicy, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_kms as kms
from aws_cdk import aws_rds as rds
from constructs import Construct

from kit.acknowledgements import acknowledge
from kit.encryption import import_key
from kit.log_groups import EncryptedLogGroup
from stages.config.environment import EnvironmentConfig
from stages.database.credentials import OWNER_USER, Credentials
from stages.network.security_groups import DATABASE_PORT, import_security_group
from stages.network.vpc import Network

DATABASE_NAME = "payments"
MAJOR_VERSION = "18"
#: The major version only: RDS upgrades minor versions itself and withdraws old ones. A full version would be drift
#: after the first upgrade, rejected as a downgrade once it lags behind, and rejected for a new environment once
#: withdrawn (docs/decisions/0110-major-engine-version.md).
ENGINE = rds.DatabaseClusterEngine.aurora_postgres(
    version=rds.AuroraPostgresEngineVersion.of(MAJOR_VERSION, MAJOR_VERSION)
)
#: `rds.force_ssl`: TLS only. `log_parameter_max_length`: slow statements are logged without their values, which may be
#: customer data. `idle_in_transaction_session_timeout` (milliseconds): a dead task cannot hold locks for long.
PARAMETERS = {
    "rds.force_ssl": "1",
    "log_min_duration_statement": "500",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "log_lock_waits": "1",
    "idle_in_transaction_session_timeout": "60000",
}


class DatabaseStack(Stack):
    """A writer and a reader in different zones, reachable by the tasks only, deleted without a trace.

    Attributes:
        credentials: The generated secrets.
        cluster: The Aurora cluster.
    """

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
        self._config, self._key = config, import_key(self, key)
        self.credentials = Credentials(self, "Secrets", config=config, key=self._key)
        self.cluster = self._cluster(network, import_security_group(self, "DatabaseGroup", group))

    def _cluster(self, network: Network, group: ec2.ISecurityGroup) -> rds.DatabaseCluster:
        config, names = self._config, self._config.names
        logs = EncryptedLogGroup(self, "Logs", name=names.database_logs, target=config, key=self._key)
        isolated = network.vpc.isolated_subnets
        cluster = rds.DatabaseCluster(
            self,
            "Cluster",
            cluster_identifier=names.database,
            engine=ENGINE,
            default_database_name=DATABASE_NAME,
            port=DATABASE_PORT,
            credentials=rds.Credentials.from_password(
                OWNER_USER, self.credentials.owner.secret_value_from_json("password")
            ),
            iam_authentication=True,
            vpc=network.vpc,
            subnet_group=self._subnet_group(network.vpc),
            security_groups=[group],
            parameter_group=self._parameter_group(),
            writer=self._instance("writer", zone=network.zone_of(isolated[0])),
            readers=[self._instance("reader", zone=network.zone_of(isolated[1]), scale_with_writer=True)],
            serverless_v2_min_capacity=config.capacity.database_min_acu,
            serverless_v2_max_capacity=config.capacity.database_max_acu,
            storage_encrypted=True,
            storage_encryption_key=self._key,
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
        cluster.node.add_dependency(logs)  # otherwise RDS creates the group, and the next deployment collides with it
        _acknowledge_findings(cluster)
        return cluster

    def _subnet_group(self, vpc: ec2.IVpc) -> rds.SubnetGroup:
        return rds.SubnetGroup(
            self,
            "SubnetGroup",
            subnet_group_name=self._config.names.name("db-subnet-group"),
            description="The isolated subnets",
            vpc=vpc,
            vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_ISOLATED),
            removal_policy=RemovalPolicy.DESTROY,
        )

    def _parameter_group(self) -> rds.ParameterGroup:
        return rds.ParameterGroup(
            self,
            "Parameters",
            # With the version, because a group is replaced when its family changes.
            name=self._config.names.name(f"aurora-parameters-pg{MAJOR_VERSION}"),
            description="TLS only, no customer data in the log",
            engine=ENGINE,
            parameters=PARAMETERS,
            removal_policy=RemovalPolicy.DESTROY,
        )

    def _instance(self, role: str, *, zone: str, scale_with_writer: bool = False) -> rds.IClusterInstance:
        return rds.ClusterInstance.serverless_v2(
            role,
            instance_identifier=self._config.names.name(f"aurora-instance-{role}"),
            availability_zone=zone,
            scale_with_writer=scale_with_writer or None,  # readers only, which take over at a failover
            auto_minor_version_upgrade=True,
            publicly_accessible=False,
            enable_performance_insights=True,
            performance_insight_encryption_key=self._key,
            performance_insight_retention=rds.PerformanceInsightRetention.DEFAULT,
        )


def _acknowledge_findings(cluster: rds.DatabaseCluster) -> None:
    acknowledge(
        cluster,
        "AwsSolutions-RDS10",
        "NIST.800.53.R5-RDSInstanceDeletionProtectionEnabled",
        reason="Environments are created and destroyed by their pipeline, which stops before a change that would "
        "replace or delete the database; deletion protection would leave destroyed environments behind.",
    )
    acknowledge(
        cluster,
        "NIST.800.53.R5-RDSInBackupPlan",
        reason="Aurora's continuous backups restore any point in the retention period; an AWS Backup plan would keep "
        "copies that outlive the environment.",
    )
    acknowledge(
        cluster,
        "NIST.800.53.R5-RDSEnhancedMonitoringEnabled",
        "CKV_AWS_118",
        reason="Enhanced Monitoring writes to the account-wide group RDSOSMetrics, which no environment may own or "
        "delete; Performance Insights is on.",
    )
