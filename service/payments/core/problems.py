"""Every error the API can answer, as RFC 9457 problems, to be raised anywhere in the service.

Each class carries its status, code and title, so the OpenAPI document and the reference are made from the very classes
that are raised. Details say what is wrong and what to do; they never repeat a value that the client sent, since a value
may be a secret or a card number. `payments.web.problems` renders them.
"""
# ruff: noqa: N818  # a problem's name is what the client reads; "Error" would be said twice

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar


class ApiError(Exception):
    """A problem that a client can be told about.

    ``members`` are extension members of the problem; ``headers`` are added to the answer.
    """

    status: ClassVar[int]
    code: ClassVar[str]
    title: ClassVar[str]

    def __init__(self, detail: str, *, headers: Mapping[str, str] | None = None, **members: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.headers = dict(headers or {})
        self.members = members

    def body(self, request_id: str) -> dict[str, Any]:
        """The problem as JSON. ``type`` is a reference relative to the API that leads to the documentation."""
        return {
            "type": f"/docs#{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "request_id": request_id,
            **self.members,
        }


class MalformedRequest(ApiError):
    """The request cannot be read: bad JSON, an unknown or repeated query parameter, a bad header."""

    status, code, title = 400, "malformed_request", "The request cannot be read"


class CardNumberRefused(ApiError):
    """A string of the request holds what looks like a card number."""

    status, code, title = 400, "card_number_refused", "Card numbers are not accepted"


class IdempotencyKeyMissing(ApiError):
    """A POST came without an ``Idempotency-Key``."""

    status, code, title = 400, "idempotency_key_missing", "An Idempotency-Key is required"


class IdempotencyKeyInvalid(ApiError):
    """The ``Idempotency-Key`` is repeated, empty, too long or not printable ASCII."""

    status, code, title = 400, "idempotency_key_invalid", "The Idempotency-Key is not valid"


class SignatureInvalid(ApiError):
    """An inbound webhook is not signed by the processor, or too old."""

    status, code, title = 400, "signature_invalid", "The signature does not match"


class Unauthenticated(ApiError):
    """No API key, or one that is unknown, expired or revoked: which of these is not told."""

    status, code, title = 401, "unauthenticated", "A valid API key is required"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, headers={"WWW-Authenticate": 'Bearer realm="payments"'})


class PaymentFailed(ApiError):
    """The processor refused, or surely did not do, what was asked."""

    status, code, title = 402, "payment_failed", "The processor refused"


class ScopeMissing(ApiError):
    """The API key is valid but may not do this."""

    status, code, title = 403, "scope_missing", "The API key lacks a scope"


class RequestBlocked(ApiError):
    """The web application firewall took the request for an attack, so it never reached the API and nothing was begun.

    Answered as ``application/json`` and without a ``request_id``. Free text in a body is never the reason; look at the
    path, the query (a ``reference`` that reads like SQL or markup) and the headers, or at the sender's address.
    """

    status, code, title = 403, "request_blocked", "The request was blocked"


class NotFound(ApiError):
    """No such object, or not one of this merchant and mode, or no such path."""

    status, code, title = 404, "not_found", "Not found"


class MethodNotAllowed(ApiError):
    """The path exists, the method does not."""

    status, code, title = 405, "method_not_allowed", "The method is not allowed"


class IllegalTransition(ApiError):
    """The object's state does not allow this; ``state`` and ``allowed`` say what it does."""

    status, code, title = 409, "illegal_transition", "The current state does not allow this"

    def __init__(self, detail: str, *, state: str, allowed: Sequence[str]) -> None:
        super().__init__(detail, state=state, allowed=list(allowed))


class OperationInProgress(ApiError):
    """Another capture or void of this payment is under way."""

    status, code, title = 409, "operation_in_progress", "Another operation is in progress"


class RequestInProgress(ApiError):
    """A request with the same ``Idempotency-Key`` is being served; try again after ``Retry-After`` seconds."""

    status, code, title = 409, "request_in_progress", "The same request is in progress"

    def __init__(self, detail: str, *, retry_after: int) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after)})


class ContentTooLarge(ApiError):
    """The body is larger than the API accepts."""

    status, code, title = 413, "content_too_large", "The request body is too large"


class UnsupportedMediaType(ApiError):
    """The body is not ``application/json``."""

    status, code, title = 415, "unsupported_media_type", "The media type is not supported"


class ValidationFailed(ApiError):
    """The JSON was read but is not what the operation takes; ``errors`` points at each mistake."""

    status, code, title = 422, "validation_failed", "The request is not valid"

    def __init__(self, detail: str, *, errors: Sequence[Mapping[str, str]] = ()) -> None:
        super().__init__(detail, errors=[dict(error) for error in errors])


class IdempotencyMismatch(ApiError):
    """The ``Idempotency-Key`` was used for another request."""

    status, code, title = 422, "idempotency_mismatch", "The Idempotency-Key belongs to another request"


class NotSupported(ApiError):
    """The processor of this environment cannot do this."""

    status, code, title = 422, "not_supported", "The processor does not support this"


class TooManyRequests(ApiError):
    """More requests are in flight than the service takes. Nothing was begun; try again after ``Retry-After``."""

    status, code, title = 429, "too_many_requests", "Too many requests"

    def __init__(self, detail: str, *, retry_after: int = 1) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after)})


class InternalError(ApiError):
    """A mistake of ours; the request id finds its log line."""

    status, code, title = 500, "internal_error", "Something went wrong on our side"


class ServiceUnavailable(ApiError):
    """The database or the processor cannot be reached and nothing was begun; try again after ``Retry-After``."""

    status, code, title = 503, "service_unavailable", "The service is temporarily unavailable"

    def __init__(self, detail: str, *, retry_after: int = 1) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after)})


def all_errors() -> Iterator[type[ApiError]]:
    """Every error class, parents first: what the reference lists."""
    pending = [ApiError]
    while pending:
        for found in pending.pop().__subclasses__():
            pending.append(found)
            yield found
