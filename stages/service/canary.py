"""Canary deployments: ECS tries a release on part of the requests before it gets all of them.

Two target groups take turns: a deployment starts the new release in the idle one, lets the test listener forward to it,
sends it `CANARY_PERCENT` of the requests for `CANARY_MINUTES`, then all of them, and keeps the old release for another
`BAKE_MINUTES`. An alarm at any point sends the requests back. ECS does that by rewriting the weights of the two
listener rules created here. A later stack update that touches one of them resets its weights to the ones written here:
see docs/operations.md#canary-deployments.
"""

from collections.abc import Sequence

from aws_cdk import Duration
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from constructs import Construct

from kit.alarms import AlarmSpec, add_alarm
from kit.policies import allow, grant
from stages.config.environment import EnvironmentConfig
from stages.network.security_groups import API_PORT, TEST_PORT
from stages.service.ingress import Ingress, add_https_listener, add_target_group
from stages.service.metrics import MINUTE

#: Enough to notice a bad release within the minutes that its alarms need, few enough to harm few clients.
CANARY_PERCENT = 10
#: Longer than any deployment alarm takes to go off.
CANARY_MINUTES, BAKE_MINUTES = 10, 10
TRAFFIC_SHIFT = ecs.TrafficShiftConfig(step_percent=CANARY_PERCENT, step_bake_time=Duration.minutes(CANARY_MINUTES))
BAKE_TIME = Duration.minutes(BAKE_MINUTES)


class Canary(Construct):
    """The second target group, the listener rules that ECS rewrites, and the role with which it does so.

    Attributes:
        alternate: The target group besides `ingress.target_group`.
        target: What the service's load balancer configuration needs to know.
        policy: What the service must depend on, so that ECS can shift requests from the first deployment on.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        config: EnvironmentConfig,
        ingress: Ingress,
        vpc: ec2.IVpc,
        alarm_topic: sns.ITopic,
    ) -> None:
        super().__init__(scope, construct_id)
        self._config = config
        self.alternate = add_target_group(self, "Targets", name=f"tg-https-{API_PORT}-alt", config=config, vpc=vpc)
        groups = (ingress.target_group, self.alternate)
        test = add_https_listener(
            ingress.load_balancer,
            "Test",
            port=TEST_PORT,
            certificate=ingress.certificate,
            target_group=self.alternate,
        )
        production_rule = _rule(self, "ProductionRule", listener=ingress.https, groups=groups)
        test_rule = _rule(self, "TestRule", listener=test, groups=groups)
        role = self._role(groups=groups, rules=(production_rule, test_rule), listeners=(ingress.https, test))
        self.target = ecs.AlternateTarget(
            "Alternate",
            alternate_target_group=self.alternate,
            production_listener=ecs.ListenerRuleConfiguration.application_listener_rule(production_rule),
            test_listener=ecs.ListenerRuleConfiguration.application_listener_rule(test_rule),
            role=role.without_policy_updates(),
        )
        # Here rather than in the monitoring stack, which would import the target group: CloudFormation could not delete
        # that export when the environment goes back to rolling deployments.
        add_alarm(
            self,
            AlarmSpec(
                name="unhealthy-alternate",
                summary="At least one api task of the alternate target group has failed its health check for "
                "{minutes} minutes.",
                metric=self.alternate.metrics.unhealthy_host_count(
                    period=MINUTE, statistic="Maximum", label="unhealthy"
                ),
                threshold=0,
                periods=5,
            ),
            target=config,
            topic=alarm_topic,
        )

    def _role(
        self,
        *,
        groups: Sequence[elbv2.ApplicationTargetGroup],
        rules: Sequence[elbv2.ApplicationListenerRule],
        listeners: Sequence[elbv2.ApplicationListener],
    ) -> iam.Role:
        """Create a role like AmazonECSInfrastructureRolePolicyForLoadBalancers, restricted to our own resources."""
        names = self._config.names
        role = iam.Role(
            self,
            "Role",
            role_name=names.name("role-api-traffic"),
            # AWS documents no condition for this trust. Only principals that may pass the role can make use of it.
            assumed_by=iam.ServicePrincipal("ecs.amazonaws.com"),
            description="Lets ECS shift requests between the two target groups of the api",
        )
        elb = "elasticloadbalancing:"
        describe = ("Listeners", "Rules", "TargetGroups", "TargetHealth")
        self.policy = grant(
            role,
            name=names.name("policy-api-traffic"),
            statements=[
                allow("ReadLoadBalancers", [f"{elb}Describe{what}" for what in describe], ["*"]),
                allow(
                    "RegisterTasks",
                    [f"{elb}DeregisterTargets", f"{elb}RegisterTargets"],
                    [group.target_group_arn for group in groups],
                ),
                allow("ShiftRequests", [f"{elb}ModifyRule"], [rule.listener_rule_arn for rule in rules]),
                allow("ShiftDefaults", [f"{elb}ModifyListener"], [listener.listener_arn for listener in listeners]),
            ],
        )
        return role


def _rule(
    scope: Construct,
    construct_id: str,
    *,
    listener: elbv2.ApplicationListener,
    groups: Sequence[elbv2.ApplicationTargetGroup],
) -> elbv2.ApplicationListenerRule:
    """Create a rule for every path; the listener's default action has no ARN that CloudFormation could return.

    The action is an L1 property: with CDK's own, the service would depend on the rule twice, which cfn-lint reports.
    """
    weights = zip(groups, (100, 0), strict=True)
    return elbv2.ApplicationListenerRule(
        scope,
        construct_id,
        listener=listener,
        priority=1,
        conditions=[elbv2.ListenerCondition.path_patterns(["/*"])],
        action=elbv2.ListenerAction(
            elbv2.CfnListener.ActionProperty(
                type="forward",
                forward_config=elbv2.CfnListener.ForwardConfigProperty(
                    target_groups=[
                        elbv2.CfnListener.TargetGroupTupleProperty(
                            target_group_arn=group.target_group_arn, weight=weight
                        )
                        for group, weight in weights
                    ]
                ),
            )
        ),
    )
