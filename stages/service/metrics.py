"""The metrics that dashboard and alarms share, all with a period of one minute."""

from dataclasses import dataclass

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from aws_cdk import aws_rds as rds

from stages.config.environment import EnvironmentConfig

MINUTE = Duration.minutes(1)
#: Namespace of the business metrics that the service writes to its log (EMF), with the dimension `Environment`.
BUSINESS = "Payments"


@dataclass(frozen=True, kw_only=True)
class ServiceMetrics:
    """The metrics of one environment."""

    config: EnvironmentConfig
    load_balancer: elbv2.IApplicationLoadBalancer
    #: The primary one. Other stacks must not depend on a second one, which comes and goes with canary deployments.
    target_group: elbv2.IApplicationTargetGroup
    database: rds.IDatabaseCluster

    def requests(self) -> cloudwatch.Metric:
        """Requests that reached the load balancer."""
        return self.load_balancer.metrics.request_count(period=MINUTE, statistic="Sum", label="requests")

    def target_errors(self) -> cloudwatch.Metric:
        """5xx responses of tasks."""
        return self.load_balancer.metrics.http_code_target(
            elbv2.HttpCodeTarget.TARGET_5XX_COUNT, period=MINUTE, statistic="Sum", label="5xx of tasks"
        )

    def balancer_errors(self) -> cloudwatch.Metric:
        """5xx responses of the load balancer itself: no healthy task, or none that responded in time."""
        return self.load_balancer.metrics.http_code_elb(
            elbv2.HttpCodeElb.ELB_5XX_COUNT, period=MINUTE, statistic="Sum", label="5xx of the load balancer"
        )

    def client_errors(self) -> cloudwatch.Metric:
        """4xx responses of tasks, including declines (402)."""
        return self.load_balancer.metrics.http_code_target(
            elbv2.HttpCodeTarget.TARGET_4XX_COUNT, period=MINUTE, statistic="Sum", label="4xx"
        )

    def error_rate(self) -> cloudwatch.MathExpression:
        """Percentage of requests that failed; 0 without traffic.

        The load balancer does not count requests for which it found no target, so its own errors are added to the
        requests. SUM treats missing data as zero; arithmetic operators do not.
        """
        return cloudwatch.MathExpression(
            expression="FILL(100 * SUM([target, balancer]) / SUM([requests, balancer]), 0)",
            using_metrics={
                "requests": self.requests(),
                "target": self.target_errors(),
                "balancer": self.balancer_errors(),
            },
            label="error rate (%)",
            period=MINUTE,
        )

    def latency(self, statistic: str) -> cloudwatch.Metric:
        """Seconds from the load balancer's request to the task's response."""
        return self.load_balancer.metrics.target_response_time(period=MINUTE, statistic=statistic, label=statistic)

    def unhealthy_targets(self) -> cloudwatch.Metric:
        """Api tasks of the primary target group that fail their health check."""
        return self.target_group.metrics.unhealthy_host_count(period=MINUTE, statistic="Maximum", label="unhealthy")

    def targets(self, state: str) -> cloudwatch.MathExpression:
        """Api tasks that are `Healthy` or `UnHealthy` in every existing target group; alarms cannot use a search."""
        dimensions = self.requests().dimensions
        assert dimensions is not None  # noqa: S101 - a metric of one load balancer
        return cloudwatch.MathExpression(
            expression=f'SEARCH(\'{{AWS/ApplicationELB,LoadBalancer,TargetGroup}} MetricName="{state}HostCount" '
            f"LoadBalancer=\"{dimensions['LoadBalancer']}\"', '{'Minimum' if state == 'Healthy' else 'Maximum'}', 60)",
            using_metrics={},
            label=state.lower(),
            period=MINUTE,
        )

    def tasks(self, service: str, state: str) -> cloudwatch.Metric:
        """Tasks of `api` or `worker` that are `Desired` or `Running` (enhanced Container Insights)."""
        return cloudwatch.Metric(
            namespace="ECS/ContainerInsights",
            metric_name=f"{state}TaskCount",
            dimensions_map={
                "ClusterName": self.config.names.cluster,
                "ServiceName": self.config.names.name(f"ecs-service-{service}"),
            },
            statistic="Average",
            period=MINUTE,
            label=f"{service} {state.lower()}",
        )

    def tasks_missing(self, service: str) -> cloudwatch.MathExpression:
        """Number of tasks below the desired count."""
        return cloudwatch.MathExpression(
            expression="desired - running",
            using_metrics={"desired": self.tasks(service, "Desired"), "running": self.tasks(service, "Running")},
            label=f"{service} tasks missing",
            period=MINUTE,
        )

    def service_cpu(self, service: str) -> cloudwatch.Metric:
        """CPU utilization of `api` or `worker` in per cent."""
        return cloudwatch.Metric(
            namespace="AWS/ECS",
            metric_name="CPUUtilization",
            dimensions_map={
                "ClusterName": self.config.names.cluster,
                "ServiceName": self.config.names.name(f"ecs-service-{service}"),
            },
            statistic="Average",
            period=MINUTE,
            label=f"{service} CPU (%)",
        )

    def database_metric(self, name: str, *, statistic: str = "Average", label: str | None = None) -> cloudwatch.Metric:
        """A metric of the Aurora cluster."""
        return self.database.metric(name, period=MINUTE, statistic=statistic, label=label or name)

    def business(self, name: str, *, statistic: str = "Sum", **dimensions: str) -> cloudwatch.Metric:
        """A business metric that the service itself reports."""
        return cloudwatch.Metric(
            namespace=BUSINESS,
            metric_name=name,
            dimensions_map={"Environment": self.config.environment_suffix, **dimensions},
            statistic=statistic,
            period=MINUTE,
            label=" ".join(dimensions.values()) or name,
        )

    def firewall(self, action: str) -> cloudwatch.Metric:
        """Requests that the web ACL `Blocked` or `Counted`."""
        return cloudwatch.Metric(
            namespace="AWS/WAFV2",
            metric_name=f"{action}Requests",
            dimensions_map={
                "WebACL": self.config.names.name("waf-acl"),
                "Region": self.config.region,
                "Rule": "ALL",
            },
            statistic="Sum",
            period=MINUTE,
            label=f"firewall {action.lower()}",
        )
