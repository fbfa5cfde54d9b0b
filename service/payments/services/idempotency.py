"""At most one execution per Idempotency-Key, and the same response to every repetition."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from payments.core.problems import IdempotencyMismatch, RequestInProgress
from payments.domain.operations import KEY_LEASE
from payments.domain.tenancy import TenantScope
from payments.observability import logs
from payments.repositories import idempotency, payments
from payments.repositories.connection import Connection
from payments.services.context import Context
from payments.services.presentation import Json, dumps, subject_json


@dataclass(frozen=True, kw_only=True)
class IdempotentRequest:
    """What identifies a request among its repetitions."""

    #: SHA-256 of the key.
    key_hash: bytes
    #: SHA-256 of the method, the path and the canonical body before defaults.
    fingerprint: bytes
    #: Id of this very request: quoted in a stored problem, it leads to the log of the execution.
    request_id: str


@dataclass(frozen=True, kw_only=True)
class ApiResponse:
    """A status and a JSON body, as text so that a replay is identical to the byte."""

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
    """Claim the key for the first request that uses it (``None``), or return the response of that request.

    The identifiers name what the first request creates: while its outcome is open, repetitions return that.

    Raises:
        IdempotencyMismatch: The key was used for a different request.
        RequestInProgress: The first request is still being executed.
    """
    claimed = claim(tx, tenant, request, payment_id=payment_id, operation_id=operation_id)
    return None if claimed() else replay(tx, tenant, request)


def claim(
    tx: Connection,
    tenant: TenantScope,
    request: IdempotentRequest,
    *,
    payment_id: str | None = None,
    operation_id: str | None = None,
) -> Callable[[], bool]:
    """Queue the claim of the key; whether it succeeded is read by calling what is returned."""
    return idempotency.claim(
        tx,
        tenant,
        key_hash=request.key_hash,
        fingerprint=request.fingerprint,
        request_id=request.request_id,
        payment_id=payment_id,
        operation_id=operation_id,
    )


def replay(tx: Connection, tenant: TenantScope, request: IdempotentRequest) -> ApiResponse:
    """Return the response of the first request that used the key.

    Raises:
        IdempotencyMismatch, RequestInProgress: See :func:`claim_or_replay`.
    """
    stored = idempotency.get(tx, tenant, request.key_hash)
    if stored is None:
        # The first claim was rolled back, or its response expired, between two statements: the client may retry.
        raise RequestInProgress("The first request with this Idempotency-Key has just ended. Retry.", retry_after=1)
    if stored.fingerprint != request.fingerprint:
        raise IdempotencyMismatch("This Idempotency-Key was used for a different request. Use a new key.")
    logs.annotate(replayed=True)
    if stored.payment_id is not None:
        logs.annotate(payment_id=stored.payment_id)
    if stored.response_status is not None and stored.response_body is not None:
        return ApiResponse(status=stored.response_status, body=stored.response_body, replayed=True)
    if stored.lease_left > 0:
        raise RequestInProgress(
            "A request with this Idempotency-Key is in progress. Retry it after the seconds in Retry-After to get its "
            "response.",
            retry_after=seconds_until_retry(stored.lease_left),
        )
    return _current_state(tx, tenant, payment_id=stored.payment_id, operation_id=stored.operation_id)


def seconds_until_retry(lease_left: float) -> int:
    """Return the seconds to wait for a request that holds its key for another ``lease_left`` seconds.

    That is as long as it has taken so far: most requests complete within a second, and one that died is retried rarely.
    At the end of the lease the response is certain to be another.
    """
    elapsed = KEY_LEASE.total_seconds() - lease_left
    return max(1, math.ceil(min(elapsed, lease_left)))


def _current_state(
    tx: Connection, tenant: TenantScope, *, payment_id: str | None, operation_id: str | None
) -> ApiResponse:
    """Return the current state of what an unresolved request created."""
    payment = payments.get_payment(tx, tenant, payment_id or "")
    if payment is None:
        raise LookupError(f"An Idempotency-Key of {tenant.merchant_id} refers to no payment.")
    operation = payments.get_operation(tx, tenant, operation_id) if operation_id else None
    return ApiResponse(status=HTTPStatus.ACCEPTED, body=dumps(subject_json(payment, operation)), replayed=True)


@dataclass(frozen=True, kw_only=True)
class LocalResponse:
    """The response to a request that consists of one local transaction."""

    status: HTTPStatus
    body: Json
    #: The body to replay, if it differs: secrets are returned once, and not stored.
    stored_body: Json | None = None


def run_local(
    context: Context, tenant: TenantScope, request: IdempotentRequest, work: Callable[[Connection], LocalResponse]
) -> ApiResponse:
    """Execute ``work`` once per key, and commit its changes together with its response.

    Raises:
        IdempotencyMismatch, RequestInProgress: See :func:`claim_or_replay`. Whatever ``work`` raises is not stored.
    """
    with context.database.tenant_transaction(tenant) as tx:
        replay = claim_or_replay(tx, tenant, request)
        if replay is not None:
            return replay
        response = work(tx)
        stored = response.body if response.stored_body is None else response.stored_body
        idempotency.store_response(tx, tenant, request.key_hash, status=response.status, body=dumps(stored))
        tx.commit()
    return ApiResponse(status=response.status, body=dumps(response.body))
