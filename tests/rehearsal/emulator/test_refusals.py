"""Templates that AWS refuses are refused with the same reason."""

import pytest
from botocore.exceptions import ClientError

from rehearsal.emulator.process import EmulatorProcess
from tests.rehearsal.emulator.stacks import StackFailedError, Stacks, resource

pytestmark = pytest.mark.rehearsal


def test_an_unknown_type_is_refused_before_the_deployment(emulator: EmulatorProcess) -> None:
    with pytest.raises(ClientError, match=r"Unrecognized resource types: \[AWS::EC2::Unknown\]"):
        Stacks(emulator.port).deploy("unknown", {"Thing": resource("AWS::EC2::Unknown")})


@pytest.mark.parametrize(
    ("properties", "reason"),
    [
        ({"Scheem": "internal"}, r"#: extraneous key \[Scheem\] is not permitted"),
        ({"SubnetMappings": [{"AllocationId": "e"}]}, r"#/SubnetMappings/0: required key \[SubnetId\] not found"),
        ({"Type": "applicaton"}, "#/Type: applicaton is not a valid enum value"),
    ],
    ids=["unknown", "missing", "value"],
)
def test_an_invalid_property_is_refused(emulator: EmulatorProcess, properties: dict[str, object], reason: str) -> None:
    stacks = Stacks(emulator.port)
    kind = "AWS::ElasticLoadBalancingV2::LoadBalancer"

    with pytest.raises(StackFailedError, match=f"Alb: Properties validation failed for {kind}: .*{reason}"):
        stacks.deploy("invalid", {"Alb": resource(kind, **properties)})

    assert stacks.status("invalid") == "ROLLBACK_COMPLETE"
    stacks.delete("invalid")


def test_an_update_is_validated(emulator: EmulatorProcess) -> None:
    stacks = Stacks(emulator.port)
    stacks.deploy("update", {"Topic": resource("AWS::SNS::Topic", DisplayName="Alarms")})

    with pytest.raises(StackFailedError, match=r"extraneous key \[DisplayNaem\]"):
        stacks.deploy("update", {"Topic": resource("AWS::SNS::Topic", DisplayNaem="Alarms")})

    assert stacks.status("update") == "UPDATE_ROLLBACK_COMPLETE"
    stacks.delete("update")
