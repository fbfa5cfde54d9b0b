"""The change report of an environment: all of it for a reader, and a summary that fits into an approval."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.jobs.changes.exposure import broadened, opened
from pipeline.jobs.changes.resources import Change, CreateOnly, Kind, StackComparison, Template

#: CodePipeline takes 1,000 characters of an approval's text, of which others say where and from which commit.
SUMMARY_CHARACTERS = 620


@dataclass(frozen=True, kw_only=True)
class StackReport:
    """What would change in one stack."""

    stack: str
    exists: bool
    changes: Sequence[Change]
    permissions: Sequence[str]
    """Permissions that are new, one line each; those of a stack that does not exist yet are not listed."""
    openings: Sequence[str]
    """Network rules that are new, one line each; as above."""

    @classmethod
    def compare(cls, stack: str, before: Template | None, after: Template, create_only: CreateOnly) -> "StackReport":
        """Compare the deployed template (None when there is none) with the one about to be deployed."""
        old = before or {}
        comparison = StackComparison(stack=stack, before=old, after=after, create_only=create_only)
        return cls(
            stack=stack,
            exists=before is not None,
            changes=comparison.changes(),
            permissions=broadened(old, after) if before is not None else (),
            openings=opened(old, after) if before is not None else (),
        )

    def lines(self) -> list[str]:
        """The stack's part of the report."""
        if not self.exists:
            return [f"{self.stack}: new, {len(self.changes)} resources"]
        if not (self.changes or self.permissions or self.openings):
            return [f"{self.stack}: no change"]
        lines = [f"{self.stack}: {count(self.changes)}", *(f"  {change}" for change in self.changes)]
        lines += [f"  permission  {text}" for text in self.permissions]
        lines += [f"  network     {text}" for text in self.openings]
        return lines


@dataclass(frozen=True, kw_only=True)
class ChangeReport:
    """What would change in an environment."""

    environment: str
    stacks: Sequence[StackReport]
    permitted: frozenset[str] = frozenset()
    """Stateful resources whose replacement or removal the commit asks for by name."""

    @property
    def losses(self) -> list[Change]:
        """Stateful resources that would be replaced or removed."""
        return [change for stack in self.stacks for change in stack.changes if change.loses_state]

    @property
    def unpermitted(self) -> list[Change]:
        """Losses that the commit does not name."""
        return [change for change in self.losses if change.name not in self.permitted]

    def text(self) -> str:
        """The whole report."""
        lines = [line for stack in self.stacks for line in stack.lines()]
        for change in self.losses:
            verdict = "asked for by the commit" if change.name in self.permitted else "NOT asked for by the commit"
            lines.append(f"LOSES DATA  {change} - {verdict}")
        return "\n".join([f"Changes of {self.environment}", *lines]) + "\n"

    def summary(self) -> str:
        """One line for the approver: what matters most first, cut to what an approval can hold."""
        changes = [change for stack in self.stacks for change in stack.changes]
        new = [stack.stack for stack in self.stacks if not stack.exists]
        parts = [f"LOSES DATA: {', '.join(change.name for change in self.losses)}"] if self.losses else []
        replaced = [change.name for change in changes if change.kind is Kind.REPLACED and not change.loses_state]
        parts += [f"replaced: {', '.join(replaced)}"] if replaced else []
        for what, lines in (
            ("permissions broadened", [one for stack in self.stacks for one in stack.permissions]),
            ("network opened", [one for stack in self.stacks for one in stack.openings]),
        ):
            parts += [f"{what} ({len(lines)}): {'; '.join(lines)}"] if lines else []
        parts += [f"new stacks: {', '.join(new)}"] if new else []
        others = [change for change in changes if change.stack not in new]
        head = [count(others)] if others or not new else []  # "no change" would be wrong beside new stacks
        text = f"{self.environment}: " + ". ".join([*head, *parts])
        return text if len(text) <= SUMMARY_CHARACTERS else text[: SUMMARY_CHARACTERS - 22] + "... (see the report)"


def count(changes: Sequence[Change]) -> str:
    """`2 added, 1 replaced`, or `no change`."""
    numbers = Counter(change.kind for change in changes)
    return ", ".join(f"{numbers[kind]} {kind}" for kind in Kind if numbers[kind]) or "no change"
