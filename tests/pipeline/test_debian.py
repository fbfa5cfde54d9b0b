"""Debian versions are compared as dpkg compares them."""

import shutil
import subprocess
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipeline.jobs.debian import is_older

#: In ascending order, from Debian policy and from real packages.
ORDERED = [
    "1.0~~", "1.0~~a", "1.0~", "1.0", "1.0-1", "1.0-1+b8", "1.0-1+deb13u1", "1.0-1+deb13u2", "1.0-1.1", "1.0-10",
    "1.0a-1", "1.0+dfsg-1", "1.1-1", "1.2.11.dfsg-1", "1.10", "1:0.1",
]  # fmt: skip


def test_known_versions_are_in_order() -> None:
    for one, next_one in pairwise(ORDERED):
        assert is_older(one, next_one), (one, next_one)
        assert not is_older(next_one, one), (one, next_one)
    assert not is_older("1.0", "1.0-0"), "the same version"
    assert not is_older("0:1.00", "1.0"), "the same version"


_UPSTREAM = st.from_regex(r"[0-9][A-Za-z0-9.+~]{0,6}", fullmatch=True)
_REVISION = st.from_regex(r"(-[A-Za-z0-9.+~]{1,5})?", fullmatch=True)
_VERSIONS = st.tuples(st.sampled_from(["", "0:", "1:"]), _UPSTREAM, _REVISION).map("".join)


@pytest.mark.skipif(shutil.which("dpkg") is None, reason="needs dpkg")
@given(_VERSIONS, _VERSIONS)
def test_dpkg_agrees(one: str, other: str) -> None:
    assume(one.isascii() and other.isascii())
    compared = subprocess.run(["dpkg", "--compare-versions", one, "lt", other], check=False, capture_output=True)
    assert compared.returncode in (0, 1)
    assert is_older(one, other) == (compared.returncode == 0)
