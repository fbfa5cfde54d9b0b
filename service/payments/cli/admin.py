"""Administrators' commands: `payments merchant create`, `payments key create|rotate|revoke`.

They are the only way to a first API key, and every act is in the audit log. A key is delivered to `--to` before it is
committed, so no key exists that nobody has. In the cloud it goes to a secret, never to the output, which is logged.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from payments.cli import common, options
from payments.cli.common import EXIT_OK, CommandError
from payments.cli.secret_destinations import DESTINATION_HELP, Deliver, destination
from payments.core.settings import Settings
from payments.domain.api_keys import ALL_SCOPES, DEFAULT_OVERLAP, MAX_OVERLAP
from payments.domain.ids import Prefix, new_id
from payments.repositories import api_keys, audit, database
from payments.repositories.connection import Connection
from payments.services import api_keys as use_cases
from payments.services.context import Context

_MAX_FEE = 10_000
#: A hundred years.
_MAX_DAYS = 36_500


def add_merchant_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `merchant`."""
    actions = parser.add_subparsers(dest="action", required=True)
    create = actions.add_parser("create", help="create a merchant, for test and live mode")
    create.add_argument("--name", required=True, type=options.text(options.MAX_NAME))
    create.add_argument(
        "--fee-basis-points",
        type=options.whole_number(0, _MAX_FEE),
        default=290,
        help="the platform's share of captured amounts (default: 290)",
    )
    common.add_actor_argument(create)


def add_key_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `key`."""
    actions = parser.add_subparsers(dest="action", required=True)
    create = actions.add_parser("create", help="create an API key")
    create.add_argument(
        "--merchant", required=True, type=options.identifier("mer", "a merchant's ID"), help="the merchant's ID"
    )
    create.add_argument("--mode", required=True, choices=["test", "live"])
    create.add_argument("--name", required=True, type=options.text(options.MAX_NAME))
    create.add_argument(
        "--scopes",
        type=options.scopes,
        default=options.ALL,
        help=f"comma-separated, or {options.ALL}: {', '.join(sorted(ALL_SCOPES))}",
    )
    create.add_argument("--expires-in-days", type=options.whole_number(1, _MAX_DAYS), help="default: never expires")
    create.add_argument("--to", required=True, help=DESTINATION_HELP)
    common.add_actor_argument(create)
    rotate = actions.add_parser("rotate", help="replace an API key with a new one")
    key_id = options.identifier(Prefix.API_KEY, "a key's ID, not the key itself")
    rotate.add_argument("key", type=key_id, help="the key's ID (key_...)")
    rotate.add_argument(
        "--overlap-hours",
        type=options.hours(MAX_OVERLAP),
        default=DEFAULT_OVERLAP,
        help=f"how long the old key keeps working (default: {DEFAULT_OVERLAP // timedelta(hours=1)})",
    )
    rotate.add_argument("--to", required=True, help=DESTINATION_HELP)
    common.add_actor_argument(rotate)
    revoke = actions.add_parser("revoke", help="revoke an API key; takes effect everywhere within five seconds")
    revoke.add_argument("key", type=key_id, help="the key's ID (key_...)")
    common.add_actor_argument(revoke)


def merchant(settings: Settings, arguments: argparse.Namespace) -> int:
    """Run `merchant`."""
    return _run(settings, arguments, {"create": _create_merchant})


def key(settings: Settings, arguments: argparse.Namespace) -> int:
    """Run `key`."""
    return _run(settings, arguments, {"create": _create_key, "rotate": _rotate_key, "revoke": _revoke_key})


@dataclass(frozen=True)
class _Tenant:
    merchant_id: str
    livemode: bool


@dataclass(frozen=True, kw_only=True)
class _Call:
    """A command whose arguments have been checked, with a connection."""

    context: Context
    arguments: argparse.Namespace
    actor: str
    #: Where a key goes; commands that make none never call it.
    deliver: Deliver


_Action = Callable[[_Call], dict[str, str]]


def _run(settings: Settings, arguments: argparse.Namespace, actions: dict[str, _Action]) -> int:
    deliver = destination(arguments.to) if "to" in arguments else common.print_result
    actor = common.actor(arguments)
    if getattr(arguments, "mode", "test") == "live" and not settings.allow_live_keys:
        raise CommandError("This environment accepts test keys only. Use --mode test, or set ALLOW_LIVE_KEYS=true.")
    with common.command_context(settings, name="admin") as context:
        call = _Call(context=context, arguments=arguments, actor=actor, deliver=deliver)
        done = actions[arguments.action](call)
    common.print_result(done)
    return EXIT_OK


def _create_merchant(call: _Call) -> dict[str, str]:
    arguments, now = call.arguments, call.context.now()
    merchant_id = new_id(Prefix.MERCHANT, now)
    with call.context.database.transaction() as tx:
        api_keys.insert_merchant(
            tx, merchant_id=merchant_id, name=arguments.name, fee_basis_points=arguments.fee_basis_points
        )
        audit.record(tx, None, actor=call.actor, action="merchant.create", subject=merchant_id, now=now)
        tx.commit()
    return {"merchant": merchant_id}


def _create_key(call: _Call) -> dict[str, str]:
    arguments, days = call.arguments, call.arguments.expires_in_days
    tenant = _Tenant(arguments.merchant, arguments.mode == "live")
    with call.context.database.transaction() as tx:
        if not api_keys.merchant_exists(tx, tenant.merchant_id):
            raise CommandError("No such merchant. Create one with `payments merchant create`.")
        now = database.now(tx)
        issued = use_cases.issue_key(
            tx,
            tenant,
            actor=call.actor,
            name=arguments.name,
            scopes=arguments.scopes,
            expires_at=None if days is None else now + timedelta(days=days),
            now=now,
        )
        return _deliver_and_commit(tx, tenant, issued, call.deliver)


def _rotate_key(call: _Call) -> dict[str, str]:
    arguments = call.arguments
    with call.context.database.transaction() as tx:
        tenant = _tenant_of(tx, arguments.key)
        api_keys.lock(tx, tenant, [arguments.key])
        old = api_keys.get(tx, tenant, arguments.key)
        if old is None:
            raise _no_such_key()
        issued = use_cases.replace_key(tx, tenant, old, actor=call.actor, overlap=arguments.overlap_hours)
        return _deliver_and_commit(tx, tenant, issued, call.deliver)


def _revoke_key(call: _Call) -> dict[str, str]:
    key_id = call.arguments.key
    with call.context.database.transaction() as tx:
        tenant = _tenant_of(tx, key_id)
        api_keys.lock(tx, tenant, [key_id])
        use_cases.revoke_key(tx, tenant, key_id, actor=call.actor)
        tx.commit()
    return {"revoked": key_id}


def _deliver_and_commit(
    tx: Connection, tenant: _Tenant, issued: use_cases.IssuedKey, deliver: Deliver
) -> dict[str, str]:
    deliver({"api_key": issued.token, "id": issued.key.id, "merchant": tenant.merchant_id})
    tx.commit()
    return {"key": issued.key.id, "merchant": tenant.merchant_id}


def _tenant_of(tx: Connection, key_id: str) -> _Tenant:
    stored = api_keys.load(tx, key_id)
    if stored is None:
        raise _no_such_key()
    return _Tenant(stored.merchant_id, stored.livemode)


def _no_such_key() -> CommandError:
    return CommandError("No such API key. Pass the key's ID (key_...), not the key itself.")
