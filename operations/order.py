"""The order in which stacks can be deleted."""

import itertools
from collections.abc import Iterable, Mapping

from operations.installation import Stack


def deletion_order(stacks: Iterable[Stack]) -> dict[str, set[str]]:
    """Return for each stack (by id) the stacks that must be deleted before it.

    Importing stacks come before exporting ones. Within an environment the newest stack comes first, since stacks also
    refer to each other by name. Environments are independent of each other. PipelineStack comes after every
    environment, since it could recreate them, and its replicas in other regions come last.
    """
    by_id = {stack.id: stack for stack in stacks}
    first = {stack.id: _importers(stack, by_id) for stack in by_id.values()}
    pipelines = {stack.id for stack in by_id.values() if stack.has_pipeline}
    environment_stacks = {stack.id for stack in by_id.values() if stack.environment is not None}
    for environment in {by_id[stack_id].environment for stack_id in environment_stacks}:
        members = [by_id[one] for one in environment_stacks if by_id[one].environment == environment]
        chain = _newest_first(members, first)
        for earlier, later in itertools.pairwise(chain):
            first[later].add(earlier)
    for stack_id in by_id.keys() - environment_stacks:
        first[stack_id] |= environment_stacks
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
    """Return the stacks of one environment, newest first as far as their imports allow."""
    remaining = sorted(stacks, key=lambda stack: (stack.created, stack.name), reverse=True)
    ordered: list[str] = []
    while remaining:
        remaining_ids = {stack.id for stack in remaining}
        # Imports cannot be circular; the fallback is for a template that could not be read.
        ready = next((stack for stack in remaining if not first[stack.id] & remaining_ids), remaining[0])
        remaining.remove(ready)
        ordered.append(ready.id)
    return ordered
