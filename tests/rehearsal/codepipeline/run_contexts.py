"""Contexts to execute single actions in."""

import threading
from pathlib import Path

from rehearsal.codepipeline.artifacts import Artifacts
from rehearsal.codepipeline.run_context import RunContext
from rehearsal.codepipeline.variables import Variables


def run_context(folder: Path, *, stage: str = "Stage", log: str = "log") -> RunContext:
    """Return the context of an action whose artifacts and log are in a folder."""
    return RunContext(
        stage=stage,
        execution_id="execution",
        artifacts=Artifacts(folder / "artifacts"),
        variables=Variables({"SourceRevision": "c0ffee"}),
        log=folder / log,
        progress=lambda _: None,
        cancelled=threading.Event(),
    )
