"""The pictures of pipeline and network show what the templates say."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.model import Synthesized
from tools.pictures.gallery import FOLDER, of_the_templates
from tools.pictures.network import network

#: Changes a template's resources.
Change = Callable[[Mapping[str, Any]], None]


@pytest.mark.parametrize("name", ["pipeline", "network"])
def test_a_picture_shows_the_templates(synthesized: Synthesized, name: str) -> None:
    drawn = of_the_templates(synthesized.folder)[name]
    assert (FOLDER / f"{name}.svg").read_text() == drawn, f"{name}.svg is stale: run make pictures"


def close_the_api(resources: Mapping[str, Any]) -> None:
    """Another port on one side only: then nobody gets through."""
    for name, one in resources.items():
        if one["Type"] == "AWS::EC2::SecurityGroupIngress" and "SecurityGroupsApifrom" in name:
            one["Properties"] |= {"FromPort": 8080, "ToPort": 8080}


def open_the_database(resources: Mapping[str, Any]) -> None:
    for name, one in resources.items():
        if one["Type"] == "AWS::EC2::SecurityGroup" and name.startswith("SecurityGroupsDatabase"):
            rule = {"CidrIp": "0.0.0.0/0", "IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432}
            one["Properties"]["SecurityGroupIngress"] = [rule]


def changed(synthesized: Synthesized, folder: Path, change: Change) -> Path:
    """A copy of dev's assembly with a change in the network's template."""
    copy = folder / "dev"
    shutil.copytree(synthesized.folder / "assembly-PipelineStack-Dev", copy)
    (template,) = copy.glob("*Network*.template.json")
    body = json.loads(template.read_text())
    change(body["Resources"])
    template.write_text(json.dumps(body))
    return copy


def test_a_port_allowed_on_one_side_is_no_arrow(synthesized: Synthesized, tmp_path: Path) -> None:
    drawn = network(changed(synthesized, tmp_path, close_the_api))
    assert ">8443<" in (FOLDER / "network.svg").read_text()
    assert ">8443<" not in drawn
    assert ">8080<" not in drawn


def test_a_rule_without_a_place_is_not_left_out(synthesized: Synthesized, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Draw the arrows from internet to database"):
        network(changed(synthesized, tmp_path, open_the_database))
