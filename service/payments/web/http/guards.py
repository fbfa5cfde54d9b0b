"""What happens to every request before its view: who asks, may they, and is the request fit to be read.

A view says what it needs with :func:`requires` or :func:`public`; one that says neither is refused at start-up, so that
no endpoint is open by forgetting.
"""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import unquote_to_bytes

from flask import Flask, request

from payments.core.problems import MalformedRequest
from payments.domain.api_keys import Scope
from payments.web.http import auth, card_guard

_View = TypeVar("_View", bound=Callable[..., Any])
_SCOPES = "__scopes__"


def requires(*scopes: Scope) -> Callable[[_View], _View]:
    """A view that needs an API key with all of ``scopes``; without any, every valid key will do."""

    def mark(view: _View) -> _View:
        setattr(view, _SCOPES, frozenset(scopes))
        return view

    return mark


def public(view: _View) -> _View:
    """A view that anybody may call, or that checks its caller itself."""
    setattr(view, _SCOPES, None)
    return view


def scopes_of(view: Callable[..., Any]) -> frozenset[Scope] | None:
    """The scopes that ``view`` needs, ``None`` when it is public.

    Raises:
        LookupError: it does not say.
    """
    try:
        found: frozenset[Scope] | None = getattr(view, _SCOPES)
    except AttributeError:
        raise LookupError(f"The view {view.__name__} must say @requires(...) or @public.") from None
    return found


def register(app: Flask) -> None:
    """Check every request of ``app``; call it when all views are there.

    Raises:
        LookupError: a view does not say who may call it.
    """
    views = {name: view for name, view in app.view_functions.items() if name != "static"}
    scopes = {name: scopes_of(view) for name, view in views.items()}
    takes_query = {name: "query" in inspect.signature(view).parameters for name, view in views.items()}

    def check() -> None:
        card_guard.refuse_in_url(request)
        if request.endpoint not in scopes:
            return  # 404 or 405
        needed = scopes[request.endpoint]
        if needed is not None:
            auth.require(*sorted(needed))
        _check_query(takes_any=takes_query[request.endpoint])

    app.before_request(check)


def _check_query(*, takes_any: bool) -> None:
    """UTF-8, each parameter once, and none where none is taken; unknown ones among known are for the view's model."""
    if request.args and not takes_any:
        raise MalformedRequest("This operation takes no query parameters.")
    try:
        text = unquote_to_bytes(request.query_string).decode()
    except UnicodeDecodeError as error:
        raise MalformedRequest("The query is not UTF-8. Encode it as UTF-8, then per cent.") from error
    if "\0" in text:
        raise MalformedRequest("The query holds a NUL. Leave it out.")
    if any(len(values) > 1 for _, values in request.args.lists()):
        raise MalformedRequest("A query parameter is given twice. Give each once.")
