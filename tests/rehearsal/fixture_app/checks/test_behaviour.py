"""The unit test of the synth step."""

import json
import pathlib
import unittest


class Release(unittest.TestCase):
    """A release has a name."""

    def test_is_named(self) -> None:
        behaviour = json.loads(pathlib.Path("service/behaviour.json").read_text())
        assert behaviour["release"], "service/behaviour.json has no release"
