"""Ingress: load balancer, certificate, DNS name, access logs."""

from collections.abc import Mapping

from aws_cdk import Duration, Tags
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from aws_cdk import aws_kms as kms
from aws_cdk import aws_route53 as route53
from aws_cdk import aws_route53_targets as targets
from constructs import Construct

from kit.acknowledgements import acknowledge
from stages.config.environment import EnvironmentConfig
from stages.network.security_groups import API_PORT, HTTP, HTTPS, import_security_group
from stages.service.access_logs import AccessLogBucket

#: Seconds. The service keeps idle connections open longer (75 s), so that it never closes one that the balancer reuses.
IDLE_TIMEOUT = 60
#: Seconds.
DEREGISTRATION_DELAY = 30
#: Checks the process only, never the database: a failover must not stop every task.
HEALTH_PATH = "/healthz"
#: Headers of every response over HTTPS, as the service sends them itself: rejections by the firewall and errors of the
#: load balancer never reach the service.
RESPONSE_HEADERS = {
    "strict_transport_security.header_value": "max-age=63072000; includeSubDomains",
    "x_content_type_options.header_value": "nosniff",
}


class Ingress(Construct):
    """Internet-facing HTTPS, with TLS again to the tasks; HTTP only redirects.

    Attributes:
        load_balancer: The application load balancer.
        https: Its listener for clients, which forwards to `target_group`.
        certificate: The listener's certificate.
        target_group: Where api tasks register.
        base_url: `https://` and the host name that clients use.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        config: EnvironmentConfig,
        key: kms.IKey,
        vpc: ec2.IVpc,
        group: ec2.ISecurityGroup,
    ) -> None:
        super().__init__(scope, construct_id)
        self._config = config
        self.load_balancer = self._load_balancer(vpc, import_security_group(self, "Group", group), key)
        self.target_group = add_target_group(self, "Targets", name=f"tg-https-{API_PORT}", config=config, vpc=vpc)
        zone = self._hosted_zone()
        self.certificate = self._certificate(zone)
        self.https = add_https_listener(
            self.load_balancer, "Https", port=HTTPS, certificate=self.certificate, target_group=self.target_group
        )
        self._redirect_http()
        if zone is not None:
            self._alias(zone)
        self.base_url = f"https://{config.domain_name or self.load_balancer.load_balancer_dns_name}"

    def _load_balancer(self, vpc: ec2.IVpc, group: ec2.ISecurityGroup, key: kms.IKey) -> elbv2.ApplicationLoadBalancer:
        logs = AccessLogBucket(self, "AccessLogs", config=self._config, key=key)
        load_balancer = elbv2.ApplicationLoadBalancer(
            self,
            "LoadBalancer",
            load_balancer_name=self._config.names.name("alb"),
            vpc=vpc,
            vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PUBLIC),
            security_group=group,
            internet_facing=True,
            idle_timeout=Duration.seconds(IDLE_TIMEOUT),
            drop_invalid_header_fields=True,
            desync_mitigation_mode=elbv2.DesyncMitigationMode.STRICTEST,
            deletion_protection=False,
        )
        load_balancer.log_access_logs(logs.bucket)
        load_balancer.node.add_dependency(logs.auto_delete)
        acknowledge(
            load_balancer,
            "NIST.800.53.R5-ELBDeletionProtectionEnabled",
            reason="An environment must be destroyable by its own pipeline and by `make destroy`; the load balancer "
            "holds no state, and its stack can recreate it.",
        )
        return load_balancer

    def _hosted_zone(self) -> route53.IHostedZone | None:
        if self._config.hosted_zone_id is None or self._config.hosted_zone_name is None:
            return None
        return route53.HostedZone.from_hosted_zone_attributes(
            self, "Zone", hosted_zone_id=self._config.hosted_zone_id, zone_name=self._config.hosted_zone_name
        )

    def _certificate(self, zone: route53.IHostedZone | None) -> acm.ICertificate:
        if self._config.certificate_arn is not None:
            return acm.Certificate.from_certificate_arn(self, "Certificate", self._config.certificate_arn)
        assert self._config.domain_name is not None  # noqa: S101 - the configuration rejects a zone without it
        return acm.Certificate(
            self,
            "Certificate",
            domain_name=self._config.domain_name,
            certificate_name=self._config.names.name("certificate"),
            validation=acm.CertificateValidation.from_dns(zone),
        )

    def _redirect_http(self) -> None:
        http = self.load_balancer.add_listener(
            "Http",
            port=HTTP,
            protocol=elbv2.ApplicationProtocol.HTTP,
            open=False,
            default_action=elbv2.ListenerAction.redirect(port=str(HTTPS), protocol="HTTPS", permanent=True),
        )
        acknowledge(
            http,
            "NIST.800.53.R5-ELBv2ACMCertificateRequired",
            "PCI.DSS.321-ELBv2ACMCertificateRequired",
            reason="This listener only redirects to the HTTPS one, which has the certificate.",
        )
        _set_attributes(http, {"server.enabled": "false"})

    def _alias(self, zone: route53.IHostedZone) -> None:
        route53.ARecord(
            self,
            "Alias",
            zone=zone,
            record_name=f"{self._config.domain_name}.",
            target=route53.RecordTarget.from_alias(targets.LoadBalancerTarget(self.load_balancer)),
        )


def add_target_group(
    scope: Construct, construct_id: str, *, name: str, config: EnvironmentConfig, vpc: ec2.IVpc
) -> elbv2.ApplicationTargetGroup:
    """Create a target group for api tasks; `name` contains protocol and port, whose change would replace it."""
    group = elbv2.ApplicationTargetGroup(
        scope,
        construct_id,
        target_group_name=config.names.name(name),  # 32 characters at most
        vpc=vpc,
        protocol=elbv2.ApplicationProtocol.HTTPS,
        port=API_PORT,
        target_type=elbv2.TargetType.IP,
        deregistration_delay=Duration.seconds(DEREGISTRATION_DELAY),
        load_balancing_algorithm_type=elbv2.TargetGroupLoadBalancingAlgorithmType.LEAST_OUTSTANDING_REQUESTS,
        health_check=elbv2.HealthCheck(
            protocol=elbv2.Protocol.HTTPS,
            path=HEALTH_PATH,
            healthy_http_codes="200",
            interval=Duration.seconds(10),
            timeout=Duration.seconds(5),
            healthy_threshold_count=2,
            unhealthy_threshold_count=3,
        ),
    )
    Tags.of(group).add("Name", config.names.name(name))
    return group


def add_https_listener(
    load_balancer: elbv2.ApplicationLoadBalancer,
    construct_id: str,
    *,
    port: int,
    certificate: acm.ICertificate,
    target_group: elbv2.ApplicationTargetGroup,
) -> elbv2.ApplicationListener:
    """Create a listener with the current TLS policy and security headers; security_groups.py says who reaches it."""
    listener = load_balancer.add_listener(
        construct_id,
        port=port,
        protocol=elbv2.ApplicationProtocol.HTTPS,
        open=False,
        certificates=[certificate],
        ssl_policy=elbv2.SslPolicy.TLS13_12_RES_PQ,
        default_target_groups=[target_group],
    )
    _set_attributes(listener, {"server.enabled": "false", **RESPONSE_HEADERS})
    return listener


def _set_attributes(listener: elbv2.ApplicationListener, attributes: Mapping[str, str]) -> None:
    resource = listener.node.default_child
    assert isinstance(resource, elbv2.CfnListener)  # noqa: S101 - the L1 resource of a listener
    resource.listener_attributes = [
        elbv2.CfnListener.ListenerAttributeProperty(key=f"routing.http.response.{key}", value=value)
        for key, value in attributes.items()
    ]
