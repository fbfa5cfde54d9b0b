"""Imports go in one direction: `pipeline` from `stages`, both from `kit`, and later stacks from earlier ones."""

import ast
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
#: Package, folder or module to what it may import of this repository; the most specific entry counts.
ALLOWED: Mapping[str, set[str]] = {
    "app": {"kit", "pipeline", "stages"},
    "integ": {"integ"},
    "kit": {"kit"},
    "kit/handlers": set(),  # inlined into templates
    "operations": {"operations"},
    "payments": {"payments"},
    # All that the pipeline knows of the application.
    "pipeline": {"kit", "pipeline", "stages/config", "stages/payment_stage"},
    "pipeline/handlers": set(),
    "pipeline/jobs": {"pipeline/jobs"},  # packed for later steps without the rest
    "rehearsal": {"rehearsal"},
    "stages": {"kit", "stages"},
    "tools": {"tools"},
    "stages/network": {"kit", "stages/config", "stages/network"},
    "stages/database": {"kit", "stages/config", "stages/network", "stages/database"},
    "stages/service": {"kit", "stages/config", "stages/network", "stages/database", "stages/service"},
    "stages/monitoring": {"kit", "stages/config", "stages/service", "stages/monitoring"},
}


def modules() -> dict[str, Path]:
    """Every module of the repository except tests and migrations, such as `stages/network/vpc`."""
    files = subprocess.run(["git", "ls-files", "*.py"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    return {
        file.removesuffix(".py").removeprefix("service/").removesuffix("/__init__"): PROJECT / file
        for file in files.splitlines()
        if not file.startswith(("tests/", "service/migrations/"))
    }


MODULES = modules()
PACKAGES = {module.split("/")[0] for module in MODULES}


def imports(source: str) -> Iterator[str]:
    """The modules of the repository that a source file imports."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in (name.replace(".", "/") for name in names):
            if name.split("/")[0] in PACKAGES:
                yield name if name in MODULES else name.rpartition("/")[0]


def violations(module: str, source: str) -> list[str]:
    """Imports of a module that the table does not allow."""
    package, folder = module.split("/")[0], "/".join(module.split("/")[:2])
    allowed = ALLOWED.get(folder, ALLOWED.get(package, set()))
    return [
        f"{module} imports {name}"
        for name in imports(source)
        if not any(f"{name}/".startswith(f"{prefix}/") for prefix in allowed)
    ]


def test_every_package_is_in_the_table() -> None:
    assert {key.split("/")[0] for key in ALLOWED} == PACKAGES, "add new packages, with what they may import"


def test_imports_go_in_one_direction() -> None:
    assert [found for module, path in MODULES.items() for found in violations(module, path.read_text())] == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("kit/naming", "from stages.config import EnvironmentConfig"),
        ("kit/handlers/custom_resources", "from kit.naming import Names"),
        ("stages/config", "import pipeline.config"),
        ("stages/network/vpc", "from stages.service.stack import ServiceStack"),
        ("stages/service/metrics", "from stages.monitoring import dashboard"),
        ("pipeline/roles", "from stages.network.vpc import CIDR"),
        ("pipeline/jobs/trust", "from kit import policies"),
        ("operations/order", "from kit.naming import PROJECT"),
        ("rehearsal/rehearse", "from payments import metrics"),
    ],
)
def test_a_wrong_import_is_detected(module: str, source: str) -> None:
    assert len(violations(module, source)) == 1
