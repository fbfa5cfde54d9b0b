"""In which order stacks can be deleted."""

import itertools
from collections.abc import Iterable, Mapping

from operations.installation import Stack


def deletion_order(stacks: Iterable[Stack]) -> dict[str, set[str]]:
    """Return for each stack (by id) the stacks that have to be gone before it is deleted.

    Who imports goes before whom it imports from. Within an environment the newest goes first, since stacks also know
    each other by name. Environments are independent of one another. A PipelineStack goes after every environment, for
    it is what could make them again, and what serves the pipeline in other regions goes last.
    """
    by_id = {stack.id: stack for stack in stacks}
    first = {stack.id: _importers(stack, by_id) for stack in by_id.values()}
    pipelines = {stack.id for stack in by_id.values() if stack.has_pipeline}
    staged = {stack.id for stack in by_id.values() if stack.environment is not None}
    for environment in {by_id[stack_id].environment for stack_id in staged}:
        chain = _newest_first([by_id[one] for one in staged if by_id[one].environment == environment], first)
        for earlier, later in itertools.pairwise(chain):
            first[later].add(earlier)
    for stack_id in by_id.keys() - staged:
        first[stack_id] |= staged
        if stack_id not in pipelines:
            first[stack_id] |= pipelines
    return first


def _importers(stack: Stack, by_id: Mapping[str, Stack]) -> set[str]:
    return {
        other.id
        for other in by_id.values()
        if other.id != stack.id and other.region == stack.region and other.imports & stack.exports
    }


def _newest_first(stacks: list[Stack], first: Mapping[str, set[str]]) -> list[str]:
    """Return the stacks of one environment in an order that its imports allow, otherwise newest first."""
    waiting = sorted(stacks, key=lambda stack: (stack.created, stack.name), reverse=True)
    ordered: list[str] = []
    while waiting:
        open_ids = {stack.id for stack in waiting}
        # Imports cannot run in a circle; the fallback is for a template that could not be read.
        ready = next((stack for stack in waiting if not first[stack.id] & open_ids), waiting[0])
        waiting.remove(ready)
        ordered.append(ready.id)
    return ordered
