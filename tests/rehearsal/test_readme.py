"""The README's list of recorded types is complete."""

import re
from pathlib import Path

import rehearsal
from rehearsal.emulator.handlers.base import RecordedHandler
from rehearsal.emulator.handlers.registry import HANDLERS


def test_the_readme_lists_every_recorded_type() -> None:
    text = (Path(rehearsal.__file__).parent / "README.md").read_text()
    listed = set(re.findall(r"^\| `(AWS::[\w:]+)` \|", text, re.MULTILINE))

    assert listed == {handler.type_name for handler in HANDLERS if issubclass(handler, RecordedHandler)}
