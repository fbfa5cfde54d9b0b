"""A payment as a bare Flask view that calls C1's functions through psycopg, on the service's own server.

It is started in the service's folder with the api's environment: what Flask, the server and psycopg cost at least.
"""

import os
import sys
import time
from http import HTTPStatus

from flask import Flask, Response, request
from psycopg_pool import ConnectionPool

from payments.core.settings import Settings
from payments.server.https_server import serve

_MERCHANT = "mer_frozen"
_POOL = 16


def make_app(conninfo: str = "") -> Flask:
    """Return the application."""
    app = Flask(__name__)
    pool = ConnectionPool(conninfo, min_size=2, max_size=_POOL, kwargs={"autocommit": True}, open=True)

    @app.post("/v1/payments")
    def create() -> Response:
        request.get_json()
        suffix = f"0{time.time_ns()}{os.urandom(3).hex()}"  # in order of time, as the service's identifiers
        with pool.connection() as connection:
            connection.execute("SELECT c1_begin(%s, %s)", [_MERCHANT, suffix])
        with pool.connection() as connection:
            connection.execute("SELECT c1_journal(%s)", [suffix])
        with pool.connection() as connection:
            row = connection.execute("SELECT c1_settle(%s, %s)", [_MERCHANT, suffix]).fetchone()
        return Response(row[0] if row else "", HTTPStatus.CREATED, content_type="application/json")

    @app.get("/readyz")
    @app.get("/healthz")
    def healthy() -> Response:
        return Response("{}", content_type="application/json")

    return app


if __name__ == "__main__":
    sys.exit(serve(Settings.from_environment(), make_app))
