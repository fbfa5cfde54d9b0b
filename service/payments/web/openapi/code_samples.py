"""Requests as people send them: with curl, and with Python's requests."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

#: The form of a test key. Shortened, so that it cannot be taken for a real one.
TEST_KEY = "sk_test_01jcx5v8g7f2k9w3q4r5s6t7v8_..."


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request to show."""

    method: str
    url: str
    authenticated: bool = True
    idempotent: bool = False
    #: JSON, or the fields of a form.
    body: Mapping[str, object] | None = None
    is_form: bool = False


def curl(request: Request) -> str:
    """Return the command that sends ``request``."""
    implied = "GET" if request.body is None else "POST"
    method = "" if request.method == implied else f"-X {request.method} "
    parts = [f"curl {method}{shlex.quote(request.url)}"]
    if request.authenticated:
        parts.append(f'-H "Authorization: Bearer {TEST_KEY}"')
    if request.idempotent:
        parts.append('-H "Idempotency-Key: $(uuidgen)"')
    if request.body is not None and request.is_form:
        parts += [f"-d {shlex.quote(f'{name}={value}')}" for name, value in request.body.items()]
    elif request.body is not None:
        parts.append('-H "Content-Type: application/json"')
        parts.append(f"-d {shlex.quote(json.dumps(request.body, indent=2 if request.body else None))}")
    return " \\\n  ".join(parts)


def python(request: Request) -> str:
    """Return the program that sends ``request`` and prints the response."""
    lines = ["import uuid\n"] if request.idempotent else []
    lines += ["import requests\n", f"response = requests.{request.method.lower()}(", f'    "{request.url}",']
    headers = {"Authorization": f'"Bearer {TEST_KEY}"'} if request.authenticated else {}
    if request.idempotent:
        headers["Idempotency-Key"] = "str(uuid.uuid4())"
    if headers:
        lines += ["    headers={", *(f'        "{name}": {value},' for name, value in headers.items()), "    },"]
    if request.body is not None:
        lines.append(f"    {'data' if request.is_form else 'json'}={_literal(request.body, indent=4)},")
    return "\n".join([*lines, "    timeout=30,", ")", "print(response.status_code, response.text)"])


def _literal(value: object, *, indent: int) -> str:
    """Return ``value``, which is JSON, as Python."""
    inner = " " * (indent + 4)
    if isinstance(value, Mapping) and value:
        fields = (f"{inner}{json.dumps(name)}: {_literal(item, indent=indent + 4)},\n" for name, item in value.items())
        return "{\n" + "".join(fields) + " " * indent + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_literal(item, indent=indent) for item in value) + "]"
    return json.dumps(value) if isinstance(value, str) else repr(value)
