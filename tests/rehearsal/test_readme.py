"""The list of what is only recorded is complete."""

import re
from pathlib import Path

import rehearsal.emulator
from rehearsal.emulator.handlers import HANDLERS
from rehearsal.emulator.handlers.base import RecordedHandler


def test_the_readme_lists_every_type_that_is_only_recorded() -> None:
    text = (Path(rehearsal.emulator.__file__).parent / "README.md").read_text()
    listed = set(re.findall(r"^\| `(AWS::[\w:]+)` \|", text, re.MULTILINE))

    assert listed == {handler.type_name for handler in HANDLERS if issubclass(handler, RecordedHandler)}
