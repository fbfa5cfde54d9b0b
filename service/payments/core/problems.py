"""Every error that the API returns, as an RFC 9457 problem that any part of the service may raise.

Each class carries its status, code and title, so the OpenAPI document and the reference are generated from the classes
that are raised. Details say what is wrong and what to do. They never repeat a value that the client sent, because it
may be a secret or a card number. `payments.web.http.problems` renders problems as responses.
"""
# ruff: noqa: N818 - problems are named after their code, without a suffix

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self

#: Of a request without a valid API key: how it can be sent. Browsers and `curl -u` answer the second one.
_CHALLENGES = 'Bearer realm="payments", Basic realm="payments", charset="UTF-8"'


class ApiError(Exception):
    """Base of all problems.

    Args:
        detail: What is wrong this time, and what to do.
        headers: Headers to add to the response.
        members: Extension members of the problem: any JSON values.
    """

    status: ClassVar[int]
    code: ClassVar[str]
    title: ClassVar[str]
    #: What the client should do about it, as Markdown.
    action: ClassVar[str]

    def __init__(self, detail: str, *, headers: Mapping[str, str] | None = None, **members: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.headers = dict(headers or {})
        self.members = members

    def body(self, request_id: str) -> dict[str, Any]:
        """Return the problem as JSON. ``type`` is a URL, relative to the API, of its documentation."""
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
    """The request cannot be parsed: invalid JSON, a repeated query parameter, an invalid header."""

    status, code, title = 400, "malformed_request", "The request is malformed"
    action = "Correct the request as `detail` says. Nothing was started."


class CardNumberRefused(ApiError):
    """A string in the request looks like a card number."""

    status, code, title = 400, "card_number_refused", "Card numbers are not accepted"
    action = (
        "Send a token instead. If the number is your own, put letters directly before it in `reference` or a metadata "
        "value, as in `ORD4242...`."
    )


class IdempotencyKeyMissing(ApiError):
    """A POST request has no ``Idempotency-Key`` header."""

    status, code, title = 400, "idempotency_key_missing", "An Idempotency-Key is required"
    action = "Send a new random key, and keep it for retries."


class IdempotencyKeyInvalid(ApiError):
    """The ``Idempotency-Key`` is repeated, empty, too long or not printable ASCII."""

    status, code, title = 400, "idempotency_key_invalid", "The Idempotency-Key is invalid"
    action = "Send one key of 1 to 255 printable ASCII characters, such as a UUID."


class SignatureInvalid(ApiError):
    """An inbound webhook is not signed by the processor, or too old."""

    status, code, title = 400, "signature_invalid", "The signature is invalid"
    action = "Check the processor's signing secret, and the clock."


class Unauthenticated(ApiError):
    """The API key is missing, unknown, expired or revoked; the response does not say which.

    It is sent as a bearer token, or as the user name of HTTP Basic with an empty password.
    """

    status, code, title = 401, "unauthenticated", "A valid API key is required"
    action = "Check the key. Create a new one if it has expired or was revoked."

    def __init__(self, detail: str) -> None:
        super().__init__(detail, headers={"WWW-Authenticate": _CHALLENGES})


class PaymentFailed(ApiError):
    """The processor declined the operation, or certainly did not carry it out."""

    status, code, title = 402, "payment_failed", "The processor declined the operation"
    action = "Follow `advice`. If `retryable` is true, another try may succeed, under a new `Idempotency-Key`."


class ScopeMissing(ApiError):
    """The API key is valid but lacks a scope that the operation requires."""

    status, code, title = 403, "scope_missing", "The API key lacks a scope"
    action = "Use a key that has the scopes in `scopes`."


class RequestBlocked(ApiError):
    """The web application firewall blocked the request as an attack; it never reached the API, and nothing happened.

    Returned as ``application/json`` and without a ``request_id``. Free text in a body is never the reason. Check the
    path, the query (a ``reference`` that resembles SQL or markup), the headers and the sender's IP address.
    """

    status, code, title = 403, "request_blocked", "The request was blocked"
    action = "Change what the firewall objects to; sending the same again changes nothing."


class NotFound(ApiError):
    """No such path, or no such object of this merchant and mode."""

    status, code, title = 404, "not_found", "Not found"
    action = "Check the path and the ID, and that the key belongs to the right merchant and mode."

    @classmethod
    def of(cls, kind: str) -> Self:
        """Return the problem of an object of ``kind``, such as "payment", that the tenant does not have."""
        return cls(f"No such {kind}. Check the ID, and that the API key belongs to the right merchant and mode.")


class MethodNotAllowed(ApiError):
    """The path exists but does not support the method."""

    status, code, title = 405, "method_not_allowed", "The method is not allowed"
    action = "Use a method that the header `Allow` lists."


class IllegalTransition(ApiError):
    """The object's state does not allow the operation; ``state`` names it, ``allowed`` lists what it allows."""

    status, code, title = 409, "illegal_transition", "The current state does not allow the operation"
    action = "Get the object. Do what its state allows, if you still want to."

    def __init__(self, detail: str, *, state: str, allowed: Sequence[str]) -> None:
        super().__init__(detail, state=state, allowed=list(allowed))


class OperationInProgress(ApiError):
    """Another capture or void of this payment is in progress."""

    status, code, title = 409, "operation_in_progress", "Another operation is in progress"
    action = "Wait for its event, or get the payment until `pending_operation` is `null`."


class RequestInProgress(ApiError):
    """A request with the same ``Idempotency-Key`` is in progress; retry after ``Retry-After`` seconds."""

    status, code, title = 409, "request_in_progress", "The request is already in progress"
    action = "Send the same request again after `Retry-After` seconds."

    def __init__(self, detail: str, *, retry_after: int) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after)})


class ContentTooLarge(ApiError):
    """The request body exceeds the size limit."""

    status, code, title = 413, "content_too_large", "The request body is too large"
    action = "Send less: `detail` names the limit."


class UnsupportedMediaType(ApiError):
    """The request body is not ``application/json``."""

    status, code, title = 415, "unsupported_media_type", "The media type is not supported"
    action = "Send JSON with `Content-Type: application/json`."


class ValidationFailed(ApiError):
    """The JSON is well-formed but not what the operation takes; ``errors`` points at each invalid field."""

    status, code, title = 422, "validation_failed", "The request is invalid"
    action = "Correct the fields in `errors`. Nothing was started, and nothing is stored under the key."

    def __init__(self, detail: str, *, errors: Sequence[Mapping[str, str]] = ()) -> None:
        super().__init__(detail, errors=[dict(error) for error in errors])

    @classmethod
    def at(cls, pointer: str, detail: str) -> Self:
        """Return the problem of one invalid field: a JSON pointer into the body, or a query parameter's name."""
        return cls(detail, errors=[{"pointer": pointer, "detail": detail}])


class IdempotencyMismatch(ApiError):
    """The ``Idempotency-Key`` was used for a different request."""

    status, code, title = 422, "idempotency_mismatch", "The Idempotency-Key was used for a different request"
    action = "Send the original request for its response, or a new key for a new request."


class NotSupported(ApiError):
    """The processor does not support the operation."""

    status, code, title = 422, "not_supported", "The processor does not support the operation"
    action = "Do without the option that `detail` names."


class TooManyRequests(ApiError):
    """The service has reached its limit of concurrent requests. Nothing was started; retry after ``Retry-After``."""

    status, code, title = 429, "too_many_requests", "Too many requests"
    action = "Send the same request again, with the same key, after `Retry-After` seconds."

    def __init__(self, detail: str, *, retry_after: int = 1) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after)})


class InternalError(ApiError):
    """An error on our side; quote ``request_id`` when you report it."""

    status, code, title = 500, "internal_error", "An internal error occurred"
    action = "Send the same request again, with the same key. If it persists, report it."


class OutcomeUnknown(ApiError):
    """The database did not confirm the request: it may or may not have been carried out, and may be yet.

    Send the very same request again, a POST under the same ``Idempotency-Key``, after ``Retry-After`` seconds: it is
    done once. Never send it under another key.
    """

    status, code, title = 500, "outcome_unknown", "The outcome is unknown"
    action = "Send the same request again, with the same key, after `Retry-After` seconds."

    def __init__(self, detail: str, *, retry_after: int = 1) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after)})


class ServiceUnavailable(ApiError):
    """The database or the processor is unavailable and nothing was started; retry after ``Retry-After``."""

    status, code, title = 503, "service_unavailable", "The service is temporarily unavailable"
    action = "Send the same request again, with the same key, after `Retry-After` seconds."

    def __init__(self, detail: str, *, retry_after: int = 1) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after)})


def all_errors() -> Iterator[type[ApiError]]:
    """Yield every problem class, parents first: what the reference lists."""
    pending = [ApiError]
    while pending:
        for error in pending.pop().__subclasses__():
            pending.append(error)
            yield error
