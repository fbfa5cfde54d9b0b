"""An invalid configuration is rejected before synthesis, with what is wrong, where, and what to do."""

from typing import Any

import pytest

from kit.configuration import ConfigurationError
from stages.config.capacity import CapacityConfig
from stages.config.environment import EnvironmentConfig
from tests.stages.conftest import CERTIFICATE, ENVIRONMENTS, OTHER, TOOLING

MINIMAL = {"environment_suffix": "dev", "account": TOOLING, "certificate_arn": CERTIFICATE}


def read(**changes: Any) -> EnvironmentConfig:
    values = {**MINIMAL, **changes}
    return EnvironmentConfig.from_mapping({key: value for key, value in values.items() if value != "absent"})


def test_the_minimal_configuration_has_defaults() -> None:
    config = read()
    assert config.region == "us-east-1"
    assert config.availability_zone_ids == ("use1-az1", "use1-az2", "use1-az4")
    assert (config.processor, config.allow_live_keys) == ("sandbox", False)
    assert config.pipeline_account == TOOLING
    assert config.deployment_strategy == "rolling"
    assert config.capacity == CapacityConfig()


def test_text_from_the_command_line_is_parsed() -> None:
    config = read(
        api_cpu="1024",
        api_memory_mib="4096",
        database_max_acu="8",
        allow_live_keys="true",
        processor="stripe",
        availability_zone_ids="use1-az1, use1-az2,use1-az5",
        alarm_email=None,
    )
    assert (config.capacity.api_cpu, config.capacity.api_memory_mib) == (1024, 4096)
    assert config.capacity.database_max_acu == 8.0
    assert config.allow_live_keys is True
    assert config.availability_zone_ids == ("use1-az1", "use1-az2", "use1-az5")


def test_false_is_parsed() -> None:
    assert read(allow_live_keys="false").allow_live_keys is False
    assert read(allow_live_keys=False).allow_live_keys is False


def test_another_region_needs_only_its_zones() -> None:
    config = read(
        region="eu-west-1",
        availability_zone_ids=["euw1-az1", "euw1-az2", "euw1-az3"],
        certificate_arn=CERTIFICATE.replace("us-east-1", "eu-west-1"),
    )
    assert config.names.globally_unique("alb-logs") == f"alb-logs-dev-{TOOLING}-eu-west-1"


@pytest.mark.parametrize("values", ENVIRONMENTS.values(), ids=ENVIRONMENTS)
def test_the_configurations_of_other_tests_are_valid(values: dict[str, object]) -> None:
    assert EnvironmentConfig.from_mapping(values).environment_suffix == values["environment_suffix"]


DOMAIN = {"domain_name": "api.x.example", "hosted_zone_id": "Z0123456789AB", "hosted_zone_name": "x.example"}

INVALID: dict[str, tuple[dict[str, object], str]] = {
    "suffix missing": ({"environment_suffix": "absent"}, "environment_suffix is missing"),
    "suffix too long": ({"environment_suffix": "prod-alice123"}, "at most 12 characters"),
    "suffix in capitals": ({"environment_suffix": "Dev"}, "lower-case letters"),
    "suffix ends in a hyphen": ({"environment_suffix": "dev-"}, "single hyphens"),
    "suffix is not text": ({"environment_suffix": 7}, "environment_suffix: 7 is not text"),
    "account missing": ({"account": "absent"}, "account is missing"),
    "account short": ({"account": "11111111111"}, "not an AWS account id of 12 digits"),
    "account as a number": ({"account": 111111111111}, "account: 111111111111 is not text"),
    "pipeline account": ({"pipeline_account": "me"}, "pipeline_account: 'me' is not an AWS account id"),
    "unknown key": ({"databse_max_acu": 8}, "unknown key databse_max_acu. Known keys: account, alarm_email"),
    "region": ({"region": "useast1"}, "region: 'useast1' is not a region name"),
    "region without zones": ({"region": "eu-west-1"}, "region eu-west-1 has no default. List three zone ids"),
    "two zones": ({"availability_zone_ids": ["use1-az1", "use1-az2"]}, "exactly three different zones"),
    "the same zone": ({"availability_zone_ids": "use1-az1,use1-az1,use1-az2"}, "exactly three different zones"),
    "zone letters": ({"availability_zone_ids": "us-east-1a,us-east-1b,us-east-1c"}, "is not a zone id such as"),
    "zone without Fargate": ({"availability_zone_ids": "use1-az1,use1-az2,use1-az3"}, "use1-az3 has no Fargate"),
    "zones are not a list": ({"availability_zone_ids": 3}, "availability_zone_ids: 3 is not a list of texts"),
    "no certificate": ({"certificate_arn": "absent"}, "HTTPS requires a certificate. Set certificate_arn"),
    "certificate malformed": ({"certificate_arn": "arn:aws:iam::1:server-certificate/x"}, "is not the ARN of an ACM"),
    "certificate elsewhere": ({"account": OTHER}, "load balancer in 222222222222/us-east-1 needs one there"),
    "domain malformed": ({"domain_name": "API.example"}, "'API.example' is not a host name in lower case"),
    "zone without its name": ({**DOMAIN, "hosted_zone_name": "absent"}, "must be set together with hosted_zone_name"),
    "zone id malformed": ({**DOMAIN, "hosted_zone_id": "example"}, "is not a hosted zone id"),
    "zone without a domain": ({**DOMAIN, "domain_name": "absent"}, "domain_name: is required with a hosted zone"),
    "domain outside its zone": (
        {**DOMAIN, "domain_name": "api.y.example"},
        "is not in the hosted zone x.example",
    ),
    "e-mail": ({"alarm_email": "ops"}, "'ops' is not an e-mail address"),
    "processor": ({"processor": "paypal"}, "processor: 'paypal' is unknown. Use sandbox or stripe"),
    "deployment strategy": (
        {"deployment_strategy": "blue-green"},
        "'blue-green' is unknown. Use rolling (the default) or canary (docs/operations.md#canary-deployments).",
    ),
    "live keys on the sandbox": ({"allow_live_keys": True}, "Set processor to stripe"),
    "truth value": ({"allow_live_keys": "yes"}, "allow_live_keys: 'yes' is not true or false"),
    "number": ({"api_cpu": "half"}, "api_cpu: 'half' is not a whole number"),
    "number as a truth value": ({"api_cpu": True}, "api_cpu: True is not a whole number"),
    "capacity as a list": ({"database_max_acu": [8]}, "database_max_acu: [8] is not a number"),
    "task size": ({"api_cpu": 512, "api_memory_mib": 512}, "Fargate does not offer 512 CPU units with 512 MiB"),
    "task CPU": ({"worker_cpu": 300}, "Fargate does not offer 300 CPU units"),
    "task counts": (
        {"api_min_tasks": 5, "api_max_tasks": 4},
        "must satisfy 1 <= api_min_tasks <= api_max_tasks <= 100",
    ),
    "database range": ({"database_min_acu": 8}, "must satisfy 0.5 <= database_min_acu <= database_max_acu <= 256"),
    "database step": ({"database_max_acu": 4.2}, "multiples of 0.5 ACU"),
    "requests": ({"requests_per_task_per_minute": 0}, "must be between 1 and 1000000"),
    "backups": ({"backup_retention_days": 36}, "1 to 35 days"),
    "log retention": ({"log_retention_days": 31}, "does not offer a retention of 31 days. Use one of 1, 3, 5"),
}


@pytest.mark.parametrize(("changes", "message"), INVALID.values(), ids=INVALID)
def test_an_error_is_explained(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(**changes)
    assert message in str(caught.value)


def test_every_error_has_its_own_message() -> None:
    messages = [message for _, message in INVALID.values()]
    shared = {"exactly three different zones"}
    assert {message for message in messages if messages.count(message) > 1} <= shared


@pytest.mark.parametrize(("key", "value"), [("region", "here"), ("backup_retention_days", 0)])
def test_messages_name_the_environment_and_the_key(key: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=rf"^environment dev: {key}: "):
        read(**{key: value})
