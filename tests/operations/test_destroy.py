"""Destroying an installation leaves nothing of it, and touches nothing else."""

import json
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from operations.destroy import DestroyError, destroy, find_stacks
from operations.installation import Installation
from operations.pipelines import stop_pipelines
from tests.operations.conftest import REGION, REPOSITORY, TIMING, Account, build_project, environment, pipeline
from tests.rehearsal.emulator.stacks import get, ref, resource

pytestmark = pytest.mark.rehearsal

PROJECT = Path(__file__).parents[2]
TOPIC = resource("AWS::SNS::Topic")
OURS = {"Tags": [{"Key": "project", "Value": "payment-pipeline"}, {"Key": "environment-suffix", "Value": "dev"}]}


def run(account: Account, name: str = "main", report: Any = None) -> None:
    installation = Installation(name=name)
    destroy(
        account.session,
        installation,
        regions=[REGION],
        toolkit="CDKToolkit",
        timing=TIMING,
        report=report or account.reported.append,
    )


def test_destroy_leaves_nothing_and_deletes_in_order(account: Account) -> None:
    account.deploy("PipelineStack", pipeline("pipeline-main"), "main")
    environment(account, "dev")
    environment(account, "removed")  # an environment that the configuration no longer names

    run(account)

    assert account.left() == ""
    deleted = [line.removeprefix("deleted ") for line in account.reported if line.startswith("deleted payment-")]
    for suffix in ("dev", "removed"):
        assert deleted.index(f"payment-service-{suffix}") < deleted.index(f"payment-network-{suffix}")
    assert account.reported.index("stopping pipeline-main") == 0
    assert account.reported.index("deleting PipelineStack") > account.reported.index("deleted payment-network-dev")
    assert account.reported.index("deleting PipelineStack") > account.reported.index("deleted payment-network-removed")


def test_other_installations_are_kept(account: Account) -> None:
    account.deploy("PipelineStack-alice", pipeline("pipeline-alice"), "alice")
    environment(account, "dev-alice")
    account.stacks.deploy("somebody-else", {"Topic": TOPIC}, tags={"project": "shop", "environment-suffix": "dev"})
    account.remember()
    environment(account, "dev")

    run(account)
    assert account.left() == ""
    assert account.status("payment-network-dev-alice") == "CREATE_COMPLETE"

    run(account, "alice")
    assert not find_stacks(account.session, Installation(name="alice"), [REGION], None)
    assert account.status("somebody-else") == "CREATE_COMPLETE"


@pytest.mark.parametrize(("name", "suffix"), [("main", ""), ("alice", "-alice")])
def test_destroying_one_environment_keeps_the_rest(account: Account, name: str, suffix: str) -> None:
    account.deploy(f"PipelineStack{suffix}", pipeline(f"pipeline-{name}"), name)
    environment(account, f"prod{suffix}")
    environment(account, "dev-bob")
    account.upload(f"{'1' * 64}.json", {"Resources": {"Topic": {"Type": "AWS::SNS::Topic", "Properties": OURS}}})
    account.remember()
    environment(account, f"dev{suffix}")

    finished = account.run("--yes", "--settle", "0", "--environment", "dev", "--environment-suffix", suffix[1:])

    assert finished.returncode == 0
    assert account.left() == ""
    assert account.missing() == ""
    assert "stopping" not in finished.stdout


def test_the_pipeline_is_stopped(account: Account) -> None:
    account.deploy("PipelineStack", pipeline("pipeline-main"), "main")
    codepipeline = account.session.client("codepipeline")
    execution = codepipeline.start_pipeline_execution(name="pipeline-main")["pipelineExecutionId"]

    stop_pipelines(
        account.session, find_stacks(account.session, Installation(), [REGION], None), report=account.reported.append
    )

    executions = codepipeline.list_pipeline_executions(pipelineName="pipeline-main")["pipelineExecutionSummaries"]
    assert [(one["pipelineExecutionId"], one["status"]) for one in executions] == [(execution, "Stopped")]
    states = codepipeline.get_pipeline_state(name="pipeline-main")["stageStates"]
    assert [one["inboundTransitionState"]["enabled"] for one in states] == [True, False]


def test_running_builds_are_stopped(account: Account) -> None:
    """An abandoned self-mutation would continue and deploy PipelineStack again."""
    account.deploy("PipelineStack", {**pipeline("pipeline-main"), "Project": build_project("self-mutation")}, "main")
    codebuild = account.session.client("codebuild")
    build = codebuild.start_build(projectName="self-mutation")["build"]["id"]

    stop_pipelines(
        account.session, find_stacks(account.session, Installation(), [REGION], None), report=account.reported.append
    )

    assert codebuild.batch_get_builds(ids=[build])["builds"][0]["buildStatus"] != "IN_PROGRESS"


def test_standalone_tasks_are_stopped_in_own_clusters_only(account: Account) -> None:
    definition = resource(
        "AWS::ECS::TaskDefinition", Family="ecs-task-admin-dev", ContainerDefinitions=[{"Name": "admin", "Image": "i"}]
    )
    for suffix, clusters in (("dev", "ecs-cluster-dev"), ("dev-alice", "ecs-cluster-dev-alice")):
        cluster = resource("AWS::ECS::Cluster", ClusterName=clusters)
        task = {"Task": definition} if suffix == "dev" else {}
        account.deploy(f"payment-service-{suffix}", {"Cluster": cluster, **task}, suffix)
    ecs = account.session.client("ecs")
    started = {
        name: ecs.run_task(cluster=f"ecs-cluster-{name}", taskDefinition="ecs-task-admin-dev")["tasks"][0]["taskArn"]
        for name in ("dev", "dev-alice")
    }
    run(account)
    assert any(f"stopping {started['dev']} (ecs-task-admin-dev:1)" in line for line in account.reported)
    (other,) = ecs.describe_tasks(cluster="ecs-cluster-dev-alice", tasks=[started["dev-alice"]])["tasks"]
    assert other["lastStatus"] == "RUNNING"


def test_assets_of_all_deployments_are_deleted_unless_shared(account: Account) -> None:
    mine, shared, old, theirs = ("a" * 64, "b" * 64, "c" * 64, "d" * 64)
    images = account.session.client("ecr")
    for tag in (mine, shared, theirs):
        images.put_image(repositoryName=REPOSITORY, imageManifest=json.dumps({"tag": tag}), imageTag=tag)
    for asset in (mine, shared, old, theirs):
        account.upload(f"{asset}.zip", {})
    topic = {"Type": "AWS::SNS::Topic", "Properties": OURS}
    account.upload(f"{'1' * 64}.json", {"Resources": {"Topic": topic}, "Metadata": [mine, shared]})
    account.upload(f"{'2' * 64}.json", {"Resources": {"Topic": topic}, "Metadata": [old]})
    account.upload(f"{'3' * 64}.json", {"Resources": {"Topic": TOPIC}, "Metadata": [shared, theirs]})
    environment(account, "dev")

    run(account)

    assert account.assets() == {f"{shared}.zip", f"{theirs}.zip", f"{'3' * 64}.json"}
    left = images.list_images(repositoryName=REPOSITORY)["imageIds"]
    assert {image["imageTag"] for image in left} == {shared, theirs}


def test_recreated_log_groups_are_deleted(account: Account) -> None:
    cluster = resource("AWS::ECS::Cluster", ClusterName="ecs-cluster-dev")
    account.deploy("payment-service-dev", {"Cluster": cluster}, "dev")
    again = "/aws/ecs/containerinsights/ecs-cluster-dev/performance"
    logs = account.session.client("logs")
    logs.create_log_group(logGroupName=f"{again}-of-somebody-else")
    account.remember()

    def report(line: str) -> None:
        account.reported.append(line)
        if line == "deleted payment-service-dev":
            logs.create_log_group(logGroupName=again)
        if line.startswith(f"deleting log group {again}") and len(account.reported) < 5:
            account.reported.append("again")

    run(account, report=report)

    assert f"deleting log group {again}, which a service has recreated" in account.reported
    assert account.left() == ""


def test_a_bucket_with_a_late_object_is_deleted(account: Account) -> None:
    name = account.deploy(
        "payment-service-dev", {"Logs": resource("AWS::S3::Bucket")}, "dev", outputs={"Name": ref("Logs")}
    )["Name"]
    account.session.client("s3").put_object(Bucket=name, Key="late-log", Body=b"")

    run(account)

    assert account.left() == ""
    assert "deleting payment-service-dev again" in account.reported


def test_a_failed_deletion_is_explained_and_its_imports_kept(account: Account) -> None:
    ec2 = account.session.client("ec2")
    network = {
        "Vpc": resource("AWS::EC2::VPC", CidrBlock="10.0.0.0/16"),
        "Group": resource("AWS::EC2::SecurityGroup", VpcId=ref("Vpc"), GroupDescription="api"),
    }
    exported = account.deploy("payment-network-dev", network, "dev", exports={"group": get("Group", "GroupId")})
    rule = resource(
        "AWS::EC2::SecurityGroupIngress",
        GroupId={"Fn::ImportValue": "group"},
        IpProtocol="tcp",
        FromPort=1,
        ToPort=1,
        CidrIp="10.0.0.0/8",
    )
    account.deploy("payment-service-dev", {"Rule": rule}, "dev")
    environment(account, "prod")
    ec2.delete_security_group(GroupId=exported["group"])

    with pytest.raises(DestroyError) as caught:
        run(account)

    first, second = str(caught.value).splitlines()
    assert first.startswith("payment-service-dev: DELETE_FAILED: Rule (AWS::EC2::SecurityGroupIngress): ")
    assert "InvalidGroup.NotFound" in first
    assert second == "payment-network-dev: not deleted, because a stack that must be deleted first is left"
    assert [stack.name for stack in find_stacks(account.session, Installation(), [REGION], None)] == [
        "payment-network-dev",
        "payment-service-dev",
    ]


def test_validation_records_are_deleted_unless_still_needed(account: Account) -> None:
    route53 = account.session.client("route53")
    zone = route53.create_hosted_zone(Name="example.com", CallerReference="1")["HostedZone"]["Id"].split("/")[-1]
    acm = account.session.client("acm")

    def certificate(domain: str) -> dict[str, Any]:
        options = [{"DomainName": domain, "HostedZoneId": zone}]
        return resource(
            "AWS::CertificateManager::Certificate",
            DomainName=domain,
            ValidationMethod="DNS",
            DomainValidationOptions=options,
        )

    resources = {"Own": certificate("dev.example.com"), "Other": certificate("www.example.com")}
    made = account.deploy("payment-service-dev", resources, "dev", outputs={"Own": ref("Own"), "Other": ref("Other")})
    records = {}
    for name, arn in made.items():
        option = acm.describe_certificate(CertificateArn=arn)["Certificate"]["DomainValidationOptions"][0]
        records[name] = option["ResourceRecord"]
        change: object = {
            "Action": "CREATE",
            "ResourceRecordSet": {
                "Name": option["ResourceRecord"]["Name"],
                "Type": "CNAME",
                "TTL": 300,
                "ResourceRecords": [{"Value": option["ResourceRecord"]["Value"]}],
            },
        }
        route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": [change]})
    acm.request_certificate(DomainName="www.example.com", ValidationMethod="DNS")

    run(account)

    sets = route53.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
    names = {one["Name"].rstrip(".") for one in sets if one["Type"] == "CNAME"}
    assert records["Own"]["Name"].rstrip(".") not in names
    assert records["Other"]["Name"].rstrip(".") in names
    assert f"kept record {records['Other']['Name']}: another certificate needs it to renew" in account.reported


def test_the_deletion_date_of_a_key_is_reported(account: Account) -> None:
    key = resource("AWS::KMS::Key", KeyPolicy={"Version": "2012-10-17", "Statement": []}, PendingWindowInDays=7)
    key_id = account.deploy("payment-network-dev", {"Key": key}, "dev", outputs={"Key": ref("Key")})["Key"]

    run(account)

    date = account.session.client("kms").describe_key(KeyId=key_id)["KeyMetadata"]["DeletionDate"]
    assert f"  key {key_id} of payment-network-dev: until {date:%Y-%m-%d}, free of charge" in account.reported


def test_nothing_is_deleted_without_confirmation(account: Account) -> None:
    environment(account, "dev")

    refused = account.run()

    assert refused.returncode == 2
    assert "us-east-1  payment-network-dev" in refused.stdout
    assert "use --yes" in refused.stdout
    assert account.status("payment-network-dev") == "CREATE_COMPLETE"

    assert account.run("--yes", "--settle", "0").returncode == 0
    assert account.left() == ""
    assert account.run("--yes", "--settle", "0").returncode == 0, "a second run is not an error"


def test_an_interruption_explains_how_to_continue(account: Account) -> None:
    environment(account, "dev")
    command = [sys.executable, "-m", "operations.destroy", "--yes", "--settle", "60", "--poll", "0.05"]
    with subprocess.Popen(
        command, cwd=PROJECT, env=account.shell(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        while "revision(s) of task definition" not in process.stdout.readline():
            assert process.poll() is None
        while process.poll() is None:
            process.send_signal(signal.SIGINT)  # repeated, because Python ignores one that arrives inside a finalizer
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=5)
        stderr = process.stderr.read()

    assert process.returncode == 130
    assert stderr.endswith("Interrupted. AWS finishes the deletions in progress; run this again to delete the rest.\n")
    assert account.run("--yes", "--settle", "0").returncode == 0
    assert account.left() == ""
