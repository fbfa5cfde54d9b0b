"""Physical names that more than one stack of an environment refers to.

Where AWS dictates a form (Container Insights, RDS, WAF), the name keeps it.
"""

from kit.custom_resources import FUNCTIONS
from kit.naming import Names


class EnvironmentNames(Names):
    """The names of one environment."""

    def stack(self, part: str) -> str:
        """Return the name of the stack that holds one part: `network` becomes `payment-network-dev`."""
        return self.name(f"payment-{part}")

    @property
    def cluster(self) -> str:
        """Name of the ECS cluster."""
        return self.name("ecs-cluster")

    @property
    def database(self) -> str:
        """Identifier of the Aurora cluster."""
        return self.name("aurora-cluster")

    @property
    def smoke_key(self) -> str:
        """Name of the secret that holds the smoke checks' API key."""
        return self.name("smoke-api-key")

    @property
    def live_key(self) -> str:
        """Name of the secret in which an administrator's command stores an API key."""
        return self.name("live-api-key")

    @property
    def smoke_reader_role(self) -> str:
        """Name of the role that reads the smoke checks' API key."""
        return self.name("role-smoke-reader")

    @property
    def smoke_reader_role_arn(self) -> str:
        """ARN of `smoke_reader_role`, known before the role exists."""
        return f"arn:aws:iam::{self.account}:role/{self.smoke_reader_role}"

    @property
    def flow_logs(self) -> str:
        """Log group of the VPC flow logs."""
        return self.name("vpc-flow-logs")

    @property
    def api_logs(self) -> str:
        """Log group of the api tasks."""
        return self.name("api-logs")

    @property
    def worker_logs(self) -> str:
        """Log group of the worker tasks."""
        return self.name("worker-logs")

    @property
    def admin_logs(self) -> str:
        """Log group of the administrators' commands."""
        return self.name("admin-logs")

    @property
    def migrate_logs(self) -> str:
        """Log group of the migrations that run before each task."""
        return self.name("migrate-logs")

    @property
    def waf_logs(self) -> str:
        """Log group of the web ACL; AWS requires the prefix."""
        return self.name("aws-waf-logs")

    @property
    def database_logs(self) -> str:
        """Log group that Aurora exports to; RDS derives it from the cluster's identifier."""
        return f"/aws/rds/cluster/{self.database}/postgresql"

    @property
    def container_insights_logs(self) -> str:
        """Log group that Container Insights writes to; ECS derives it from the cluster's name."""
        return f"/aws/ecs/containerinsights/{self.cluster}/performance"

    @property
    def log_groups(self) -> tuple[str, ...]:
        """Every log group of the environment, all of which its key encrypts."""
        return (
            self.flow_logs,
            self.api_logs,
            self.worker_logs,
            self.admin_logs,
            self.migrate_logs,
            self.waf_logs,
            self.database_logs,
            self.container_insights_logs,
            *(self.function_logs(purpose) for purpose in FUNCTIONS),
        )
