"""At most one execution per Idempotency-Key, and the same answer for every repetition."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from payments.core.problems import IdempotencyMismatch, RequestInProgress
from payments.domain.operations import KEY_LEASE, CallKind, TenantScope
from payments.observability import logs
from payments.repositories import idempotency, payments
from payments.repositories.database import Connection, Database
from payments.services.presentation import dumps, payment_json, refund_json

_ACCEPTED = 202


@dataclass(frozen=True, kw_only=True)
class IdempotentRequest:
    """What identifies a request among its repetitions."""

    #: SHA-256 of the key.
    key_hash: bytes
    #: SHA-256 of method, path and canonical body before defaults.
    fingerprint: bytes
    #: Id of this very request: quoted in a stored problem, finds the log of the execution.
    request_id: str


@dataclass(frozen=True, kw_only=True)
class ApiResponse:
    """A status and a JSON body, as text so that a replay is the same to the byte."""

    status: int
    body: str
    replayed: bool = False


def claim_or_replay(
    tx: Connection,
    tenant: TenantScope,
    request: IdempotentRequest,
    *,
    payment_id: str | None = None,
    operation_id: str | None = None,
) -> ApiResponse | None:
    """``None`` if the request is the first of its key, which it now owns; else the answer of the first.

    The identifiers are those of what the first makes: its repetitions are told their state.

    Raises:
        IdempotencyMismatch: the key belongs to another request.
        RequestInProgress: the first is being executed.
    """
    claimed = idempotency.claim(
        tx,
        tenant,
        key_hash=request.key_hash,
        fingerprint=request.fingerprint,
        request_id=request.request_id,
        payment_id=payment_id,
        operation_id=operation_id,
    )
    return None if claimed else _replay(tx, tenant, request)


def _replay(tx: Connection, tenant: TenantScope, request: IdempotentRequest) -> ApiResponse:
    stored = idempotency.get(tx, tenant, request.key_hash)
    if stored is None:
        # The first claim was rolled back, or its answer expired, between two statements: the client may try again.
        raise RequestInProgress("The first request with this Idempotency-Key just ended. Try again.", retry_after=1)
    if stored.fingerprint != request.fingerprint:
        raise IdempotencyMismatch("This Idempotency-Key was used for another request. Use a new one.")
    logs.annotate(replayed=True)
    if stored.payment_id is not None:
        logs.annotate(payment_id=stored.payment_id)
    if stored.response_status is not None and stored.response_body is not None:
        return ApiResponse(status=stored.response_status, body=stored.response_body, replayed=True)
    if stored.lease_left > 0:
        raise RequestInProgress(
            "A request with this Idempotency-Key is being executed. Send the same again after the seconds that "
            "Retry-After says: the answer will be that of the first.",
            retry_after=wait_for_owner(stored.lease_left),
        )
    return current_state(tx, tenant, payment_id=stored.payment_id, operation_id=stored.operation_id)


def wait_for_owner(lease_left: float) -> int:
    """Seconds to wait for a request that owns its key for ``lease_left`` more: as long again as it has taken so far.

    Most have an answer within a second, and one that died is asked after rarely. At the end of the lease the answer is
    sure to be another.
    """
    taken = KEY_LEASE.total_seconds() - lease_left
    return max(1, math.ceil(min(taken, lease_left)))


def current_state(
    tx: Connection, tenant: TenantScope, *, payment_id: str | None, operation_id: str | None
) -> ApiResponse:
    """Where a request whose outcome is open has got to: 202 with the object as it is now."""
    payment = payments.get_payment(tx, tenant, payment_id or "")
    operation = payments.get_operation(tx, tenant, operation_id) if operation_id else None
    if payment is None:
        raise LookupError(f"An Idempotency-Key of {tenant.merchant_id} points at no payment.")
    if operation is not None and operation.kind is CallKind.REFUND:
        body = refund_json(operation, payment.currency)
    else:
        body = payment_json(payment)
    return ApiResponse(status=_ACCEPTED, body=dumps(body), replayed=True)


@dataclass(frozen=True, kw_only=True)
class LocalResponse:
    """The answer of a request that is one local transaction."""

    status: int
    body: dict[str, Any]
    #: What is kept for replays where it differs: secrets are answered once and not stored.
    stored_body: dict[str, Any] | None = field(default=None)


def run_local(
    database: Database, tenant: TenantScope, request: IdempotentRequest, work: Callable[[Connection], LocalResponse]
) -> ApiResponse:
    """Execute ``work`` once per key: what it changes and its answer are committed together.

    Raises:
        IdempotencyMismatch, RequestInProgress: as :func:`claim_or_replay`; and what ``work`` raises, with nothing kept.
    """
    with database.tenant_transaction(tenant) as tx:
        replay = claim_or_replay(tx, tenant, request)
        if replay is not None:
            return replay
        response = work(tx)
        stored = response.body if response.stored_body is None else response.stored_body
        idempotency.finish(tx, tenant, request.key_hash, status=response.status, body=dumps(stored))
        tx.commit()
    return ApiResponse(status=response.status, body=dumps(response.body))
