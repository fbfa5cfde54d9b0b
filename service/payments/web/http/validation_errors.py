"""What pydantic finds wrong with a request, told so that the reader knows what to send instead.

Values that were sent are never repeated: one may be a secret or a card number.
"""

from collections.abc import Iterable, Mapping

from pydantic import ValidationError
from pydantic_core import ErrorDetails

#: By pydantic's type of error; the constraint that was broken is filled in.
_WORDS: Mapping[str, str] = {
    "missing": "This is required.",
    "extra_forbidden": "There is no such thing here. Check the spelling, or leave it out.",
    "string_type": "Send a string.",
    "int_type": "Send a whole number, without quotes, fraction or exponent.",
    "bool_type": "Send true or false, without quotes.",
    "dict_type": "Send an object.",
    "list_type": "Send an array.",
    "literal_error": "Send one of: {expected}.",
    "greater_than_equal": "Too small: send {ge} or more.",
    "less_than_equal": "Too large: send {le} or less.",
    "string_too_short": "Too short: send {min_length} or more characters.",
    "string_too_long": "Too long: send {max_length} or fewer characters.",
    "string_pattern_mismatch": "Send text of the form {pattern}.",
    "too_short": "Too few: send {min_length} or more.",
    "too_long": "Too many: send {max_length} or fewer.",
    "value_error": "{error}",
}
#: Where pydantic says that the name of a member, not its value, is meant.
_NAME = "[key]"
#: A model of query parameters has a name with this ending; any other but a path's is of a body.
_QUERY_SUFFIX = "Query"


def listed(error: ValidationError) -> list[dict[str, str]]:
    """Each mistake as ``pointer`` and ``detail``."""
    is_query = error.title.endswith(_QUERY_SUFFIX)
    return [_mistake(item, is_query=is_query) for item in error.errors(include_input=False, include_url=False)]


def _mistake(item: ErrorDetails, *, is_query: bool) -> dict[str, str]:
    location, detail = item["loc"], _detail(item)
    if location and location[-1] == _NAME:
        location, detail = location[:-1], f"Its name: {detail}"
    pointer = "/".join(str(part) for part in location) if is_query else _pointer(location)
    return {"pointer": pointer, "detail": detail}


def _detail(item: ErrorDetails) -> str:
    words = _WORDS.get(item["type"])
    return f"{item['msg']}." if words is None else words.format(**item.get("ctx", {}))


def _pointer(location: Iterable[int | str]) -> str:
    return "#/" + "/".join(str(part).replace("~", "~0").replace("/", "~1") for part in location)
