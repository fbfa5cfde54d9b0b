"""The commands in the runbook work when copied: they run here with a fake `aws` that records its calls."""

import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.stages.model import PROJECT, Templates
from tests.stages.names import names_of

#: Responds like the AWS CLI and records its arguments.
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
elif "get-secret-value" in asked:
    print(json.dumps({"username": "somebody", "password": "old"}))
elif "file:///dev/stdin" in asked:
    with open(os.environ["NOTES"], "a") as notes:
        notes.write(json.dumps(["stdin", sys.stdin.read()]) + "\\n")
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


def test_run_passes_arguments_and_shows_output_and_exit_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_reset_weights_are_corrected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


ROTATION, SEPARATOR = "Rotate a secret", "\nrotate db-app-credentials"


def functions_of_rotation() -> str:
    functions, separator, _ = blocks(ROTATION).partition(SEPARATOR)
    assert separator, "the section shows how to use them"
    return functions


def test_rotating_a_secret_replaces_the_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = f"{functions_of_rotation()}\nrotate db-app-credentials password && restart"
    _, calls = run(script, tmp_path, monkeypatch)
    assert [call[1] for call in calls if call[0] != "stdin"] == [
        "get-secret-value",
        "put-secret-value",
        "update-service",
        "update-service",
        "wait",
    ]
    (written,) = (json.loads(call[1]) for call in calls if call[0] == "stdin")
    assert written["username"] == "somebody"
    assert len(written["password"]) == 48
    restarted = [call for call in calls if "update-service" in call]
    assert [option(call, "--service") for call in restarted] == ["ecs-service-api-dev", "ecs-service-worker-dev"]
    assert {option(call, "--cluster") for call in restarted} == {"ecs-cluster-dev"}
    assert all("--force-new-deployment" in call for call in restarted)


def test_the_owners_password_is_set_from_its_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, calls = run(f"{functions_of_rotation()}\nset_owner_password", tmp_path, monkeypatch)
    (changed,) = (call for call in calls if "modify-db-cluster" in call)
    assert option(changed, "--db-cluster-identifier") == "aurora-cluster-dev"
    assert option(changed, "--master-user-password") == "file:///dev/stdin"
    assert "--apply-immediately" in changed
    assert [call[1] for call in calls if call[0] == "stdin"] == ["old"], "without a line's end"
    assert not any("old" in call for call in calls if call[0] != "stdin"), "not visible in a list of processes"


def test_every_rotation_of_a_task_secret_restarts_tasks(each: Templates) -> None:
    """CloudFormation restarts nothing when only a value changed."""
    names = {
        f"{secret.stack}/{secret.logical_id}": secret["Name"].removesuffix(f"-{secret.stack.split('-', 2)[2]}")
        for secret in each.all("AWS::SecretsManager::Secret")
    }
    injected = {
        names[str(each.resolve(task.stack, secret["ValueFrom"])).split(":")[0]]
        for task in each.all("AWS::ECS::TaskDefinition")
        for container in task["ContainerDefinitions"]
        for secret in container.get("Secrets", [])
    }
    assert len(injected) == 4
    used = (SEPARATOR + blocks(ROTATION).partition(SEPARATOR)[2]).strip().splitlines()
    for name in injected:
        (line,) = (line for line in used if line.split()[1] == name)
        assert line.endswith("&& restart"), f"{name}: tasks keep the old value"


def test_no_text_claims_that_deployments_reload_secrets() -> None:
    texts = [*PROJECT.glob("docs/*.md"), PROJECT / "README.md", *PROJECT.glob("stages/**/*.py")]
    for text in texts:
        assert not re.search(r"(put|value)[^.|]*\b(then|next) deploy", text.read_text(), re.I), f"{text} promises it"


def test_every_name_in_the_runbook_exists(dev: Templates, canary: Templates) -> None:
    text = (PROJECT / "docs" / "operations.md").read_text().replace("$environment", "dev")
    named = set(re.findall(r"(?<![\w/$-])[a-z][a-z0-9]*(?:-[a-z0-9]+)*-dev\b(?!-)", text))
    known = {name for resource in dev.resources for name in names_of(dev, resource)} | set(dev.by_stack)
    known |= {name.replace("-canary-alice", "-dev") for each in canary.resources for name in names_of(canary, each)}
    assert len(named) > 15
    assert named <= known, f"{sorted(named - known)} do not exist"


def test_every_alarm_says_whether_its_section_was_tried() -> None:
    text = (PROJECT / "docs" / "operations.md").read_text()
    section = text.partition("\n## Alarms\n")[2].partition("\n## ")[0]
    alarms = set(re.findall(r"^### ([a-z0-9-]+)$", section, re.M))
    tried = re.findall(r"^\| (`[a-z0-9`, -]+`) \|", section.partition("\n### What was tried\n")[2], re.M)
    assert {name for row in tried for name in re.findall(r"[a-z0-9-]+", row)} == alarms
