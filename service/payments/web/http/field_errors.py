"""Pydantic's validation errors as problems that say what to send instead.

They never repeat the values that were sent: one may be a secret or a card number.
"""

from collections.abc import Iterable
from typing import NoReturn

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from payments.core.problems import NotFound, ValidationFailed

#: By pydantic's type of error; the violated constraint is filled in.
_MESSAGES = {
    "missing": "This field is required.",
    "extra_forbidden": "Unknown field. Check the spelling or remove it.",
    "string_type": "Must be a string.",
    "int_type": "Must be an integer, without quotes, fraction or exponent.",
    "bool_type": "Must be true or false, without quotes.",
    "dict_type": "Must be an object.",
    "list_type": "Must be an array.",
    "literal_error": "Must be {expected}.",
    "greater_than_equal": "Must be at least {ge}.",
    "less_than_equal": "Must be at most {le}.",
    "string_too_short": "Too short: the minimum length is {min_length}.",
    "string_too_long": "Too long: the maximum length is {max_length}.",
    "string_pattern_mismatch": "Must match {pattern}.",
    "too_short": "Too few items: the minimum is {min_length}.",
    "too_long": "Too many items: the maximum is {max_length}.",
    "value_error": "{error}",
}
#: Marks an error of a field's name in pydantic's location.
_NAME = "[key]"
_PATH_SUFFIX, _QUERY_SUFFIX = "Path", "Query"


def raise_problem(error: ValidationError) -> NoReturn:
    """Raise ``error`` as a problem.

    Raises:
        NotFound: An identifier in the path is malformed.
        ValidationFailed: A body or query is invalid.
    """
    if error.title.endswith(_PATH_SUFFIX):
        raise NotFound.of("object")
    errors = field_errors(error)
    more = f" See errors for {len(errors) - 1} more." if len(errors) > 1 else ""
    raise ValidationFailed(f"{errors[0]['pointer']}: {errors[0]['detail']}{more}", errors=errors)


def field_errors(error: ValidationError) -> list[dict[str, str]]:
    """Return each invalid field with its ``pointer`` and ``detail``."""
    is_query = error.title.endswith(_QUERY_SUFFIX)
    return [_field_error(item, is_query=is_query) for item in error.errors(include_input=False, include_url=False)]


def _field_error(item: ErrorDetails, *, is_query: bool) -> dict[str, str]:
    location, detail = item["loc"], _detail(item)
    if location and location[-1] == _NAME:
        location, detail = location[:-1], f"Field name is {detail[0].lower()}{detail[1:]}"
    if is_query:
        return {"pointer": "/".join(map(str, location)), "detail": detail.replace("Unknown field", "Unknown parameter")}
    return {"pointer": _json_pointer(location), "detail": detail}


def _detail(item: ErrorDetails) -> str:
    message = _MESSAGES.get(item["type"])
    return f"{item['msg']}." if message is None else message.format(**item.get("ctx", {}))


def _json_pointer(location: Iterable[int | str]) -> str:
    return "#/" + "/".join(str(part).replace("~", "~0").replace("/", "~1") for part in location)
