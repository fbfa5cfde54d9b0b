"""Debian versions are compared as dpkg compares them."""

import shutil
import subprocess
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.jobs.debian import is_older

#: In ascending order, from Debian policy and from real packages.
ORDERED = [
    "0~", "0", "1.0~~", "1.0~~a", "1.0~", "1.0", "1.0-1", "1.0-1+b8", "1.0-1+deb13u1", "1.0-1+deb13u2", "1.0-1.1",
    "1.0-10", "1.0a-1", "1.0+dfsg-1", "1.1-1", "1.2.11.dfsg-1", "1.10", "1:0.1",
]  # fmt: skip


def test_known_versions_are_in_order() -> None:
    for one, next_one in pairwise(ORDERED):
        assert is_older(one, next_one), (one, next_one)
        assert not is_older(next_one, one), (one, next_one)
    assert not is_older("1.0", "1.0-0"), "the same version"
    assert not is_older("0:1.00", "1.0"), "the same version"


_TEXT = st.text("01aZ.~", max_size=3)
_BEGINNINGS = st.builds("{}{}{}".format, st.sampled_from(["", "0:", "1:"]), st.sampled_from("01"), _TEXT)
_ENDS = st.builds("{}{}".format, _TEXT, st.just("") | _TEXT.filter(bool).map("-{}".format))


@pytest.mark.skipif(shutil.which("dpkg") is None, reason="needs dpkg")
@given(_BEGINNINGS, _ENDS, _ENDS)
def test_dpkg_agrees(beginning: str, end: str, other_end: str) -> None:
    """The versions begin alike, since any two would mostly differ in their first characters."""
    one, other = beginning + end, beginning + other_end
    compared = subprocess.run(["dpkg", "--compare-versions", one, "lt", other], check=False, capture_output=True)
    assert compared.returncode in (0, 1)
    assert is_older(one, other) == (compared.returncode == 0)
