"""Recorded resources."""

from pathlib import Path

from rehearsal.account.records import Records


def test_an_id_may_have_any_character(tmp_path: Path) -> None:
    records = Records(tmp_path)
    identifier = "service/ecs-cluster-dev/api|ecs:service:DesiredCount|ecs"

    records.write("AWS::ApplicationAutoScaling::ScalableTarget", identifier, {"MinCapacity": 1})

    assert records.ids() == {"AWS::ApplicationAutoScaling::ScalableTarget": {identifier}}
    records.remove("AWS::ApplicationAutoScaling::ScalableTarget", identifier)
    assert records.ids() == {}
