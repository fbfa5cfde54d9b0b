"""The request class of the application."""

from flask import Request

from payments.core.problems import ValidationFailed
from payments.web.http import card_guard, strict_json


class StrictRequest(Request):
    """A request whose JSON body is parsed strictly and checked for card numbers, wherever it is read."""

    def get_json(self, force: bool = False, silent: bool = False, cache: bool = True) -> object:  # noqa: ARG002, FBT001, FBT002 - Flask's signature
        """Return the body, an object. An invalid body is always an error, whatever the arguments."""
        if not hasattr(self, "_body"):
            body = strict_json.read(self)
            card_guard.refuse_in_body(body)
            if not isinstance(body, dict):
                raise ValidationFailed.at("#", "The body must be a JSON object.")
            self._body = body
        return self._body
