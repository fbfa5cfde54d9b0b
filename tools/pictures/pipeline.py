"""The delivery pipeline: stages, actions and their run orders, from the template of PipelineStack."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any  # CloudFormation's JSON

from tools.pictures.svg import Box, Canvas, Style
from tools.pictures.templates import Templates

#: What an action does, by the beginning of its name; for any other, its provider is named.
_TEXTS: Mapping[str, str] = {
    "Source": "every push",
    "Synth": "gates, templates",
    "SelfMutate": "this pipeline",
    "DockerAssets": "builds the image",
    "FileAssets": "publishes files",
    "ScanImage": "critical findings",
    "Smoke": "checks it over HTTPS",
    "ChangeReport": "tells what will change",
    "Approve": "a person decides",
}
#: Heights of an action with and without a text, and of a stage without its actions.
_ROW, _SHORT_ROW, _REST = 42.0, 24.0, 40.0
_Stage = Mapping[str, Any]


def pipeline(assembly: Path) -> str:
    """Return the pipeline of the cloud assembly in ``assembly``."""
    definition = Templates(assembly).one("CodePipeline::Pipeline").properties
    stages: Sequence[_Stage] = definition["Stages"]
    first = next(number for number, stage in enumerate(stages) if _is_deployment(stage))
    canvas = Canvas(
        "Pipeline: from push to production",
        "The stages run one after the other: " + ", ".join(stage["Name"] for stage in stages) + ".",
        width=960,
        height=482,
    )
    above = _row(canvas, stages[:first], y=92, gap=24)
    below = _row(canvas, stages[first:], y=220, gap=76)
    turn = 198
    canvas.arrow(
        (above[-1].middle[0], above[-1].bottom),
        (above[-1].middle[0], turn),
        (below[0].middle[0], turn),
        (below[0].middle[0], 220),
    )
    if definition["RestartExecutionOnUpdate"]:
        _draw_restart(canvas, stages, above)
    canvas.text(
        24, 464, "Numbers are run orders. Each stack: prepare a change set, then deploy it.", size=12, style="muted"
    )
    return canvas.render()


def _row(canvas: Canvas, stages: Sequence[_Stage], *, y: float, gap: float) -> list[Box]:
    width = (912 - gap * (len(stages) - 1)) / len(stages)
    boxes = [
        Box(x=24 + number * (width + gap), y=y, width=width, height=_height(stage))
        for number, stage in enumerate(stages)
    ]
    for before, after in itertools.pairwise(boxes):
        canvas.arrow((before.right, y + 42), (after.x, y + 42))
    for stage, box in zip(stages, boxes, strict=True):
        _draw_stage(canvas, stage, box)
    return boxes


def _draw_stage(canvas: Canvas, stage: _Stage, box: Box) -> None:
    asks = any(action["ActionTypeId"]["Category"] == "Approval" for action in stage["Actions"])
    canvas.box(box, Style.GREEN if _is_deployment(stage) else Style.AMBER if asks else Style.BLUE)
    canvas.text(box.x + 14, box.y + 24, stage["Name"], bold=True)
    y = box.y + 46
    for orders, name, text in _rows(stage):
        canvas.text(box.x + 14, y, orders, size=12, style="muted")
        canvas.text(box.x + 44, y, name, size=12, bold=bool(text))
        if text:
            canvas.text(box.x + 44, y + 17, text, size=12, style="muted")
        y += _ROW if text else _SHORT_ROW
    if _rolls_back(stage):
        canvas.text(box.x + 14, box.bottom - 12, "a failure rolls the stage back", size=12)


def _rows(stage: _Stage) -> Iterator[tuple[str, str, str]]:
    """Yield run orders, name and text of each action; the two of a stack are one."""
    actions = sorted(stage["Actions"], key=lambda action: (action["RunOrder"], action["Name"]))
    stacks: dict[str, list[str]] = {}
    for action in actions:
        stack, _, verb = action["Name"].partition(".")
        if verb:
            stacks.setdefault(stack, []).append(str(action["RunOrder"]))
    for action in actions:
        stack, _, verb = action["Name"].partition(".")
        order = str(action["RunOrder"])
        if not verb:
            text = next((text for name, text in _TEXTS.items() if stack.startswith(name)), None)
            yield order, stack, text or action["ActionTypeId"]["Provider"]
        elif stacks[stack][0] == order:
            yield "\N{EN DASH}".join(stacks[stack]), stack, ""


def _height(stage: _Stage) -> float:
    rows = sum(_ROW if text else _SHORT_ROW for _, _, text in _rows(stage))
    return _REST + rows + (_SHORT_ROW if _rolls_back(stage) else 0)


def _rolls_back(stage: _Stage) -> bool:
    return bool(stage.get("OnFailure", {}).get("Result") == "ROLLBACK")


def _is_deployment(stage: _Stage) -> bool:
    return any(action["ActionTypeId"]["Category"] == "Deploy" for action in stage["Actions"])


def _draw_restart(canvas: Canvas, stages: Sequence[_Stage], boxes: Sequence[Box]) -> None:
    mutating = next(
        number for number, stage in enumerate(stages) if any(each["Name"] == "SelfMutate" for each in stage["Actions"])
    )
    start, end = boxes[mutating].middle[0], boxes[0].middle[0]
    canvas.arrow((start, 92), (start, 66), (end, 66), (end, 92))
    canvas.text(
        (start + end) / 2, 58, "the pipeline has changed itself: it starts over", size=12, anchor="middle", style="on"
    )
