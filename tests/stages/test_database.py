"""The database survives the loss of a zone, accepts TLS only, protects its secrets, and is deleted completely."""

import json

import pytest

from tests.stages.model import Resource, Templates, walk


@pytest.fixture
def cluster(each: Templates) -> Resource:
    return each.one("AWS::RDS::DBCluster")


def test_engine_is_aurora_postgresql_18(cluster: Resource) -> None:
    assert cluster["Engine"] == "aurora-postgresql"
    assert cluster["EngineVersion"].split(".")[0] == "18"


def test_writer_and_reader_are_serverless_in_different_zones(each: Templates) -> None:
    instances = each.all("AWS::RDS::DBInstance")
    assert [instance["DBInstanceClass"] for instance in instances] == ["db.serverless", "db.serverless"]
    zones = {str(each.resolve(instance.stack, instance["AvailabilityZone"])) for instance in instances}
    assert len(zones) == 2
    assert all(zone.endswith(".AvailabilityZone") for zone in zones), "a zone of the isolated subnets, not a letter"


def test_the_reader_is_as_large_as_the_writer_at_a_failover(each: Templates) -> None:
    assert all(instance["PromotionTier"] <= 1 for instance in each.all("AWS::RDS::DBInstance"))


def test_capacity_is_what_the_configuration_says(dev: Templates, prod: Templates) -> None:
    for templates, scaling in (
        (dev, {"MinCapacity": 0.5, "MaxCapacity": 4}),
        (prod, {"MinCapacity": 1, "MaxCapacity": 16}),
    ):
        assert templates.one("AWS::RDS::DBCluster")["ServerlessV2ScalingConfiguration"] == scaling


def test_storage_is_encrypted(each: Templates, cluster: Resource) -> None:
    """tests/stages/test_all_templates.py checks the key."""
    assert cluster["StorageEncrypted"] is True
    assert all(instance["EnablePerformanceInsights"] for instance in each.all("AWS::RDS::DBInstance"))


def test_only_tls_is_accepted_and_customer_data_not_logged(cluster: Resource, each: Templates) -> None:
    group = each.one("AWS::RDS::DBClusterParameterGroup")
    assert cluster["DBClusterParameterGroupName"] == {"Ref": group.logical_id}
    assert group["Parameters"]["rds.force_ssl"] == "1"
    assert group["Parameters"]["log_parameter_max_length"] == "0"
    assert group["Parameters"]["log_parameter_max_length_on_error"] == "0"


def test_logs_are_exported_to_a_declared_group(cluster: Resource, each: Templates) -> None:
    assert cluster["EnableCloudwatchLogsExports"] == ["postgresql"]
    name = f"/aws/rds/cluster/{cluster['DBClusterIdentifier']}/postgresql"
    group = each.one("AWS::Logs::LogGroup", LogGroupName=name)
    assert group.logical_id in cluster.depends_on


def test_backups_are_deleted_with_the_cluster(cluster: Resource) -> None:
    assert cluster["BackupRetentionPeriod"] == 7
    assert cluster["DeleteAutomatedBackups"] is True


def test_secrets_are_generated(each: Templates) -> None:
    secrets = each.all("AWS::SecretsManager::Secret")
    suffix = each.one("AWS::RDS::DBCluster")["DBClusterIdentifier"].removeprefix("aurora-cluster-")
    assert {secret["Name"].removesuffix(f"-{suffix}") for secret in secrets} == {
        "db-credentials",
        "db-app-credentials",
        "processor-keys",
        "smoke-api-key",
        "live-api-key",
    }
    for secret in secrets:
        assert "SecretString" not in secret.properties, f"the template contains the value of {secret}"
        generator = secret["GenerateSecretString"]
        assert generator["PasswordLength"] >= 43, "256 bits in letters and digits"
        assert generator["ExcludePunctuation"] is True
        assert generator["GenerateStringKey"] not in json.loads(generator["SecretStringTemplate"])


def test_every_field_that_tasks_read_exists(each: Templates) -> None:
    fields = {
        f"{secret.stack}/{secret.logical_id}": {
            *json.loads(secret["GenerateSecretString"]["SecretStringTemplate"]),
            secret["GenerateSecretString"]["GenerateStringKey"],
        }
        for secret in each.all("AWS::SecretsManager::Secret")
    }
    read = [
        each.resolve(task.stack, secret["ValueFrom"])
        for task in each.all("AWS::ECS::TaskDefinition")
        for container in task["ContainerDefinitions"]
        for secret in container["Secrets"]
    ]
    assert len(read) == 2 * (6 + 4) + 4
    for value in read:
        reference, field = value.removesuffix("::").rsplit(":", 1)
        assert field in fields[reference], f"{reference} has no {field}"


def test_the_owners_password_appears_only_as_a_reference(each: Templates, cluster: Resource) -> None:
    assert cluster["MasterUsername"] == "payments_owner"
    password = each.resolve(cluster.stack, cluster["MasterUserPassword"])
    assert password.startswith("{{resolve:secretsmanager:")
    assert password.endswith(":SecretString:password::}}")


def test_no_template_holds_a_plain_secret(each: Templates) -> None:
    def check(value: object) -> None:
        if isinstance(value, str):
            assert "sk_live_" not in value
            assert "whsec_" not in value
            assert not value.startswith("sk_test_") or value.startswith("sk_test_{")

    for template in each.by_stack.values():
        walk(template, check)
