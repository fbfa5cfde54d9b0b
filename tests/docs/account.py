"""A stand-in for the AWS CLI and for what the runbook calls with it, on an installation of this machine.

It answers as the CLI does with the options that the runbook passes, and does what the service would: a task runs, a
secret changes, tasks are replaced. Whatever it does not know fails.
"""

import contextlib
import http.server
import json
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from stages.monitoring import alarms
from stages.monitoring.log_queries import QUERIES
from tests.docs.installation import Installation
from tests.service import insights

_ACCOUNT = "000000000000"
_LIVE_KEY = f"arn:aws:secretsmanager:us-east-1:{_ACCOUNT}:secret:live-api-key-dev-Ab1Cd2"
_OUTPUTS = {
    "AdminCluster": "ecs-cluster-dev",
    "AdminTaskDefinition": f"arn:aws:ecs:us-east-1:{_ACCOUNT}:task-definition/ecs-task-admin-dev:1",
    "AdminNetwork": "awsvpcConfiguration={subnets=[subnet-1],securityGroups=[sg-1],assignPublicIp=DISABLED}",
    "LiveKeySecretArn": _LIVE_KEY,
}
#: The metric of each alarm that the service itself reports, and what it may be at most.
ALARMS = {
    "recovery-backlog": ("RecoveryBacklogAge", alarms.MAX_RECOVERY_MINUTES * 60),
    "stuck-payments": ("StuckAttempts", 0),
    "unmapped-events": ("UnmappedProcessorEvents", 0),
    "processor-configuration": ("MisconfiguredAttempts", 0),
    "webhook-backlog": ("WebhookBacklogAge", alarms.MAX_WEBHOOK_MINUTES * 60),
    "readers-held-back": ("OldestUnreadAge", alarms.MAX_UNREAD_MINUTES * 60),
}
#: Passes a call on, as a CLI would: with what is on standard input if an option reads it.
_CLI = """#!{python}
import json, sys, urllib.request
words = sys.argv[1:]
given = sys.stdin.read() if "file:///dev/stdin" in words else ""
call = urllib.request.Request("{url}/cli", json.dumps([words, given]).encode())
status, out = json.load(urllib.request.urlopen(call))
(sys.stderr if status else sys.stdout).write(out)
sys.exit(status)
"""


@dataclass
class Account:
    """What the runbook's calls do."""

    made: Installation
    #: The outcome of queries, by id.
    results: dict[str, list[insights.Row]] = field(default_factory=dict)

    def in_alarm(self) -> list[str]:
        """The alarms whose last value is too high, however long it has been."""
        return [name for name, (metric, most) in ALARMS.items() if self.made.metric(metric) > most]

    def call(self, words: list[str], given: str) -> str:
        """Answer one command of the CLI, as `--output text` does."""
        service, operation, *_ = words
        parts = re.findall(r"(--[a-z-]+)((?:\0(?!--)[^\0]*)*)", "\0".join(words).replace("pattern=", "pattern\0="))
        options = {name: " ".join(value.split("\0")[1:]) for name, value in parts}
        answers: dict[str, Callable[[dict[str, str], str], str]] = {
            "cloudformation describe-stacks": self._output,
            "cloudwatch describe-alarms": lambda *_: "\n".join(f"alarm-{name}-dev" for name in self.in_alarm()),
            "ecs run-task": self._run_task,
            "ecs wait": lambda *_: "",
            "ecs describe-tasks": self._describe_task,
            "ecs update-service": self._update_service,
            "logs get-log-events": lambda asked, _: "\t".join(self._command(asked)[0].splitlines()),
            "logs filter-log-events": self._filter,
            "logs describe-query-definitions": self._definition,
            "logs start-query": self._start_query,
            "logs get-query-results": self._query_results,
            "rds failover-db-cluster": self._fail_over,
            "rds modify-db-cluster": self._modify_cluster,
            "s3 presign": lambda *_: str(self.made.folder / "report.csv"),
            "secretsmanager get-secret-value": lambda asked, _: json.dumps(self.made.secrets[asked["--secret-id"]]),
            "secretsmanager put-secret-value": self._put,
        }
        return answers[f"{service} {operation}"](options, given)

    def _output(self, asked: dict[str, str], _: str) -> str:
        return _OUTPUTS[asked["--query"].split("OutputKey=='")[1].split("'")[0]]

    def _run_task(self, asked: dict[str, str], _: str) -> str:
        (override,) = json.loads(asked["--overrides"])["containerOverrides"]
        assert override["command"][:3] == ["python", "-m", "payments"]
        task = f"{len(self.made.commands):032x}"
        self.made.run(task, override["command"][3:])
        return f"arn:aws:ecs:us-east-1:{_ACCOUNT}:task/ecs-cluster-dev/{task}"

    def _command(self, asked: dict[str, str]) -> tuple[str, int]:
        name = asked.get("--log-stream-name") or asked["--tasks"]
        return self.made.commands[name.rpartition("/")[2]]

    def _describe_task(self, asked: dict[str, str], _: str) -> str:
        return f"Essential container in task exited\tNone\t{self._command(asked)[1]}"

    def _update_service(self, asked: dict[str, str], _: str) -> str:
        service = asked["--service"].removeprefix("ecs-service-").removesuffix("-dev")
        if asked.get("--desired-count") == "0":
            self.made.end(service)
            return "ACTIVE"  # as for `--query service.status`
        assert self.made.deploy(services=(service,)) == 0, self.made.log("migrate").read_text()[-2000:]
        arn = f"arn:aws:ecs:us-east-1:{_ACCOUNT}:service/ecs-cluster-dev/{asked['--service']}"
        return "ACTIVE" if "--desired-count" in asked else arn

    def _filter(self, asked: dict[str, str], _: str) -> str:
        """The lines of a log group that lack a word."""
        word = asked["--filter-pattern"].removeprefix("=-")
        lines = self.made.log(asked["--log-group-name"].removesuffix("-logs-dev")).read_text().splitlines()
        return "\t".join(line for line in lines if word not in line)

    def _definition(self, asked: dict[str, str], _: str) -> str:
        return QUERIES[asked["--query-definition-name-prefix"].removeprefix("query-").removesuffix("-dev")]

    def _start_query(self, asked: dict[str, str], _: str) -> str:
        lines = [json.dumps(line) for line in self.made.lines("api", "worker") if "time" in line]
        query = f"query-{len(self.results)}"
        parsed = insights.parse(asked["--query-string"])
        found = insights.run(parsed, insights.rows(lines))
        self.results[query] = [{name: row[name] for name in [*parsed.shown, *row]} for row in found]
        return query

    def _query_results(self, asked: dict[str, str], _: str) -> str:
        found = self.results[asked["--query-id"]]
        rows = [
            [{"field": name, "value": str(value)} for name, value in row.items() if value is not None] for row in found
        ]
        return json.dumps({"status": "Complete", "results": rows})

    def _modify_cluster(self, asked: dict[str, str], given: str) -> str:
        assert asked["--master-user-password"] == "file:///dev/stdin"
        self.made.set_owner_password(given)
        return "available"

    def _fail_over(self, _: dict[str, str], __: str) -> str:
        self.made.fail_over()
        return "available"

    def _put(self, asked: dict[str, str], given: str) -> str:
        text = given if asked["--secret-string"] == "file:///dev/stdin" else asked["--secret-string"]
        self.made.secrets[asked["--secret-id"]] = json.loads(text)
        if asked.get("--query") == "Name":
            return asked["--secret-id"]
        return json.dumps({"Name": asked["--secret-id"], "VersionStages": ["AWSCURRENT"]}, indent=4)


@contextlib.contextmanager
def command_line(made: Installation, folder: Path) -> Iterator[Account]:
    """Serve the account; `folder` gets the command `aws`."""
    account = Account(made)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path == "/cli":
                answer: object = self._cli(*body)
            else:  # the admin task, whose role may write one secret
                assert self.headers["X-Amz-Target"] == "secretsmanager.PutSecretValue"
                assert body["SecretId"] == _LIVE_KEY
                made.secrets["live-api-key-dev"] = json.loads(body["SecretString"])
                answer = {}
            data = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def _cli(self, words: list[str], given: str) -> tuple[int, str]:
            try:
                return 0, f"{account.call(words, given)}\n"
            except Exception as error:  # noqa: BLE001 - the operator sees it, and the test fails
                return 254, f"aws {' '.join(words)}: {error!r}\n"

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    url = f"http://127.0.0.1:{server.server_port}"
    made.admin = {"AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "HOME": str(folder)}
    program = folder / "aws"
    program.write_text(_CLI.format(python=sys.executable, url=url))
    program.chmod(0o755)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield account
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def environment(made: Installation, folder: Path) -> dict[str, str]:
    """What a shell with the account's credentials has."""
    path = f"{folder}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {"PATH": path, "HOME": str(folder), "URL": made.url, "KEY": made.key, "CA": ""}
