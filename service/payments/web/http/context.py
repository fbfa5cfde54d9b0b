"""The service context of the application that serves the current request."""

from typing import cast

from flask import Flask, current_app

from payments.services.context import Context

_EXTENSION = "payments.context"


def register(app: Flask, context: Context) -> None:
    """Make ``context`` available to the endpoints of ``app``."""
    app.extensions[_EXTENSION] = context


def context() -> Context:
    """Return the context of the current application."""
    return cast("Context", current_app.extensions[_EXTENSION])
