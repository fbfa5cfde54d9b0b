"""What a client knows that a JSON Schema cannot say: loaded by schemathesis, which fuzzes the API by its document.

Every exception to its checks is here, with its reason.
"""

import os
import time
import uuid
from typing import Any

import requests
import schemathesis

_CASE = Any  # schemathesis.Case, whose members are untyped
_URL, _KEY = os.environ["CONTRACT_URL"], os.environ["CONTRACT_KEY"]
_KEY_ID = "key_" + _KEY.split("_")[2]
_IDEMPOTENCY_KEY = "Idempotency-Key"


def _is_positive(case: _CASE) -> bool:
    return case.meta is None or case.meta.generation.mode.is_positive


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: _CASE, _: dict[str, Any]) -> None:
    """Turn valid input into what a client would send."""
    # Links lead to every key that is listed. After its own end, everything would be 401.
    if (case.path_parameters or {}).get("key_id") == _KEY_ID:
        case.path_parameters["key_id"] = _new_key()
    if not _is_positive(case):
        return
    # A key names one request. The generator repeats its values, which would be answered with a replay or 422.
    key = (case.headers or {}).get(_IDEMPOTENCY_KEY)
    if key:
        end = -1 if key.startswith('"') else len(key)
        case.headers[_IDEMPOTENCY_KEY] = (
            key[: min(end % (len(key) + 1), 200)].rstrip("\\") + uuid.uuid4().hex + key[end:]
        )
    if isinstance(case.body, dict):
        # 1544.0 is an integer to JSON Schema, and a fraction to the strict API.
        whole = {name: int(value) for name, value in case.body.items() if isinstance(value, float)}
        case.body = {**case.body, **whole}
        # "In the future" depends on the clock.
        if isinstance(case.body.get("expires_at"), int):
            case.body["expires_at"] = max(case.body["expires_at"], int(time.time()) + 3600)
    # A merchant has at most 16 endpoints, and the generator deletes few.
    if case.operation.label == "POST /v1/webhook_endpoints":
        _make_room()
    # A page's token is part of a URL in a response, out of reach of the document's links.
    if "token" in (case.path_parameters or {}):
        case.path_parameters["token"] = _new_challenge()


def _call(method: str, path: str, body: object = None) -> Any:
    headers = {"Authorization": f"Bearer {_KEY}", _IDEMPOTENCY_KEY: uuid.uuid4().hex}
    return requests.request(method, _URL + path, json=body, headers=headers, verify=False, timeout=30).json()


def _make_room() -> None:
    for endpoint in _call("GET", "/v1/webhook_endpoints?limit=100")["data"][8:]:
        _call("DELETE", f"/v1/webhook_endpoints/{endpoint['id']}")


def _new_key() -> str:
    return str(_call("POST", "/v1/api_keys", {"name": "to be ended", "scopes": ["payments:read"]})["id"])


def _new_challenge() -> str:
    body = {"amount": 1, "currency": "EUR", "payment_method": "tok_3ds", "return_url": "https://shop.example/"}
    payment = _call("POST", "/v1/payments", body)
    return str(payment["next_action"]["redirect_to_url"]["url"]).rpartition("/")[2]


@schemathesis.hook
def filter_failure(context: schemathesis.HookContext, failure: Any, case: _CASE, response: Any) -> bool:
    """Return whether a failure counts."""
    if "Schema-valid request rejected" not in failure.title:
        return True
    problem = response.json()
    # Accepted and carried out; the payment method's meaning is that the processor declines.
    if problem["code"] == "payment_failed":
        return False
    # That a string is no card number takes the Luhn algorithm, and is promised in the description.
    if problem["code"] == "card_number_refused":
        return False
    # What is left of a payment depends on its state.
    return "exceeds what is left" not in problem["detail"]
