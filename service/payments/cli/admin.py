"""Commands of administrators: `payments merchant create`, `payments key create|rotate|revoke`.

The only way to a first key. Each act is in the audit log. A key goes to where `--to` says before it is committed, so
that no key exists that nobody has; in the cloud that is a secret, never the output, which is kept in a log.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from payments.cli import common as commands
from payments.cli.common import EXIT_FINE, CommandRefused
from payments.cli.secret_destinations import HELP, Write, destination
from payments.core.settings import Settings
from payments.domain.api_keys import ALL_SCOPES, DEFAULT_OVERLAP, MAX_OVERLAP, Scope
from payments.domain.ids import Prefix, new_id
from payments.repositories import api_keys, audit
from payments.repositories.database import Connection
from payments.services import api_keys as use_cases
from payments.services.context import Context

_ALL = "all"
_MAX_FEE = 10_000


def add_merchant_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `merchant`."""
    actions = parser.add_subparsers(dest="action", required=True)
    create = actions.add_parser("create", help="make a merchant, in both modes")
    create.add_argument("--name", required=True)
    create.add_argument("--fee-basis-points", type=int, default=290, help="the platform's share of what is captured")
    commands.add_actor_argument(create)


def add_key_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `key`."""
    actions = parser.add_subparsers(dest="action", required=True)
    create = actions.add_parser("create", help="make an API key")
    create.add_argument("--merchant", required=True, help="id of the merchant")
    create.add_argument("--mode", required=True, choices=["test", "live"])
    create.add_argument("--name", required=True)
    create.add_argument("--scopes", default=_ALL, help=f"comma-separated, or {_ALL}: {', '.join(sorted(ALL_SCOPES))}")
    create.add_argument("--expires-in-days", type=int, help="never if not given")
    create.add_argument("--to", required=True, help=HELP)
    commands.add_actor_argument(create)
    rotate = actions.add_parser("rotate", help="put a new key in the place of one")
    rotate.add_argument("key", help="id of the key (key_...)")
    rotate.add_argument("--overlap-hours", type=float, default=DEFAULT_OVERLAP / timedelta(hours=1))
    rotate.add_argument("--to", required=True, help=HELP)
    commands.add_actor_argument(rotate)
    revoke = actions.add_parser("revoke", help="end a key, within five seconds everywhere")
    revoke.add_argument("key", help="id of the key (key_...)")
    commands.add_actor_argument(revoke)


def merchant(settings: Settings, arguments: argparse.Namespace) -> int:
    """Run `merchant`."""
    return _run(settings, arguments, {"create": _create_merchant})


def key(settings: Settings, arguments: argparse.Namespace) -> int:
    """Run `key`."""
    return _run(settings, arguments, {"create": _create_key, "rotate": _rotate_key, "revoke": _revoke_key})


@dataclass(frozen=True)
class _Tenant:
    """A merchant in a mode."""

    merchant_id: str
    livemode: bool


_Action = Callable[[Context, Settings, argparse.Namespace], dict[str, str]]


def _run(settings: Settings, arguments: argparse.Namespace, actions: dict[str, _Action]) -> int:
    """Carry out the action and print what came of it."""
    commands.show(actions[arguments.action](commands.context(settings, name="admin"), settings, arguments))
    return EXIT_FINE


def _create_merchant(context: Context, _: Settings, arguments: argparse.Namespace) -> dict[str, str]:
    if not arguments.name.strip() or not 0 <= arguments.fee_basis_points <= _MAX_FEE:
        raise CommandRefused(f"--name must not be empty, --fee-basis-points must be from 0 to {_MAX_FEE}.")
    by, now = commands.actor(arguments), context.now()
    merchant_id = new_id(Prefix.MERCHANT, now)
    with context.database.transaction() as tx:
        api_keys.insert_merchant(
            tx, merchant_id=merchant_id, name=arguments.name, fee_basis_points=arguments.fee_basis_points
        )
        audit.record(tx, None, actor=by, action="merchant.create", subject=merchant_id, now=now)
        tx.commit()
    return {"merchant": merchant_id}


def _create_key(context: Context, settings: Settings, arguments: argparse.Namespace) -> dict[str, str]:
    livemode = arguments.mode == "live"
    if livemode and not settings.allow_live_keys:
        raise CommandRefused("This environment accepts test keys only. Use --mode test, or set ALLOW_LIVE_KEYS=true.")
    days = arguments.expires_in_days
    if days is not None and days < 1:
        raise CommandRefused("--expires-in-days must be at least 1.")
    scopes = _scopes(arguments.scopes)
    write = destination(arguments.to)
    by, now = commands.actor(arguments), context.now()
    tenant = _Tenant(arguments.merchant, livemode)
    with context.database.transaction() as tx:
        if not api_keys.merchant_exists(tx, tenant.merchant_id):
            raise CommandRefused("There is no such merchant. See `payments merchant create`.")
        made = use_cases.issue(
            tx,
            tenant,
            actor=by,
            name=arguments.name,
            scopes=scopes,
            expires_at=None if days is None else now + timedelta(days=days),
            now=now,
        )
        return _hand_over(tx, tenant, made, write)


def _rotate_key(context: Context, _: Settings, arguments: argparse.Namespace) -> dict[str, str]:
    overlap = timedelta(hours=arguments.overlap_hours)
    if not timedelta(0) <= overlap <= MAX_OVERLAP:
        raise CommandRefused(f"--overlap-hours must be from 0 to {MAX_OVERLAP // timedelta(hours=1)}.")
    write = destination(arguments.to)
    by = commands.actor(arguments)
    with context.database.transaction() as tx:
        tenant = _tenant_of(tx, arguments.key)
        old = api_keys.get(tx, tenant, arguments.key, lock=True)
        if old is None:
            raise _no_such_key()
        made = use_cases.renew(tx, tenant, old, actor=by, overlap=overlap, now=context.now())
        return _hand_over(tx, tenant, made, write)


def _revoke_key(context: Context, _: Settings, arguments: argparse.Namespace) -> dict[str, str]:
    by = commands.actor(arguments)
    with context.database.transaction() as tx:
        tenant = _tenant_of(tx, arguments.key)
        use_cases.end(tx, tenant, arguments.key, actor=by, now=context.now())
        tx.commit()
    return {"revoked": arguments.key}


def _hand_over(tx: Connection, tenant: _Tenant, made: use_cases.IssuedKey, write: Write) -> dict[str, str]:
    """Leave the key where it was asked for, then commit: no key exists that nobody has."""
    write({"api_key": made.token, "id": made.key.id, "merchant": tenant.merchant_id})
    tx.commit()
    return {"key": made.key.id, "merchant": tenant.merchant_id}


def _tenant_of(tx: Connection, key_id: str) -> _Tenant:
    stored = api_keys.load(tx, key_id)
    if stored is None:
        raise _no_such_key()
    return _Tenant(stored.merchant_id, stored.livemode)


def _no_such_key() -> CommandRefused:
    return CommandRefused("There is no such API key. Give its id (key_...), not the key itself.")


def _scopes(text: str) -> frozenset[Scope]:
    if text == _ALL:
        return ALL_SCOPES
    try:
        return frozenset(Scope(name.strip()) for name in text.split(","))
    except ValueError as error:
        raise CommandRefused(f"--scopes must be {_ALL} or some of: {', '.join(sorted(ALL_SCOPES))}.") from error
