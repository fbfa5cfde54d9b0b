"""Request guards: what is checked before an endpoint runs. Who is calling, may they, and is the request well-formed.

Each endpoint declares who may call it with :func:`requires` or :func:`public`. The application refuses to start with
one that declares neither, so no endpoint is left open by accident.
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
    """Declare that an endpoint requires an API key with all ``scopes``; without any, every valid key will do."""

    def mark(view: _View) -> _View:
        setattr(view, _SCOPES, frozenset(scopes))
        return view

    return mark


def public(view: _View) -> _View:
    """Declare that anybody may call an endpoint, or that it checks its caller itself."""
    setattr(view, _SCOPES, None)
    return view


def scopes_of(view: Callable[..., object]) -> frozenset[Scope] | None:
    """Return the scopes that ``view`` requires, None if it is public.

    Raises:
        LookupError: It declares neither.
    """
    try:
        scopes: frozenset[Scope] | None = getattr(view, _SCOPES)
    except AttributeError:
        raise LookupError(f"Decorate the view {view.__name__} with @requires(...) or @public.") from None
    return scopes


def register(app: Flask) -> None:
    """Guard every request of ``app``; call it after all views are registered.

    Raises:
        LookupError: A view does not declare who may call it.
    """
    views = {name: view for name, view in app.view_functions.items() if name != "static"}
    scopes = {name: scopes_of(view) for name, view in views.items()}
    takes_query = {name: "query" in inspect.signature(view).parameters for name, view in views.items()}

    def check() -> None:
        card_guard.refuse_in_url(request)
        if request.endpoint not in scopes:
            return  # 404 or 405
        required = scopes[request.endpoint]
        if required is not None:
            auth.require(*required)
        _check_query(takes_query=takes_query[request.endpoint])

    app.before_request(check)


def _check_query(*, takes_query: bool) -> None:
    """Check encoding and repetition; unknown parameters are left to the endpoint's model, if it has one."""
    if not request.query_string:
        return
    if request.args and not takes_query:
        raise MalformedRequest("This operation takes no query parameters.")
    try:
        text = unquote_to_bytes(request.query_string).decode()
    except UnicodeDecodeError as error:
        raise MalformedRequest("The query string is not UTF-8. Percent-encode it as UTF-8.") from error
    if "\0" in text:
        raise MalformedRequest("The query string contains a NUL character. Remove it.")
    if any(len(values) > 1 for _, values in request.args.lists()):
        raise MalformedRequest("A query parameter is repeated. Send each parameter once.")
