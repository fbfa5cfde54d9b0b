"""A wrong configuration promises to say what is wrong, where, and what to do, before anything is synthesized."""

from typing import Any

import pytest

from stages.config import CapacityConfig, ConfigurationError, EnvironmentConfig
from tests.stages.conftest import CERTIFICATE, ENVIRONMENTS, OTHER, TOOLING

MINIMAL = {"environment_suffix": "dev", "account": TOOLING, "certificate_arn": CERTIFICATE}


def read(**changes: Any) -> EnvironmentConfig:
    values = {**MINIMAL, **changes}
    return EnvironmentConfig.from_mapping({key: value for key, value in values.items() if value != "absent"})


def test_the_least_configuration_has_sensible_defaults() -> None:
    config = read()
    assert config.region == "us-east-1"
    assert config.availability_zone_ids == ("use1-az1", "use1-az2", "use1-az4")
    assert (config.processor, config.allow_live_keys) == ("sandbox", False)
    assert config.pipeline_account == TOOLING
    assert config.deployment_strategy == "rolling"
    assert config.capacity == CapacityConfig()


def test_text_from_the_command_line_is_read_as_what_it_means() -> None:
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


def test_false_is_false() -> None:
    assert read(allow_live_keys="false").allow_live_keys is False
    assert read(allow_live_keys=False).allow_live_keys is False


def test_another_region_needs_only_its_zones() -> None:
    config = read(
        region="eu-west-1",
        availability_zone_ids=["euw1-az1", "euw1-az2", "euw1-az3"],
        certificate_arn=CERTIFICATE.replace("us-east-1", "eu-west-1"),
    )
    assert config.names.unique("alb-logs") == f"alb-logs-dev-{TOOLING}-eu-west-1"


@pytest.mark.parametrize("values", ENVIRONMENTS.values(), ids=ENVIRONMENTS)
def test_configurations_of_the_other_tests_are_accepted(values: dict[str, Any]) -> None:
    assert EnvironmentConfig.from_mapping(values).environment_suffix == values["environment_suffix"]


DOMAIN = {"domain_name": "api.x.example", "hosted_zone_id": "Z0123456789AB", "hosted_zone_name": "x.example"}

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "suffix missing": ({"environment_suffix": "absent"}, "environment_suffix is missing"),
    "suffix too long": ({"environment_suffix": "prod-alice123"}, "at most 12 characters"),
    "suffix in capitals": ({"environment_suffix": "Dev"}, "lower-case letters"),
    "suffix ends in a hyphen": ({"environment_suffix": "dev-"}, "single hyphens"),
    "suffix is no text": ({"environment_suffix": 7}, "environment_suffix: 7 is not text"),
    "account missing": ({"account": "absent"}, "account is missing"),
    "account short": ({"account": "11111111111"}, "not an AWS account id of 12 digits"),
    "account as a number": ({"account": 111111111111}, "account: 111111111111 is not text"),
    "pipeline account": ({"pipeline_account": "me"}, "pipeline_account: 'me' is not an AWS account id"),
    "unknown key": ({"databse_max_acu": 8}, "unknown key databse_max_acu. Known keys: account, alarm_email"),
    "region": ({"region": "useast1"}, "region: 'useast1' is not a region name"),
    "region without zones": ({"region": "eu-west-1"}, "region eu-west-1 has no default. Name three zone ids"),
    "two zones": ({"availability_zone_ids": ["use1-az1", "use1-az2"]}, "exactly three different zones"),
    "the same zone": ({"availability_zone_ids": "use1-az1,use1-az1,use1-az2"}, "exactly three different zones"),
    "zone letters": ({"availability_zone_ids": "us-east-1a,us-east-1b,us-east-1c"}, "is not a zone id such as"),
    "zone without Fargate": ({"availability_zone_ids": "use1-az1,use1-az2,use1-az3"}, "use1-az3 has no Fargate"),
    "zones are no list": ({"availability_zone_ids": 3}, "availability_zone_ids: 3 is not a list of texts"),
    "no certificate": ({"certificate_arn": "absent"}, "HTTPS needs a certificate. Set certificate_arn"),
    "certificate malformed": ({"certificate_arn": "arn:aws:iam::1:server-certificate/x"}, "no ARN of an ACM"),
    "certificate elsewhere": ({"account": OTHER}, "can use only its own"),
    "domain malformed": ({"domain_name": "API.example"}, "'API.example' is no host name in lower case"),
    "zone without its name": ({**DOMAIN, "hosted_zone_name": "absent"}, "goes together with hosted_zone_name"),
    "zone id malformed": ({**DOMAIN, "hosted_zone_id": "example"}, "is no Route 53 zone id"),
    "zone without a domain": ({**DOMAIN, "domain_name": "absent"}, "domain_name: is needed with a hosted zone"),
    "domain outside its zone": (
        {**DOMAIN, "domain_name": "api.y.example"},
        "does not lie in the hosted zone x.example",
    ),
    "e-mail": ({"alarm_email": "ops"}, "'ops' is no e-mail address"),
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
    "task size": ({"api_cpu": 512, "api_memory_mib": 512}, "Fargate has no task of 512 CPU units with 512 MiB"),
    "task CPU": ({"worker_cpu": 300}, "Fargate has no task of 300 CPU units"),
    "task counts": ({"api_min_tasks": 5, "api_max_tasks": 4}, "want 1 <= api_min_tasks <= api_max_tasks <= 100"),
    "database range": ({"database_min_acu": 8}, "want 0.5 <= database_min_acu <= database_max_acu <= 256"),
    "database step": ({"database_max_acu": 4.2}, "steps of 0.5 ACU"),
    "requests": ({"requests_per_task_per_minute": 0}, "must lie between 1 and 1000000"),
    "backups": ({"backup_retention_days": 36}, "1 to 35 days"),
    "log retention": ({"log_retention_days": 31}, "no retention of 31 days. Use one of 1, 3, 5"),
}


@pytest.mark.parametrize(("changes", "message"), WRONG.values(), ids=WRONG)
def test_each_mistake_gets_its_own_message(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(**changes)
    assert message in str(caught.value)


def test_no_two_mistakes_share_a_message() -> None:
    messages = [message for _, message in WRONG.values()]
    shared = {"exactly three different zones"}
    assert {message for message in messages if messages.count(message) > 1} <= shared


def test_messages_name_the_environment() -> None:
    with pytest.raises(ConfigurationError, match=r"^environment dev: region: "):
        read(region="here")
