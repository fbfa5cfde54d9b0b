"""Forms (``application/x-www-form-urlencoded``), read as strictly as JSON, and shown in the OpenAPI document."""

from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from flask import Request
from pydantic import BaseModel, ValidationError

from payments.core.problems import ContentTooLarge, MalformedRequest, UnsupportedMediaType
from payments.web.http import strict_json

MEDIA_TYPE = "application/x-www-form-urlencoded"
#: Bytes of a form.
_MAX_FORM = 256
_View = TypeVar("_View", bound=Callable[..., Any])
_Form = TypeVar("_Form", bound=BaseModel)
_ATTRIBUTE = "__form__"


def takes_form(model: type[BaseModel]) -> Callable[[_View], _View]:
    """Declare that a view takes ``model`` as a form, which it reads with :func:`read`."""

    def mark(view: _View) -> _View:
        setattr(view, _ATTRIBUTE, model)
        return view

    return mark


def form_of(view: Callable[..., object]) -> type[BaseModel] | None:
    """Return the form that ``view`` takes, if any."""
    model: type[BaseModel] | None = getattr(view, _ATTRIBUTE, None)
    return model


def read(request: Request, model: type[_Form], *, hint: str) -> _Form:
    """Return the form in the body of ``request``.

    Raises:
        UnsupportedMediaType: It is not declared as a form.
        MalformedRequest: It is not what ``model`` takes; ``hint`` says what to send.
    """
    if request.mimetype != MEDIA_TYPE:
        raise UnsupportedMediaType(f"Send the form as {MEDIA_TYPE}.")
    try:
        text = strict_json.read_body(request, _MAX_FORM).decode("ascii")  # everything else is percent-encoded
        pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=True, errors="strict")
        if len(dict(pairs)) < len(pairs):
            raise MalformedRequest(hint)
        return model.model_validate(dict(pairs))
    except (ContentTooLarge, ValueError, ValidationError) as error:
        raise MalformedRequest(hint) from error
