"""Webhook endpoints: registering, updating, rotating secrets, and redelivering events."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from http import HTTPStatus

from payments.core.problems import NotFound, ValidationFailed
from payments.delivery.addresses import AddressRefused, check_new_url
from payments.domain.api_keys import Principal, Scope
from payments.domain.ids import Prefix, new_id
from payments.domain.tenancy import TenantScope
from payments.domain.webhooks import new_secret
from payments.repositories import audit, clock, events, webhook_endpoints, webhook_messages
from payments.repositories.connection import Connection
from payments.repositories.webhook_endpoints import Endpoint
from payments.repositories.webhook_messages import Delivery
from payments.services.api_keys import hold
from payments.services.context import Context
from payments.services.idempotency import ApiResponse, IdempotentRequest, LocalResponse, run_local
from payments.services.presentation import Json, timestamp

#: Endpoints per merchant and mode: bounds the fan-out of an event.
MAX_ENDPOINTS = 16


@dataclass(frozen=True, kw_only=True)
class EndpointUpdate:
    """Changes to an endpoint. ``None`` keeps a member; only the description can be cleared."""

    url: str | None = None
    description: str | None = None
    clears_description: bool = False
    event_types: list[str] | None = None
    status: str | None = None


def endpoint_json(endpoint: Endpoint, *, secret: str | None = None) -> Json:
    """Return an endpoint as merchants see it."""
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


def delivery_json(delivery: Delivery) -> Json:
    """Return an entry of the delivery log as merchants see it."""
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
    """Register an endpoint; its secret is returned once.

    Raises:
        ValidationFailed: The URL must not be called, or there are :data:`MAX_ENDPOINTS` already.
    """
    _check_url(context, url)

    def work(tx: Connection) -> LocalResponse:
        hold(tx, principal, Scope.WEBHOOKS_WRITE)
        webhook_endpoints.lock_count(tx, principal)
        now = clock.now(tx)
        if webhook_endpoints.count(tx, principal) >= MAX_ENDPOINTS:
            raise ValidationFailed(f"You can have at most {MAX_ENDPOINTS} webhook endpoints. Delete one first.")
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
        return _response_with_secret(HTTPStatus.CREATED, endpoint)

    return run_local(context, principal, request, work)


def get(context: Context, tenant: TenantScope, endpoint_id: str) -> Endpoint:
    """Return one endpoint.

    Raises:
        NotFound: The tenant has no such endpoint.
    """
    with context.database.tenant_transaction(tenant) as tx:
        return _get(tx, tenant, endpoint_id)


def list_endpoints(context: Context, tenant: TenantScope, *, before: str | None, limit: int) -> Sequence[Endpoint]:
    """Return up to ``limit`` endpoints, newest first, from the one after ``before``."""
    with context.database.tenant_transaction(tenant) as tx:
        return webhook_endpoints.list_for_tenant(tx, tenant, before=before, limit=limit)


def update(context: Context, principal: Principal, endpoint_id: str, changes: EndpointUpdate) -> Endpoint:
    """Update an endpoint. Disabling it holds its messages; enabling it delivers them.

    Raises:
        NotFound: The caller has no such endpoint.
        ValidationFailed: The URL must not be called.
    """
    if changes.url is not None:
        _check_url(context, changes.url)
    with context.database.tenant_transaction(principal) as tx:
        hold(tx, principal, Scope.WEBHOOKS_WRITE)
        old = _get(tx, principal, endpoint_id, lock=True)
        status = changes.status or old.status
        updated = replace(
            old,
            url=changes.url or old.url,
            description=None if changes.clears_description else changes.description or old.description,
            event_types=sorted(set(changes.event_types)) if changes.event_types else old.event_types,
            status=status,
            disabled_reason=(old.disabled_reason or "requested") if status == "disabled" else None,
            # A repaired receiver starts afresh.
            failing_since=None if status == "enabled" and old.status == "disabled" else old.failing_since,
        )
        webhook_endpoints.update(tx, updated)
        webhook_endpoints.move_messages(tx, principal, endpoint_id)
        _audit(context, tx, principal, "webhook_endpoint.update", endpoint_id)
        tx.commit()
    return updated


def delete(context: Context, principal: Principal, endpoint_id: str) -> None:
    """Delete an endpoint with its secrets, and drop its pending messages.

    Raises:
        NotFound: The caller has no such endpoint.
    """
    with context.database.tenant_transaction(principal) as tx:
        hold(tx, principal, Scope.WEBHOOKS_WRITE)
        if not webhook_endpoints.delete(tx, principal, endpoint_id, secret=new_secret()):
            raise NotFound.of("webhook endpoint")
        webhook_endpoints.move_messages(tx, principal, endpoint_id)
        _audit(context, tx, principal, "webhook_endpoint.delete", endpoint_id)
        tx.commit()


def rotate_secret(
    context: Context, principal: Principal, request: IdempotentRequest, *, endpoint_id: str, overlap: timedelta
) -> ApiResponse:
    """Sign with a new secret, and during ``overlap`` with the old one too.

    Raises:
        NotFound: The caller has no such endpoint.
    """

    def work(tx: Connection) -> LocalResponse:
        hold(tx, principal, Scope.WEBHOOKS_WRITE)
        old = _get(tx, principal, endpoint_id, lock=True)
        overlaps = overlap > timedelta(0)
        rotated = replace(
            old,
            secret=new_secret(),
            previous_secret=old.secret if overlaps else None,
            previous_secret_until=clock.now(tx) + overlap if overlaps else None,
        )
        webhook_endpoints.update(tx, rotated)
        _audit(context, tx, principal, "webhook_endpoint.rotate_secret", endpoint_id)
        return _response_with_secret(HTTPStatus.OK, rotated)

    return run_local(context, principal, request, work)


def redeliver(context: Context, principal: Principal, request: IdempotentRequest, *, event_id: str) -> ApiResponse:
    """Deliver an event again, unchanged, to every enabled endpoint subscribed to it.

    Raises:
        NotFound: The caller has no such event.
    """

    def work(tx: Connection) -> LocalResponse:
        if events.get(tx, principal, event_id) is None:
            raise NotFound.of("event")
        webhook_endpoints.lock_all_for_messages(tx, principal)
        subscribed = webhook_messages.subscriptions(tx, principal, event_id)
        webhook_messages.insert(tx, subscribed)
        webhook_messages.restart(tx, principal, subscribed)
        endpoints = [each.endpoint_id for each in subscribed]
        body = {"object": "event_redelivery", "event": event_id, "webhook_endpoints": endpoints}
        return LocalResponse(status=HTTPStatus.ACCEPTED, body=body)

    return run_local(context, principal, request, work)


def list_deliveries(
    context: Context, tenant: TenantScope, endpoint_id: str, *, before: str | None, limit: int
) -> Sequence[Delivery]:
    """Return up to ``limit`` deliveries to an endpoint, newest first, from the one after ``before``.

    Raises:
        NotFound: The tenant has no such endpoint.
    """
    with context.database.tenant_transaction(tenant) as tx:
        _get(tx, tenant, endpoint_id)
        return webhook_messages.list_deliveries(tx, tenant, endpoint_id, before=before, limit=limit)


def _check_url(context: Context, url: str) -> None:
    try:
        check_new_url(url, allow_local=context.allow_local_webhooks)
    except AddressRefused as error:
        raise ValidationFailed.at("#/url", str(error)) from error


def _audit(context: Context, tx: Connection, principal: Principal, action: str, subject: str) -> None:
    audit.record(tx, principal, actor=principal.key_id, action=action, subject=subject, now=context.now())


def _get(tx: Connection, tenant: TenantScope, endpoint_id: str, *, lock: bool = False) -> Endpoint:
    found = webhook_endpoints.get(tx, tenant, endpoint_id, lock=lock)
    if found is None:
        raise NotFound.of("webhook endpoint")
    return found


def _response_with_secret(status: HTTPStatus, endpoint: Endpoint) -> LocalResponse:
    """Return a response that contains the secret now, but not in its replays."""
    return LocalResponse(
        status=status, body=endpoint_json(endpoint, secret=endpoint.secret), stored_body=endpoint_json(endpoint)
    )
