"""A permission that no call of a rehearsal needs is reported, unless it has a reason."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from rehearsal.permissions.mutants import main

ACCOUNT = "000000000000"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/worker"
KEY = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/1"
SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/worker/session"


def document(*actions: str, **more: Any) -> dict[str, Any]:
    return {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": list(actions), "Resource": "*", **more}],
    }


def call(action: str, resource: str = "*", principal: str = SESSION) -> dict[str, Any]:
    return {"principal": principal, "action": action, "resource": resource, "context": {}, "allowed": True}


@pytest.fixture
def rehearsed(tmp_path: Path) -> Path:
    identity = {"inline": document("ecs:ListClusters", "kms:Decrypt", "s3:ListAllMyBuckets")}
    policies = {
        "account": ACCOUNT,
        "principals": {ROLE: {"identity": identity, "boundary": None}},
        "resources": {KEY: document("kms:Decrypt", "kms:Encrypt", Principal={"AWS": f"arn:aws:iam::{ACCOUNT}:root"})},
    }
    calls = [call("ecs:ListClusters"), call("kms:Decrypt", KEY)]
    (tmp_path / "decisions.json").write_text(json.dumps({"decisions": calls}))
    (tmp_path / "policies.json").write_text(json.dumps(policies))
    return tmp_path


def check(rehearsed: Path, reasons: Mapping[str, Mapping[str, str]]) -> int:
    file = rehearsed / "reasons.json"
    file.write_text(json.dumps(reasons))
    return main([str(file), "--rehearsed", str(rehearsed)])


def test_survivors_are_reported_with_their_policy(rehearsed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(rehearsed, {}) == 1
    *lines, summary = capsys.readouterr().out.splitlines()
    assert lines == [
        f"{ROLE}, inline: no call needs s3:ListAllMyBuckets",
        f"{KEY}, resource policy: no call needs kms:Encrypt",
    ]
    assert summary == "5 permissions removed one at a time: 3 needed by a call, 0 with a reason, 2 unexplained"


def test_reasons_explain_survivors(rehearsed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(rehearsed, {"*:role/*": {"s3:*": "the console"}, "*:key/*": {"kms:Encrypt": "operators"}}) == 0
    assert capsys.readouterr().out.endswith("2 with a reason, 0 unexplained\n")


def test_an_unused_reason_is_reported(rehearsed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reasons = {"*": {"s3:*": "the console", "kms:Encrypt": "operators", "kms:Decrypt": "the worker"}}
    assert check(rehearsed, reasons) == 1
    assert "the reason for kms:Decrypt of * explains no survivor" in capsys.readouterr().out


def test_it_needs_a_rehearsal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(tmp_path, {}) == 2
    assert "make rehearse APPROVE=auto" in capsys.readouterr().out
