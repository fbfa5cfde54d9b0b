"""Scaling owns the number of tasks: a desired count in the template would scale in at each deployment."""

from aws_cdk import Duration
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_elasticloadbalancingv2 as elbv2

from stages.config import EnvironmentConfig

#: Per cent; leaves room for one lost task of three and for the time that a new one takes to start.
CPU_TARGET = 60


def scale_api(
    service: ecs.FargateService, *, config: EnvironmentConfig, target_group: elbv2.ApplicationTargetGroup
) -> None:
    """Scale on CPU and on requests per task, whichever asks for more."""
    capacity = config.capacity
    count = service.auto_scale_task_count(min_capacity=capacity.api_min_tasks, max_capacity=capacity.api_max_tasks)
    _scale_on_cpu(count, config.names.name("scaling-policy-api-cpu"))
    count.scale_on_request_count(
        "Requests",
        policy_name=config.names.name("scaling-policy-api-requests"),
        requests_per_target=capacity.requests_per_task_per_minute,
        target_group=target_group,
        scale_out_cooldown=Duration.seconds(60),
        scale_in_cooldown=Duration.seconds(300),
    )


def scale_worker(service: ecs.FargateService, *, config: EnvironmentConfig) -> None:
    """Scale on CPU; the backlog has an alarm, since more workers do not help against a slow processor."""
    capacity = config.capacity
    count = service.auto_scale_task_count(
        min_capacity=capacity.worker_min_tasks, max_capacity=capacity.worker_max_tasks
    )
    _scale_on_cpu(count, config.names.name("scaling-policy-worker-cpu"))


def _scale_on_cpu(count: ecs.ScalableTaskCount, policy_name: str) -> None:
    count.scale_on_cpu_utilization(
        "Cpu",
        policy_name=policy_name,
        target_utilization_percent=CPU_TARGET,
        scale_out_cooldown=Duration.seconds(60),
        scale_in_cooldown=Duration.seconds(300),
    )
