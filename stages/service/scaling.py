"""Auto scaling of the services. It owns the number of tasks: a count in the template would scale in at deployments."""

from collections.abc import Sequence

from aws_cdk import Duration
from aws_cdk import aws_applicationautoscaling as autoscaling
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_elasticloadbalancingv2 as elbv2

from stages.config.capacity_model import UTILIZATION
from stages.config.environment import EnvironmentConfig

Policy = autoscaling.CfnScalingPolicy
#: Per cent.
CPU_TARGET = round(UTILIZATION * 100)
#: Seconds.
SCALE_OUT_COOLDOWN, SCALE_IN_COOLDOWN = 60, 300
REQUESTS = "Requests"


def scale_api(
    service: ecs.FargateService, *, config: EnvironmentConfig, target_groups: Sequence[elbv2.ApplicationTargetGroup]
) -> None:
    """Scale on CPU and on requests per task, whichever demands more tasks."""
    capacity = config.capacity
    count = service.auto_scale_task_count(min_capacity=capacity.api_min_tasks, max_capacity=capacity.api_max_tasks)
    _scale_on_cpu(count, config.names.name("scaling-policy-api-cpu"))
    count.scale_on_request_count(
        REQUESTS,
        policy_name=config.names.name("scaling-policy-api-requests"),
        requests_per_target=capacity.request_target,
        target_group=target_groups[0],
        scale_out_cooldown=Duration.seconds(SCALE_OUT_COOLDOWN),
        scale_in_cooldown=Duration.seconds(SCALE_IN_COOLDOWN),
    )
    if len(target_groups) > 1:
        _track_requests_of_all(count, target_groups, capacity.request_target)


def _track_requests_of_all(
    count: ecs.ScalableTaskCount, target_groups: Sequence[elbv2.ApplicationTargetGroup], requests_per_task: int
) -> None:
    """Make the requests policy follow whichever target group serves.

    The predefined metric knows one group, and would see no requests after the first switch to the other. Each group
    reports requests divided by its own tasks, and a group without traffic reports nothing, so the sum is the load of
    one task: before, after and during a canary deployment (when both releases run all their tasks).
    """
    resource = count.node.find_child("Target").node.find_child(REQUESTS).node.default_child
    assert isinstance(resource, Policy)  # noqa: S101 - the L1 resource of a scaling policy
    queries = [_requests_per_target(f"group{number}", group) for number, group in enumerate(target_groups)]
    total = Policy.TargetTrackingMetricDataQueryProperty(
        id="total",
        expression=f"SUM([{', '.join(query.id or '' for query in queries)}])",
        label="requests per task",
        return_data=True,
    )
    resource.target_tracking_scaling_policy_configuration = Policy.TargetTrackingScalingPolicyConfigurationProperty(
        target_value=requests_per_task,
        scale_out_cooldown=SCALE_OUT_COOLDOWN,
        scale_in_cooldown=SCALE_IN_COOLDOWN,
        customized_metric_specification=Policy.CustomizedMetricSpecificationProperty(metrics=[*queries, total]),
    )


def _requests_per_target(
    name: str, group: elbv2.ApplicationTargetGroup
) -> autoscaling.CfnScalingPolicy.TargetTrackingMetricDataQueryProperty:
    dimensions = {"TargetGroup": group.target_group_full_name, "LoadBalancer": group.first_load_balancer_full_name}
    return Policy.TargetTrackingMetricDataQueryProperty(
        id=name,
        return_data=False,
        metric_stat=Policy.TargetTrackingMetricStatProperty(
            stat="Sum",
            metric=Policy.TargetTrackingMetricProperty(
                namespace="AWS/ApplicationELB",
                metric_name="RequestCountPerTarget",
                dimensions=[
                    Policy.TargetTrackingMetricDimensionProperty(name=key, value=value)
                    for key, value in dimensions.items()
                ],
            ),
        ),
    )


def scale_worker(service: ecs.FargateService, *, config: EnvironmentConfig) -> None:
    """Scale on CPU. The backlog has an alarm instead, since more workers do not help against a slow processor."""
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
        scale_out_cooldown=Duration.seconds(SCALE_OUT_COOLDOWN),
        scale_in_cooldown=Duration.seconds(SCALE_IN_COOLDOWN),
    )
