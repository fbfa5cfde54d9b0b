"""An image, a service and a web ACL in an emulated account."""

from pathlib import Path
from typing import Any

import boto3.session
import pytest

from rehearsal.account import sessions
from rehearsal.ecr import docker
from tests.rehearsal.ecs.stand_in import IMAGE, container

REPOSITORY, TAG = IMAGE.rsplit("/", 1)[1].split(":")
HEALTH = {"command": ["CMD-SHELL", "true"]}
METRIC = {"SampledRequestsEnabled": False, "CloudWatchMetricsEnabled": False, "MetricName": "acl"}
DATABASE_ENDPOINT = "aurora-cluster-dev.cluster-abc.us-east-1.rds.amazonaws.com"


def push_image(account: boto3.session.Session, images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    account.client("ecr").create_repository(repositoryName=REPOSITORY)
    monkeypatch.setenv("REHEARSAL_IMAGES", str(images))
    environment = sessions.subprocess_environment(
        int(account.client("ecr").meta.endpoint_url.rsplit(":", 1)[1]), home=images.parent / "home"
    )
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert docker.main(["push", IMAGE]) == 0


def describe_service(account: boto3.session.Session, *, release: str) -> str:
    """Register a task definition, and at first create everything else; return the DNS name of the load balancer."""
    ecs: Any = account.client("ecs")
    elbv2: Any = account.client("elbv2")
    secrets = account.client("secretsmanager")
    found = elbv2.describe_load_balancers()["LoadBalancers"]
    if not found:
        found = elbv2.create_load_balancer(Name="alb-dev", Type="application")["LoadBalancers"]
        secrets.create_secret(Name="db-credentials-dev", SecretString='{"username": "app", "password": "p w"}')
    dns_name = str(found[0]["DNSName"])
    secret = secrets.describe_secret(SecretId="db-credentials-dev")["ARN"]
    values = "os.environ['PGUSER'] + os.environ['PGPASSWORD'] + os.environ['PUBLIC_BASE_URL']"
    definition = ecs.register_task_definition(
        family="task-api-dev",
        containerDefinitions=[
            container(
                "api",
                f"serve(release='{release} ' + {values})",
                environment=[
                    {"name": "BIND_HOST", "value": "0.0.0.0"},
                    {"name": "PORT", "value": "8443"},
                    {"name": "PGHOST", "value": DATABASE_ENDPOINT},
                    {"name": "PGPORT", "value": "5432"},
                    {"name": "PUBLIC_BASE_URL", "value": f"https://{dns_name}"},
                ],
                secrets=[
                    {"name": "PGUSER", "valueFrom": f"{secret}:username::"},
                    {"name": "PGPASSWORD", "valueFrom": f"{secret}:password::"},
                ],
                healthCheck=HEALTH,
            )
        ],
    )["taskDefinition"]["taskDefinitionArn"]
    if ecs.describe_clusters(clusters=["cluster-dev"])["clusters"]:
        ecs.update_service(cluster="cluster-dev", service="api", taskDefinition=definition)
        return dns_name
    group = elbv2.create_target_group(
        Name="api",
        Protocol="HTTPS",
        Port=8443,
        TargetType="ip",
        HealthCheckPath="/healthz",
        HealthCheckProtocol="HTTPS",
    )["TargetGroups"][0]["TargetGroupArn"]
    balancer = found[0]["LoadBalancerArn"]
    certificate = "arn:aws:acm:us-east-1:000000000000:certificate/11111111-1111-1111-1111-111111111111"
    elbv2.create_listener(
        LoadBalancerArn=balancer,
        Port=443,
        Protocol="HTTPS",
        Certificates=[{"CertificateArn": certificate}],
        DefaultActions=[{"Type": "forward", "TargetGroupArn": group}],
    )
    redirect = {"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301"}
    elbv2.create_listener(
        LoadBalancerArn=balancer,
        Port=80,
        Protocol="HTTP",
        DefaultActions=[{"Type": "redirect", "RedirectConfig": redirect}],
    )
    ecs.create_cluster(clusterName="cluster-dev")
    ecs.create_service(
        cluster="cluster-dev",
        serviceName="api",
        taskDefinition=definition,
        desiredCount=1,
        loadBalancers=[{"targetGroupArn": group, "containerName": "api", "containerPort": 8443}],
    )
    return dns_name


def associate_web_acl(account: boto3.session.Session, balancer: str, statement: Any, **settings: Any) -> None:
    """Create a web ACL with one rule, and associate it with a load balancer."""
    wafv2: Any = account.client("wafv2")
    created = wafv2.create_web_acl(
        Name=f"waf-acl-{settings.pop('name')}",
        Scope="REGIONAL",
        DefaultAction={"Allow": {}},
        VisibilityConfig=METRIC,
        Rules=[{"Name": "one", "Priority": 0, "Statement": statement, "VisibilityConfig": METRIC, **settings}],
    )["Summary"]
    wafv2.associate_web_acl(WebACLArn=created["ARN"], ResourceArn=balancer)
