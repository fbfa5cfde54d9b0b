"""The seams where `ministack` (untyped) is entered; nothing else in this repository imports it.

Only four of its internals are relied on: the ASGI application, the table of CloudFormation resource handlers,
the predicate that moves blocking handlers to a thread of their own, and the account and region of a request.
`tests/rehearsal/emulator` fails when a new version moves any of them.
"""

import importlib
from collections.abc import Callable, Iterable
from typing import Any


def application() -> Any:
    """Return the ASGI application that serves every emulated API."""
    return importlib.import_module("ministack.app").app


def account_id() -> str:
    """Return the account that the current request or stack operation works in."""
    return str(importlib.import_module("ministack.core.responses").get_account_id())


def region() -> str:
    """Return the region that the current request or stack operation works in."""
    return str(importlib.import_module("ministack.core.responses").get_region())


def resource_handlers() -> dict[str, dict[str, Any]]:
    """CloudFormation resource type -> its `create`, `update`, `delete` functions; changes take effect at once."""
    table: dict[str, dict[str, Any]] = importlib.import_module(
        "ministack.services.cloudformation.provisioners"
    )._RESOURCE_HANDLERS
    return table


def run_on_worker_threads(types: Iterable[str]) -> None:
    """Have the handlers of these types run on threads of their own, where they may block and call the emulator."""
    stacks: Any = importlib.import_module("ministack.services.cloudformation.stacks")
    original: Callable[[str], bool] = stacks._runs_on_worker_thread
    ours = frozenset(types)

    def runs_on_worker_thread(resource_type: str) -> bool:
        return resource_type in ours or original(resource_type)

    stacks._runs_on_worker_thread = runs_on_worker_thread
