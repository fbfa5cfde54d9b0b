"""The runbook promises commands that work as they stand: they are run here, with an `aws` that only takes notes."""

import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.stages.model import PROJECT

#: Answers as the AWS CLI does, and keeps what it was asked for.
AWS = """
import json, os, sys
asked = sys.argv[1:]
with open(os.environ["NOTES"], "a") as notes:
    notes.write(json.dumps(asked) + "\\n")
text = " ".join(asked)
if "describe-stacks" in asked:
    stack = asked[asked.index("--stack-name") + 1]
    print(stack + "/" + text.split("OutputKey=='")[1].split("'")[0])
elif "run-task" in asked:
    print("arn:aws:ecs:us-east-1:111111111111:task/ecs-cluster-dev/0123abcd")
elif "get-log-events" in asked:
    print('{"attempt": "att_1"}\\tpayments stuck: 1 attempts need a person.')
elif "describe-tasks" in asked:
    print("Essential container in task exited\\tNone\\t1")
elif "list-stack-resources" in asked:
    print("arn:" + text.split("LogicalResourceId, '")[1].split("'")[0])
"""


def blocks(section: str) -> str:
    """The code of a section of the runbook, whatever its level."""
    text = (PROJECT / "docs" / "operations.md").read_text()
    (body,) = re.findall(rf"^#+ {re.escape(section)}\n(.*?)(?=^#|\Z)", text, re.M | re.S)
    return "\n".join(textwrap.dedent(each) for each in re.findall(r"(?:^    .*\n|^\n(?=    ))+", body, re.M))


def run(script: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, list[list[str]]]:
    """What a script prints, and how it called `aws`."""
    notes = folder / "notes"
    notes.write_text("")
    aws = folder / "aws"
    aws.write_text(f"#!{sys.executable}\n{AWS}")
    aws.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.setenv("NOTES", str(notes))
    done = subprocess.run(["bash", "-u", "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout, [json.loads(line) for line in notes.read_text().splitlines()]


def option(call: list[str], name: str) -> str:
    return call[call.index(name) + 1]


def test_a_command_is_run_word_by_word_and_its_output_and_exit_code_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    functions, separator, _ = blocks("Run a command in an environment").partition("\nrun stuck\n")
    assert separator, "the section shows how to use it"
    printed, calls = run(f'{functions}\nrun merchant create --name "Ann\'s \\"shop\\""', tmp_path, monkeypatch)
    (started,) = (call for call in calls if "run-task" in call)
    assert json.loads(option(started, "--overrides")) == {
        "containerOverrides": [
            {
                "name": "admin",
                "command": ["python", "-m", "payments", "merchant", "create", "--name", 'Ann\'s "shop"'],
            }
        ]
    }
    assert option(started, "--cluster") == "payment-service-dev/AdminCluster"
    assert option(started, "--task-definition") == "payment-service-dev/AdminTaskDefinition"
    assert option(started, "--network-configuration") == "payment-network-dev/AdminNetwork"
    assert option(started, "--launch-type") == "FARGATE"
    (read,) = (call for call in calls if "get-log-events" in call)
    assert (option(read, "--log-group-name"), option(read, "--log-stream-name")) == (
        "admin-logs-dev",
        "admin/admin/0123abcd",
    )
    assert printed.splitlines() == [
        '{"attempt": "att_1"}',
        "payments stuck: 1 attempts need a person.",
        "Essential container in task exited\tNone\t1",
    ]


def test_weights_that_were_reset_are_put_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, calls = run(f"{blocks('The trap: who owns the weights')}\nweights 0 100", tmp_path, monkeypatch)
    (changed,) = (call for call in calls if "modify-rule" in call)
    assert option(changed, "--rule-arn") == "arn:CanaryProductionRule"
    (action,) = json.loads(option(changed, "--actions"))
    assert action["Type"] == "forward"
    assert action["ForwardConfig"]["TargetGroups"] == [
        {"TargetGroupArn": "arn:IngressTargets", "Weight": 0},
        {"TargetGroupArn": "arn:CanaryTargets", "Weight": 100},
    ]
    looked_at = [option(call, "--target-group-arn") for call in calls if "describe-target-health" in call]
    assert looked_at == ["arn:IngressTargets", "arn:CanaryTargets"]
