"""The change report of an environment: the full text, and a summary that fits into an approval."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.jobs.changes.exposure import added_network_rules, broadened_permissions
from pipeline.jobs.changes.resources import ChangeKind, CreateOnly, ResourceChange, StackComparison, Template

#: CodePipeline limits the text of an approval to 1,000 characters; the rest names the environment and the commit.
SUMMARY_CHARACTERS = 620


@dataclass(frozen=True, kw_only=True)
class StackReport:
    """What would change in one stack."""

    stack: str
    exists: bool
    changes: Sequence[ResourceChange]
    #: Added permissions, one line each; not listed for a new stack.
    permissions: Sequence[str]
    #: Added network rules, one line each; not listed for a new stack.
    network_rules: Sequence[str]

    @classmethod
    def compare(cls, stack: str, before: Template | None, after: Template, create_only: CreateOnly) -> "StackReport":
        """Compare the deployed template, None for a new stack, with the one about to be deployed."""
        old = before or {}
        comparison = StackComparison(stack=stack, before=old, after=after, create_only=create_only)
        return cls(
            stack=stack,
            exists=before is not None,
            changes=comparison.changes(),
            permissions=broadened_permissions(old, after) if before is not None else (),
            network_rules=added_network_rules(old, after) if before is not None else (),
        )

    def lines(self) -> list[str]:
        """Return the stack's part of the report."""
        if not self.exists:
            return [f"{self.stack}: new, {len(self.changes)} resources"]
        if not (self.changes or self.permissions or self.network_rules):
            return [f"{self.stack}: no change"]
        lines = [f"{self.stack}: {count(self.changes)}", *(f"  {change}" for change in self.changes)]
        lines += [f"  permission  {text}" for text in self.permissions]
        lines += [f"  network     {text}" for text in self.network_rules]
        return lines


@dataclass(frozen=True, kw_only=True)
class ChangeReport:
    """What would change in an environment."""

    environment: str
    stacks: Sequence[StackReport]
    #: Stateful resources whose replacement or removal the commit message permits.
    permitted: frozenset[str] = frozenset()

    @property
    def losses(self) -> list[ResourceChange]:
        """Stateful resources that would be replaced or removed."""
        return [change for stack in self.stacks for change in stack.changes if change.loses_state]

    @property
    def unpermitted(self) -> list[ResourceChange]:
        """Losses that the commit message does not permit."""
        return [change for change in self.losses if change.name not in self.permitted]

    def text(self) -> str:
        """Return the full report."""
        lines = [line for stack in self.stacks for line in stack.lines()]
        for change in self.losses:
            verdict = "permitted by the commit" if change.name in self.permitted else "NOT permitted by the commit"
            lines.append(f"LOSES DATA  {change} - {verdict}")
        return "\n".join([f"Changes of {self.environment}", *lines]) + "\n"

    def summary(self) -> str:
        """Return one line for the approver, the most important first, cut to fit into an approval."""
        changes = [change for stack in self.stacks for change in stack.changes]
        new = [stack.stack for stack in self.stacks if not stack.exists]
        parts = [f"LOSES DATA: {', '.join(change.name for change in self.losses)}"] if self.losses else []
        replaced = [change.name for change in changes if change.kind is ChangeKind.REPLACED and not change.loses_state]
        parts += [f"replaced: {', '.join(replaced)}"] if replaced else []
        for what, lines in (
            ("permissions broadened", [one for stack in self.stacks for one in stack.permissions]),
            ("network opened", [one for stack in self.stacks for one in stack.network_rules]),
        ):
            parts += [f"{what} ({len(lines)}): {'; '.join(lines)}"] if lines else []
        parts += [f"new stacks: {', '.join(new)}"] if new else []
        others = [change for change in changes if change.stack not in new]
        head = [count(others)] if others or not new else []  # "no change" would be wrong if there are new stacks
        text = f"{self.environment}: " + ". ".join([*head, *parts])
        return text if len(text) <= SUMMARY_CHARACTERS else text[: SUMMARY_CHARACTERS - 22] + "... (see the report)"


def count(changes: Sequence[ResourceChange]) -> str:
    """Return the number of changes by kind: `2 added, 1 replaced`, or `no change`."""
    numbers = Counter(change.kind for change in changes)
    return ", ".join(f"{numbers[kind]} {kind}" for kind in ChangeKind if numbers[kind]) or "no change"
