"""Imports go in one direction: `pipeline` from `stages`, both from `kit`, and later stacks from earlier ones."""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
#: Package or folder to what it may import of this repository; the most specific entry counts.
ALLOWED: Mapping[str, set[str]] = {
    "app.py": {"kit", "pipeline", "stages"},
    "benchmarks": {"benchmarks", "rehearsal"},
    "benchmarks/capacity": {"benchmarks/capacity", "stages/config"},  # draws the model that the stacks read
    "benchmarks/denominators": {"benchmarks", "service"},  # a bare view on the service's own server
    "integ": {"integ"},
    "kit": {"kit"},
    "kit/handlers": set(),  # inlined into templates
    "local": {"local", "rehearsal"},
    "operations": {"operations"},
    # All that the pipeline knows of the application.
    "pipeline": {"kit", "pipeline", "stages/config", "stages/payment_stage.py"},
    "pipeline/handlers": set(),
    "pipeline/jobs": {"pipeline/jobs"},  # packed for later steps without the rest
    "rehearsal": {"rehearsal"},
    "service": {"service"},
    "stages": {"kit", "stages"},
    "stages/config": {"kit", "stages/config"},
    "stages/network": {"kit", "stages/config", "stages/network"},
    "stages/database": {"kit", "stages/config", "stages/network", "stages/database"},
    "stages/service": {"kit", "stages/config", "stages/network", "stages/database", "stages/service"},
    "stages/monitoring": {"kit", "stages/config", "stages/service", "stages/monitoring"},
    "tools": {"tools"},
    "tools/pictures": {"service/payments/domain", "tools/pictures"},
}


@pytest.fixture(scope="module")
def imports() -> Mapping[str, list[str]]:
    """Each Python file of the repository, except tests, and the files that it imports."""
    command = [str(Path(sys.executable).with_name("ruff")), "analyze", "graph", "--quiet"]
    output = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    return {file: found for file, found in json.loads(output).items() if not file.startswith("tests/")}


def is_allowed(file: str, imported: str) -> bool:
    """Whether the table allows a file to import another one."""
    keys = ["/".join(file.split("/")[:2]), file.split("/")[0]]
    allowed = next(ALLOWED[key] for key in keys if key in ALLOWED)
    return any(imported == prefix or imported.startswith(f"{prefix}/") for prefix in allowed)


def test_every_package_is_in_the_table(imports: Mapping[str, list[str]]) -> None:
    packages = {file.split("/")[0] for file in imports}
    assert {key.split("/")[0] for key in ALLOWED} == packages, "add new packages, with what they may import"


def test_imports_go_in_one_direction(imports: Mapping[str, list[str]]) -> None:
    wrong = [(file, other) for file, others in imports.items() for other in others if not is_allowed(file, other)]
    assert wrong == []
    assert "kit/naming.py" in imports["pipeline/config.py"], "imports are resolved"


@pytest.mark.parametrize(
    ("file", "imported"),
    [
        ("kit/naming.py", "stages/config/names.py"),
        ("kit/handlers/custom_resources.py", "kit/naming.py"),
        ("stages/config/names.py", "stages/payment_stage.py"),
        ("stages/network/vpc.py", "stages/service/stack.py"),
        ("pipeline/roles.py", "stages/network/vpc.py"),
        ("pipeline/jobs/trust.py", "kit/policies.py"),
        ("operations/order.py", "kit/naming.py"),
        ("rehearsal/cli/rehearse.py", "local/serve.py"),
    ],
    ids=lambda path: Path(path).stem,
)
def test_a_wrong_import_is_detected(file: str, imported: str) -> None:
    assert not is_allowed(file, imported)


def test_what_mypy_skips_is_imported_nowhere() -> None:
    """A name from a module that mypy does not read has no type, and nothing would say so."""
    every, *normal = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["mypy"]["overrides"]
    assert (every["module"], every["follow_imports"]) == ("aws_cdk.*", "skip")
    followed = {module.split(".")[1] for entry in normal for module in entry["module"] if "." in module}
    spec = find_spec("aws_cdk")
    assert spec is not None
    skipped = {file.parent.name for file in Path(str(spec.origin)).parent.glob("*/__init__.py")} - followed
    assert len(skipped) > 200
    files = subprocess.run(["git", "ls-files", "*.py"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    texts = [text for file in files.split() if "aws_cdk" in (text := (PROJECT / file).read_text())]
    assert not skipped & {word for text in texts for word in re.findall(r"\w+", text)}
