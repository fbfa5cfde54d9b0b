"""Physical names, `{resource-type}-{environment-suffix}`, and the tags that find an installation again.

Names are fixed rather than generated, so that people, alarms and policies can name things before they exist. The price:
CloudFormation cannot replace a named resource under the same name, hence a property that forces replacement belongs in
the name (see `Names.name`).
"""

import re
from dataclasses import dataclass

from aws_cdk import Tags
from constructs import IConstruct

MAX_SUFFIX = 12
PROJECT = "payment-pipeline"
_SUFFIX = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


@dataclass(frozen=True, kw_only=True)
class Names:
    """The names of one environment."""

    suffix: str
    """The environment suffix, such as `dev` or `dev-alice`."""
    account: str
    """Account id, part of names that are unique in the world."""
    region: str
    """Region, part of names that are unique in the world."""

    def __post_init__(self) -> None:
        """Refuse a suffix with which some name would be refused by its service.

        Raises:
            ValueError: saying what a suffix may look like.
        """
        if not _SUFFIX.fullmatch(self.suffix) or len(self.suffix) > MAX_SUFFIX:
            raise ValueError(
                f"environment suffix {self.suffix!r}: want at most {MAX_SUFFIX} characters, lower-case letters, digits "
                "and single hyphens, starting with a letter (it ends every physical name, and some may hold only 32)."
            )

    def name(self, resource_type: str) -> str:
        """The name of a resource, unique in its account and region: `vpc` becomes `vpc-dev`.

        A property whose change makes CloudFormation replace the resource belongs in `resource_type`.
        """
        return f"{resource_type}-{self.suffix}"

    def unique(self, resource_type: str) -> str:
        """The name of a resource that must be unique in the world, such as a bucket."""
        return f"{resource_type}-{self.suffix}-{self.account}-{self.region}"

    def stack(self, part: str) -> str:
        """The name of the stack that holds one part: `network` becomes `payment-network-dev`."""
        return self.name(f"payment-{part}")

    # Names that more than one stack has to know. Where AWS dictates a form (Container Insights, RDS, WAF), it is kept.

    @property
    def cluster(self) -> str:
        """The ECS cluster."""
        return self.name("ecs-cluster")

    @property
    def database(self) -> str:
        """The Aurora cluster."""
        return self.name("aurora-cluster")

    @property
    def smoke_key(self) -> str:
        """The secret with the API key of the smoke checks."""
        return self.name("smoke-api-key")

    @property
    def live_key(self) -> str:
        """The secret into which an administrator's command leaves an API key."""
        return self.name("live-api-key")

    @property
    def smoke_reader_role(self) -> str:
        """The role that the pipeline's smoke step assumes to read that secret."""
        return self.name("role-smoke-reader")

    @property
    def smoke_reader_role_arn(self) -> str:
        """ARN of `smoke_reader_role`, known before it exists."""
        return f"arn:aws:iam::{self.account}:role/{self.smoke_reader_role}"

    @property
    def flow_logs(self) -> str:
        """Log group of the VPC's flow logs."""
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
        """Log group of the migrations that precede each task."""
        return self.name("migrate-logs")

    @property
    def waf_logs(self) -> str:
        """Log group of the web ACL; AWS requires the prefix."""
        return self.name("aws-waf-logs")

    @property
    def database_logs(self) -> str:
        """Log group that Aurora exports to; RDS derives it from the cluster's name."""
        return f"/aws/rds/cluster/{self.database}/postgresql"

    @property
    def container_insights_logs(self) -> str:
        """Log group that Container Insights writes to; ECS derives it from the cluster's name."""
        return f"/aws/ecs/containerinsights/{self.cluster}/performance"

    def function(self, resource_type: str) -> str:
        """The name of a custom resource's function."""
        return self.name(f"function-{resource_type}")

    def function_logs(self, resource_type: str) -> str:
        """Log group of that function; Lambda would derive the same one."""
        return f"/aws/lambda/{self.function(resource_type)}"

    @property
    def log_groups(self) -> tuple[str, ...]:
        """Every log group of the environment, which is what its key serves."""
        return (
            self.flow_logs,
            self.api_logs,
            self.worker_logs,
            self.admin_logs,
            self.migrate_logs,
            self.waf_logs,
            self.database_logs,
            self.container_insights_logs,
            *(self.function_logs(kind) for kind in CLEANERS),
        )


#: The custom resources' functions, by what they clean.
CLEANERS = ("close-default-group", "empty-bucket")


def tag_all(scope: IConstruct, names: Names) -> None:
    """Tag everything below `scope`, so that costs and `make destroy` find what belongs together."""
    Tags.of(scope).add("environment-suffix", names.suffix)
    Tags.of(scope).add("project", PROJECT)
