"""docs/delivery.md describes the synthesized pipeline correctly."""

import re
from collections.abc import Iterator

from tests.pipeline.model import PROJECT, Synthesized

DOCUMENT = (PROJECT / "docs" / "delivery.md").read_text()
_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def rows(heading: str) -> list[list[str]]:
    """Cells of the table whose first column has this heading."""
    lines = DOCUMENT[DOCUMENT.index(f"| {heading} |") :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip().replace("`", "") for cell in line.strip("|").split("|")] for line in lines]


def run_orders(text: str) -> Iterator[int]:
    first, _, last = text.partition("-")
    yield from range(int(first), int(last or first) + 1)


def test_the_table_names_every_stage_run_order_and_action(synthesized: Synthesized) -> None:
    documented: dict[str, dict[int, str]] = {}
    for stage, orders, what, _ in rows("stage"):
        for order in run_orders(orders):
            documented.setdefault(stage, {})[order] = what
    assert list(documented) == list(synthesized.stages)
    for stage, actions in synthesized.stages.items():
        same = "Dev" if documented[stage][1] == "as Dev" else stage
        assert documented[stage].keys() == {action["RunOrder"] for action in actions}, stage
        for action in actions:
            stack, _, verb = action["Name"].partition(".")
            told = documented[same][action["RunOrder"]]
            for word in [stack.split("-")[1], verb] if verb else [action["Name"].replace(stage, same)]:
                assert word in told, (stage, action["Name"])


def test_the_numbers_of_actions_and_projects_are_correct(synthesized: Synthesized) -> None:
    actions = sum(len(actions) for actions in synthesized.stages.values())
    (told,) = re.findall(r"^(\d+) actions for two environments", DOCUMENT, re.MULTILINE)
    assert int(told) == actions
    names = {
        re.sub("^project-|-main$", "", one["Properties"]["Name"])
        for one in synthesized.stack.all("AWS::CodeBuild::Project").values()
    }
    ((number, listed),) = re.findall(r"^(\w+) CodeBuild projects: ([\w, -]+)\.", DOCUMENT, re.MULTILINE)
    assert set(listed.split(", ")) == names
    assert _NUMBERS.index(number.lower()) == len(names)


def test_every_gate_is_documented_and_runs() -> None:
    told = {gate.strip() for gates, _ in rows("gate") for gate in gates.split(",")}
    (line,) = re.findall(r"^GATES := (.*)", (PROJECT / "Makefile").read_text(), re.MULTILINE)
    assert told == set(line.split())
