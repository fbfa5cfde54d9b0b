"""The rule packs check the whole app, and every finding is accepted with a reason."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kit.findings import AcceptedFinding, accepted_findings, is_scanner_rule
from kit.security_table import BEGIN, END, main, render, stage_paths, update
from tests.stages.model import PROJECT

PACKS = {"AwsSolutions", "NIST.800.53.R5", "PCI.DSS.321"}


def findings(assembly: Path) -> set[tuple[str, str]]:
    """(construct path, rule) of every finding in the validation report."""
    report = json.loads((assembly / "validation-report.json").read_text())
    return {
        (construct["constructPath"], violation["ruleName"])
        for plugin in report["pluginReports"]
        for violation in plugin["violations"]
        for construct in violation["violatingConstructs"]
    }


def test_all_packs_run(whole_app: Path) -> None:
    report = json.loads((whole_app / "validation-report.json").read_text())
    assert {plugin["pluginName"] for plugin in report["pluginReports"] if plugin["conclusion"] == "failure"} == PACKS


def test_the_packs_check_pipeline_and_environments(whole_app: Path) -> None:
    """Plug-ins of a stack do not see the stacks inside its stages, so they are added to the app."""
    paths = [path for path, _ in findings(whole_app)]
    stages = stage_paths(whole_app)
    assert len(stages) == 2
    for stage in stages:
        assert any(path.startswith(f"{stage}/") for path in paths)
    assert any(not path.startswith(tuple(stages)) for path in paths)


def paths_of_stacks(manifest: dict[str, Any]) -> set[str]:
    return {
        each["displayName"].split(" ")[0]
        for each in manifest["artifacts"].values()
        if each["type"] == "aws:cloudformation:stack"
    }


def test_every_finding_is_accepted(whole_app: Path) -> None:
    reasons = list(accepted_findings(whole_app))
    assert [finding for finding in findings(whole_app) if not any(each.covers(*finding) for each in reasons)] == []


def test_every_acceptance_is_needed(whole_app: Path) -> None:
    found = findings(whole_app)
    # The scanner's gate checks its own.
    of_the_packs = [each for each in accepted_findings(whole_app) if not is_scanner_rule(each.rule)]
    unused = [each for each in of_the_packs if not any(each.covers(*finding) for finding in found)]
    assert unused == [], "remove acceptances that are no longer needed"


def test_acceptances_are_specific_and_have_a_reason(whole_app: Path) -> None:
    stacks = {
        stack for file in whole_app.rglob("manifest.json") for stack in paths_of_stacks(json.loads(file.read_text()))
    }
    assert len(stacks) == 9
    for each in accepted_findings(whole_app):
        assert not any(f"{stack}/".startswith(f"{each.path}/") for stack in stacks), f"{each.path} covers a whole stack"
        assert len(each.reason) >= 40, f"{each.rule} on {each.path}: {each.reason}"


def test_the_security_document_is_up_to_date(whole_app: Path, tmp_path: Path) -> None:
    document = PROJECT / "docs" / "security.md"
    copy = tmp_path / "security.md"
    copy.write_text(document.read_text())
    main([str(whole_app), str(copy)])
    assert copy.read_text() == document.read_text(), "run python -m tests.stages.refresh"


def test_cfn_lint_finds_nothing(assembly: Path) -> None:
    """With a domain, and in the stacks that canary deployments change; the gate lints the app with certificate ARNs."""
    patterns = ("assembly-Prod/*.template.json", "assembly-Canary/Canary[NS]e*.template.json")  # Network, Service
    templates = [str(path) for pattern in patterns for path in sorted(assembly.glob(pattern))]
    assert len(templates) == 6
    lint = Path(sys.executable).with_name("cfn-lint")
    found = subprocess.run([lint, "--non-zero-exit-code", "informational", *templates], capture_output=True, text=True)
    assert (found.returncode, found.stdout) == (0, "")


def test_environments_share_rows_and_bars_are_escaped() -> None:
    rows = [
        AcceptedFinding(path=f"{stage}/Network/Vpc", rule=rule, reason="a | b")
        for stage in ("PipelineStack/Dev", "PipelineStack/Prod")
        for rule in ("R1", "R2[Resource::<Bucket12AB.Arn>/*]")
    ]
    text = render(rows, ["PipelineStack/Dev", "PipelineStack/Prod"])
    assert "| `PaymentStage/Network/Vpc` | `R1`, `R2[Resource::<…Arn>/*]` | a \\| b |" in text
    assert text.startswith("2 findings are accepted")


def test_a_document_without_markers_is_rejected() -> None:
    with pytest.raises(ValueError, match="must contain the lines"):
        update("# Security\n", "table")
    assert update(f"a\n{BEGIN}\nold\n{END}\nb\n", "new") == f"a\n{BEGIN}\n\nnew\n\n{END}\nb\n"
