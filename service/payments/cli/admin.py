"""Administrators' commands: `payments merchant create`, `payments key create|rotate|revoke`.

They are the only way to a first API key, and every act is in the audit log. A key is delivered to `--to` before it is
committed, so no key exists that nobody has. In the cloud it goes to a secret, never to the output, which is logged.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from payments.cli import common
from payments.cli.common import EXIT_OK, CommandError
from payments.cli.secret_destinations import DESTINATION_HELP, Deliver, destination
from payments.core.settings import Settings
from payments.domain.api_keys import ALL_SCOPES, DEFAULT_OVERLAP, MAX_OVERLAP, Scope
from payments.domain.ids import Prefix, new_id
from payments.repositories import api_keys, audit, database
from payments.repositories.database import Connection
from payments.services import api_keys as use_cases
from payments.services.context import Context

_ALL = "all"
_MAX_FEE = 10_000


def add_merchant_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `merchant`."""
    actions = parser.add_subparsers(dest="action", required=True)
    create = actions.add_parser("create", help="create a merchant, for test and live mode")
    create.add_argument("--name", required=True)
    create.add_argument(
        "--fee-basis-points", type=int, default=290, help="the platform's share of captured amounts (default: 290)"
    )
    common.add_actor_argument(create)


def add_key_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `key`."""
    actions = parser.add_subparsers(dest="action", required=True)
    create = actions.add_parser("create", help="create an API key")
    create.add_argument("--merchant", required=True, help="the merchant's ID")
    create.add_argument("--mode", required=True, choices=["test", "live"])
    create.add_argument("--name", required=True)
    create.add_argument("--scopes", default=_ALL, help=f"comma-separated, or {_ALL}: {', '.join(sorted(ALL_SCOPES))}")
    create.add_argument("--expires-in-days", type=int, help="default: never expires")
    create.add_argument("--to", required=True, help=DESTINATION_HELP)
    common.add_actor_argument(create)
    rotate = actions.add_parser("rotate", help="replace an API key with a new one")
    rotate.add_argument("key", help="the key's ID (key_...)")
    rotate.add_argument(
        "--overlap-hours",
        type=float,
        default=DEFAULT_OVERLAP / timedelta(hours=1),
        help="how long the old key keeps working (default: %(default)g)",
    )
    rotate.add_argument("--to", required=True, help=DESTINATION_HELP)
    common.add_actor_argument(rotate)
    revoke = actions.add_parser("revoke", help="revoke an API key; takes effect everywhere within five seconds")
    revoke.add_argument("key", help="the key's ID (key_...)")
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


_Action = Callable[[Context, Settings, argparse.Namespace], dict[str, str]]


def _run(settings: Settings, arguments: argparse.Namespace, actions: dict[str, _Action]) -> int:
    context = common.command_context(settings, name="admin")
    common.print_result(actions[arguments.action](context, settings, arguments))
    return EXIT_OK


def _create_merchant(context: Context, _: Settings, arguments: argparse.Namespace) -> dict[str, str]:
    if not arguments.name.strip():
        raise CommandError("--name must not be empty.")
    if not 0 <= arguments.fee_basis_points <= _MAX_FEE:
        raise CommandError(f"--fee-basis-points must be from 0 to {_MAX_FEE}.")
    actor, now = common.actor(arguments), context.now()
    merchant_id = new_id(Prefix.MERCHANT, now)
    with context.database.transaction() as tx:
        api_keys.insert_merchant(
            tx, merchant_id=merchant_id, name=arguments.name, fee_basis_points=arguments.fee_basis_points
        )
        audit.record(tx, None, actor=actor, action="merchant.create", subject=merchant_id, now=now)
        tx.commit()
    return {"merchant": merchant_id}


def _create_key(context: Context, settings: Settings, arguments: argparse.Namespace) -> dict[str, str]:
    livemode = arguments.mode == "live"
    if livemode and not settings.allow_live_keys:
        raise CommandError("This environment accepts test keys only. Use --mode test, or set ALLOW_LIVE_KEYS=true.")
    days = arguments.expires_in_days
    if days is not None and days < 1:
        raise CommandError("--expires-in-days must be at least 1.")
    scopes = _scopes(arguments.scopes)
    deliver = destination(arguments.to)
    actor = common.actor(arguments)
    tenant = _Tenant(arguments.merchant, livemode)
    with context.database.transaction() as tx:
        now = database.now(tx)
        if not api_keys.merchant_exists(tx, tenant.merchant_id):
            raise CommandError("No such merchant. Create one with `payments merchant create`.")
        issued = use_cases.issue_key(
            tx,
            tenant,
            actor=actor,
            name=arguments.name,
            scopes=scopes,
            expires_at=None if days is None else now + timedelta(days=days),
            now=now,
        )
        return _deliver_and_commit(tx, tenant, issued, deliver)


def _rotate_key(context: Context, _: Settings, arguments: argparse.Namespace) -> dict[str, str]:
    overlap = timedelta(hours=arguments.overlap_hours)
    if not timedelta(0) <= overlap <= MAX_OVERLAP:
        raise CommandError(f"--overlap-hours must be from 0 to {MAX_OVERLAP // timedelta(hours=1)}.")
    deliver = destination(arguments.to)
    actor = common.actor(arguments)
    with context.database.transaction() as tx:
        tenant = _tenant_of(tx, arguments.key)
        api_keys.lock(tx, tenant, [arguments.key])
        old = api_keys.get(tx, tenant, arguments.key)
        if old is None:
            raise _no_such_key()
        issued = use_cases.replace_key(tx, tenant, old, actor=actor, overlap=overlap)
        return _deliver_and_commit(tx, tenant, issued, deliver)


def _revoke_key(context: Context, _: Settings, arguments: argparse.Namespace) -> dict[str, str]:
    actor = common.actor(arguments)
    with context.database.transaction() as tx:
        tenant = _tenant_of(tx, arguments.key)
        api_keys.lock(tx, tenant, [arguments.key])
        use_cases.revoke_key(tx, tenant, arguments.key, actor=actor)
        tx.commit()
    return {"revoked": arguments.key}


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


def _scopes(text: str) -> frozenset[Scope]:
    if text == _ALL:
        return ALL_SCOPES
    try:
        return frozenset(Scope(name.strip()) for name in text.split(","))
    except ValueError as error:
        raise CommandError(f"--scopes takes {_ALL}, or any of: {', '.join(sorted(ALL_SCOPES))}.") from error
