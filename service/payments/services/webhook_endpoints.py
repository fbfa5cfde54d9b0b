"""Use cases of webhook endpoints: register, change, rotate the secret, and ask for an event again."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from payments.core.problems import NotFound, ValidationFailed
from payments.delivery.addresses import AddressRefused, check_url
from payments.domain.api_keys import Principal
from payments.domain.ids import Prefix, new_id
from payments.domain.operations import TenantScope
from payments.domain.webhooks import new_secret
from payments.repositories import audit, events, webhook_endpoints, webhook_messages
from payments.repositories.database import Connection
from payments.repositories.webhook_endpoints import Endpoint
from payments.repositories.webhook_messages import Delivery
from payments.services.context import Context
from payments.services.idempotency import ApiResponse, IdempotentRequest, LocalResponse, run_local
from payments.services.presentation import timestamp

#: Endpoints that a merchant may have per mode: bounds what one event fans out to.
MAX_ENDPOINTS = 16
_OK, _CREATED, _ACCEPTED = 200, 201, 202


@dataclass(frozen=True, kw_only=True)
class EndpointUpdate:
    """What a PATCH asks for; ``None`` leaves a member as it is, except that a description can be taken away."""

    url: str | None = None
    description: str | None = None
    clears_description: bool = False
    event_types: list[str] | None = None
    status: str | None = None


def endpoint_json(endpoint: Endpoint, *, secret: str | None = None) -> dict[str, Any]:
    """An endpoint as merchants see it."""
    return {
        "id": endpoint.id,
        "object": "webhook_endpoint",
        "url": endpoint.url,
        "description": endpoint.description,
        "event_types": endpoint.event_types,
        "status": endpoint.status,
        "disabled_reason": endpoint.disabled_reason,
        "failing_since": endpoint.failing_since and timestamp(endpoint.failing_since),
        "api_version": endpoint.api_version,
        "secret": secret,
        "created": timestamp(endpoint.created_at),
        "livemode": endpoint.livemode,
    }


def delivery_json(delivery: Delivery) -> dict[str, Any]:
    """An attempt as merchants see it."""
    return {
        "id": delivery.id,
        "object": "webhook_delivery",
        "event": delivery.event_id,
        "event_type": delivery.event_type,
        "attempt": delivery.attempt,
        "status_code": delivery.status_code,
        "error": delivery.error,
        "duration_ms": delivery.duration_ms,
        "created": timestamp(delivery.created_at),
    }


def create(
    context: Context,
    principal: Principal,
    request: IdempotentRequest,
    *,
    url: str,
    description: str | None,
    event_types: list[str],
) -> ApiResponse:
    """Register an endpoint; its secret is answered now and never again.

    Raises:
        ValidationFailed: the URL may not be called, or there are :data:`MAX_ENDPOINTS` already.
    """
    now = context.now()
    _check(context, url)

    def work(tx: Connection) -> LocalResponse:
        if webhook_endpoints.count(tx, principal) >= MAX_ENDPOINTS:
            raise ValidationFailed(f"There are {MAX_ENDPOINTS} webhook endpoints already. Delete one.")
        endpoint = Endpoint(
            merchant_id=principal.merchant_id,
            livemode=principal.livemode,
            id=new_id(Prefix.WEBHOOK_ENDPOINT, now),
            url=url,
            description=description,
            event_types=sorted(set(event_types)),
            status="enabled",
            disabled_reason=None,
            api_version=principal.api_version,
            secret=new_secret(),
            previous_secret=None,
            previous_secret_until=None,
            failing_since=None,
            created_at=now,
        )
        webhook_endpoints.insert(tx, endpoint)
        _audit(context, tx, principal, "webhook_endpoint.create", endpoint.id)
        return _secret_response(_CREATED, endpoint)

    return run_local(context.database, principal, request, work)


def get(context: Context, tenant: TenantScope, endpoint_id: str) -> Endpoint:
    """One endpoint.

    Raises:
        NotFound: none of ``tenant``'s.
    """
    with context.database.tenant_transaction(tenant) as tx:
        return _existing(tx, tenant, endpoint_id)


def list_endpoints(context: Context, tenant: TenantScope, *, before: str | None, limit: int) -> Sequence[Endpoint]:
    """Up to ``limit`` endpoints, newest first."""
    with context.database.tenant_transaction(tenant) as tx:
        return webhook_endpoints.list_for_tenant(tx, tenant, before=before, limit=limit)


def update(context: Context, principal: Principal, endpoint_id: str, change: EndpointUpdate) -> Endpoint:
    """EndpointUpdate an endpoint. Disabling holds what is to be delivered; enabling delivers it.

    Raises:
        NotFound: none of the caller's.
        ValidationFailed: the URL may not be called.
    """
    if change.url is not None:
        _check(context, change.url)
    with context.database.tenant_transaction(principal) as tx:
        old = _existing(tx, principal, endpoint_id, lock=True)
        status = change.status or old.status
        changed = replace(
            old,
            url=change.url or old.url,
            description=None if change.clears_description else change.description or old.description,
            event_types=sorted(set(change.event_types)) if change.event_types else old.event_types,
            status=status,
            disabled_reason=(old.disabled_reason or "requested") if status == "disabled" else None,
            # A repaired receiver starts afresh.
            failing_since=None if status == "enabled" and old.status == "disabled" else old.failing_since,
        )
        webhook_endpoints.update(tx, changed)
        if status == "disabled":
            webhook_endpoints.hold_messages(tx, principal, endpoint_id)
        else:
            webhook_endpoints.free_messages(tx, principal, endpoint_id)
        _audit(context, tx, principal, "webhook_endpoint.update", endpoint_id)
        tx.commit()
    return changed


def delete(context: Context, principal: Principal, endpoint_id: str) -> None:
    """Take an endpoint away; what was still to be delivered to it is not.

    Raises:
        NotFound: none of the caller's.
    """
    with context.database.tenant_transaction(principal) as tx:
        if not webhook_endpoints.delete(tx, principal, endpoint_id):
            raise _not_found()
        _audit(context, tx, principal, "webhook_endpoint.delete", endpoint_id)
        tx.commit()


def rotate_secret(
    context: Context, principal: Principal, request: IdempotentRequest, *, endpoint_id: str, overlap: timedelta
) -> ApiResponse:
    """Sign with a new secret, and with the old one too for ``overlap``.

    Raises:
        NotFound: none of the caller's.
    """

    def work(tx: Connection) -> LocalResponse:
        old = _existing(tx, principal, endpoint_id, lock=True)
        until = context.now() + overlap
        keeps = overlap > timedelta(0)
        changed = replace(
            old,
            secret=new_secret(),
            previous_secret=old.secret if keeps else None,
            previous_secret_until=until if keeps else None,
        )
        webhook_endpoints.update(tx, changed)
        _audit(context, tx, principal, "webhook_endpoint.rotate_secret", endpoint_id)
        return _secret_response(_OK, changed)

    return run_local(context.database, principal, request, work)


def redeliver(context: Context, principal: Principal, request: IdempotentRequest, *, event_id: str) -> ApiResponse:
    """Deliver an event again, unchanged, to every enabled endpoint that wants it.

    Raises:
        NotFound: no such event of the caller's.
    """
    now = context.now()

    def work(tx: Connection) -> LocalResponse:
        if events.get(tx, principal, event_id) is None:
            raise NotFound.of("event")
        ids = [new_id(Prefix.WEBHOOK_MESSAGE, now) for _ in range(MAX_ENDPOINTS)]
        found = webhook_messages.redeliver(tx, principal, event_id, message_ids=ids)
        body = {"object": "event_redelivery", "event": event_id, "webhook_endpoints": list(found)}
        return LocalResponse(status=_ACCEPTED, body=body)

    return run_local(context.database, principal, request, work)


def list_deliveries(
    context: Context, tenant: TenantScope, endpoint_id: str, *, before: str | None, limit: int
) -> Sequence[Delivery]:
    """Up to ``limit`` attempts at an endpoint, newest first.

    Raises:
        NotFound: no such endpoint of ``tenant``'s.
    """
    with context.database.tenant_transaction(tenant) as tx:
        _existing(tx, tenant, endpoint_id)
        return webhook_messages.list_deliveries(tx, tenant, endpoint_id, before=before, limit=limit)


def _check(context: Context, url: str) -> None:
    try:
        check_url(url, allow_local=context.allow_local_webhooks)
    except AddressRefused as error:
        raise ValidationFailed.at("#/url", str(error)) from error


def _audit(context: Context, tx: Connection, principal: Principal, action: str, subject: str) -> None:
    audit.record(tx, principal, actor=principal.key_id, action=action, subject=subject, now=context.now())


def _existing(tx: Connection, tenant: TenantScope, endpoint_id: str, *, lock: bool = False) -> Endpoint:
    found = webhook_endpoints.get(tx, tenant, endpoint_id, lock=lock)
    if found is None:
        raise _not_found()
    return found


def _not_found() -> NotFound:
    return NotFound.of("webhook endpoint")


def _secret_response(status: int, endpoint: Endpoint) -> LocalResponse:
    """With the secret now, and without it in every replay."""
    return LocalResponse(
        status=status, body=endpoint_json(endpoint, secret=endpoint.secret), stored_body=endpoint_json(endpoint)
    )
