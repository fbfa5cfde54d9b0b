"""CloudFormation handlers for what the emulator lacks, one module per AWS service."""

from pathlib import Path


def register(*, records: Path, port: int, control_url: str | None) -> None:
    """Add our handlers to the emulator; called once, before it serves."""
