"""No accepted configuration can exhaust the database's connections, and the stacks follow the capacity model."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.configuration import ConfigurationError
from payments.cli import common
from payments.core.settings import Settings
from payments.services import wiring
from stages.config import capacity_model as model
from stages.config.capacity import FARGATE_SIZES, CapacityConfig
from tests.stages.model import Templates

#: Maximum ACUs to connections, from AWS's table; with a minimum of half an ACU 2,000 at most.
DOCUMENTED = {1: 189, 4: 823, 8: 1_669, 16: 3_360, 32: 5_000, 64: 5_000, 128: 5_000, 256: 5_000}

SIZES = [(cpu, memory) for cpu, sizes in FARGATE_SIZES.items() for memory in sizes]
TASKS = st.tuples(st.integers(1, 100), st.integers(1, 100)).map(sorted)
ACUS = st.tuples(st.integers(1, 512), st.integers(2, 512)).map(lambda steps: [step / 2 for step in sorted(steps)])


@st.composite
def settings(draw: st.DrawFn) -> dict[str, Any]:
    """Any values that AWS offers, each valid by itself; small databases are as frequent as large ones."""
    cpu, memory = draw(st.sampled_from(SIZES))
    api, worker = draw(TASKS), draw(TASKS)
    least, most = draw(st.one_of(ACUS, st.sampled_from([[0.5, 1.0], [0.5, 4.0], [1.0, 2.5], [0.5, 256.0]])))
    return {
        "api_cpu": cpu,
        "api_memory_mib": memory,
        "api_min_tasks": api[0],
        "api_max_tasks": api[1],
        "worker_min_tasks": worker[0],
        "worker_max_tasks": worker[1],
        "database_min_acu": least,
        "database_max_acu": most,
    }


def documented_connections(least_acu: float, most_acu: float) -> float:
    """The line on which AWS's rows lie (memory / 9,531,392, less what the engine itself takes), and both caps."""
    return min(211.375 * most_acu - 22, 5_000, 2_000 if least_acu <= 0.5 else 5_000)


def opened(api_tasks: int, worker_tasks: int) -> int:
    """Connections that tasks open, by the service's own numbers, while each runs twice."""
    task = Settings().db_pool_size + wiring._JOURNAL_POOL
    return 2 * (api_tasks + worker_tasks) * task + common._POOL_SIZE + wiring._JOURNAL_POOL


def accepted(values: dict[str, Any]) -> CapacityConfig | None:
    try:
        return CapacityConfig(**values)
    except ConfigurationError:
        return None


@given(settings())
def test_no_accepted_configuration_exhausts_the_database(values: dict[str, Any]) -> None:
    if capacity := accepted(values):
        most = documented_connections(capacity.database_min_acu, capacity.database_max_acu)
        assert opened(capacity.api_max_tasks, capacity.worker_max_tasks) + 3 < most


def test_ten_api_tasks_and_two_workers_fit_the_smallest_default() -> None:
    capacity = CapacityConfig()
    assert (capacity.api_max_tasks, capacity.worker_max_tasks, capacity.database_max_acu) == (10, 2, 4.0)
    assert opened(10, 2) == 588 < documented_connections(0.5, 4.0) == 823.5


@given(settings())
def test_a_refusal_names_a_change_that_helps(values: dict[str, Any]) -> None:
    """Whoever follows the message, whichever of its ways, has a configuration that is accepted."""
    try:
        CapacityConfig(**values)
    except ConfigurationError as error:
        advice = str(error)
    else:
        return
    ways = [
        {name: float(value) if name.endswith("acu") else int(value)}
        for name, value in re.findall(r"(?<!and )(\w+) to at (?:most|least) ([\d.]+)(?! together)[,.]", advice)
    ]
    for total in re.findall(r"api_max_tasks and worker_max_tasks to at most (\d+) together", advice):
        ways.append({"api_max_tasks": int(total) - 1, "worker_max_tasks": 1})
    assert ways, advice
    for way in ways:
        lows = {low: 1 for key in way if (low := key.replace("_max_tasks", "_min_tasks")) != key}
        assert accepted({**values, **lows, **way}) is not None, f"{advice}\n{way} is refused as well"


@pytest.mark.parametrize(("acu", "connections"), DOCUMENTED.items(), ids=str)
def test_max_connections_are_those_that_aws_documents(acu: int, connections: int) -> None:
    assert model.max_connections(1, acu) == connections
    assert model.max_connections(0.5, acu) == min(connections, 2_000)


@given(ACUS)
def test_between_documented_capacities_the_model_promises_no_more(acus: list[float]) -> None:
    least, most = acus
    assert model.max_connections(least, most) <= documented_connections(least, most)


def test_aurora_takes_no_maximum_of_half_an_acu() -> None:
    with pytest.raises(ConfigurationError, match="database_max_acu"):
        CapacityConfig(database_max_acu=0.5, api_max_tasks=2, worker_max_tasks=1)


def per_second(templates: Templates) -> float:
    """Payments a second of an environment at its largest, at 60 %: the lesser of its tasks' and its database's."""
    task = templates.one("AWS::ECS::TaskDefinition", Family=f"ecs-task-api-{suffix(templates)}")
    tasks = int(templates.one("AWS::ApplicationAutoScaling::ScalableTarget", MaxCapacity=10)["MaxCapacity"])
    acu = float(templates.one("AWS::RDS::DBCluster")["ServerlessV2ScalingConfiguration"]["MaxCapacity"])
    api = 0.6 * tasks * min(1.0, int(task["Cpu"]) / 1024) / model.API_SECONDS
    return min(api, 0.6 * acu / 4 / model.DATABASE_SECONDS)


def suffix(templates: Templates) -> str:
    return str(templates.one("AWS::CloudWatch::Dashboard")["DashboardName"].removeprefix("dashboard-"))


def test_a_task_is_added_at_sixty_per_cent_of_what_one_can_do(dev: Templates, prod: Templates) -> None:
    for templates, vcpu in ((dev, 0.5), (prod, 1.0)):
        name = f"scaling-policy-api-requests-{suffix(templates)}"
        policy = templates.one("AWS::ApplicationAutoScaling::ScalingPolicy", PolicyName=name)
        target = policy["TargetTrackingScalingPolicyConfiguration"]["TargetValue"]
        sustained = 0.6 * vcpu / model.API_SECONDS * 60
        assert sustained - 100 < target <= sustained


def test_more_than_a_vcpu_adds_nothing_to_one_process() -> None:
    """Otherwise neither policy would ever add a task: the process is at its end with half the CPU idle."""
    assert (
        CapacityConfig(api_cpu=4096, api_memory_mib=8192).request_target
        == CapacityConfig(api_cpu=1024, api_memory_mib=2048).request_target
    )


def test_a_configured_request_target_is_kept() -> None:
    assert CapacityConfig(requests_per_task_per_minute=1_234).request_target == 1_234


def test_one_merchant_may_use_all_that_an_environment_sustains(dev: Templates, prod: Templates) -> None:
    for templates in (dev, prod):
        limits = {
            rule["Statement"]["RateBasedStatement"]["Limit"]
            for rule in templates.one("AWS::WAFv2::WebACL")["Rules"]
            if "RateBasedStatement" in rule["Statement"]
        }
        (limit,) = limits
        sustained = per_second(templates) * 300
        assert sustained - 1_000 < limit <= max(sustained, 30_000)


def test_a_small_environment_lets_readers_be_as_busy_as_any() -> None:
    assert CapacityConfig(api_max_tasks=2, worker_max_tasks=1, database_max_acu=1).rate_limit == 30_000


def test_a_deployment_does_not_raise_the_connections_alarm(each: Templates) -> None:
    name = f"alarm-database-connections-{suffix(each)}"
    alarm = each.one("AWS::CloudWatch::Alarm", AlarmName=name)
    range_ = each.one("AWS::RDS::DBCluster")["ServerlessV2ScalingConfiguration"]
    most = documented_connections(range_["MinCapacity"], range_["MaxCapacity"])
    assert opened(10, 2) < alarm["Threshold"] < most - 3


@pytest.mark.parametrize("kind", ["api", "worker"])
def test_tasks_have_the_pool_that_the_model_counts(each: Templates, kind: str) -> None:
    task = each.one("AWS::ECS::TaskDefinition", Family=f"ecs-task-{kind}-{suffix(each)}")
    (main,) = (found for found in task["ContainerDefinitions"] if found["Name"] == kind)
    told = {item["Name"]: item["Value"] for item in main["Environment"]}
    assert int(told["DB_POOL_SIZE"]) + wiring._JOURNAL_POOL == model.TASK_CONNECTIONS
    assert Settings().db_pool_size == model.POOL
    assert common._POOL_SIZE + wiring._JOURNAL_POOL == model.ADMIN_CONNECTIONS
