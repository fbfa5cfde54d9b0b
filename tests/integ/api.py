"""A fake payment API on loopback HTTPS that passes every check, except for the faults it is given."""

import datetime as dt
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qs, urlsplit

import trustme

API_KEY = "sk_test_smokedev_0123456789012345678901234567890123456789012"
HOST_NAME = "api.payments.example"


class Api(ThreadingHTTPServer):
    """The server; `faults` names what is broken, `url` is its address."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, *, context: ssl.SSLContext | None, https_url: str = "") -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.faults: set[str] = set()
        self.payments: dict[str, dict[str, Any]] = {}
        self.responses: dict[str, tuple[int, bytes]] = {}
        self.failures_left = 0
        self.failure = 503
        self.https_url = https_url
        self._context = context
        self.url = f"{'https' if context else 'http'}://127.0.0.1:{self.server_address[1]}"

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection; close it if the client is gone already, unlike `SSLSocket.accept`."""
        connection, address = super().get_request()
        if self._context is None:
            return connection, address
        try:
            secured = self._context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        except OSError:
            connection.close()
            raise
        return secured, address

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore errors: some checks expect a rejected handshake."""


@contextmanager
def serving(server: Api) -> Iterator[Api]:
    """Serve until the block ends."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def make_certificate(folder: Path, *, days: int = 1, name: str = "127.0.0.1") -> tuple[ssl.SSLContext, Path]:
    """Return a server context with a certificate for `name`, and the file of the root that trusts it."""
    now = dt.datetime.now(dt.UTC)
    authority = trustme.CA()
    issued = authority.issue_cert(name, not_before=now - dt.timedelta(days=10), not_after=now + dt.timedelta(days=days))
    folder.mkdir(parents=True, exist_ok=True)
    root = folder / "root.pem"
    authority.cert_pem.write_to_path(str(root))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued.configure_cert(context)
    return context, root


class _Handler(BaseHTTPRequestHandler):
    server: Api
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def version_string(self) -> str:
        return "payments/1.2" if self._broken("server version") else "payments"

    def do_GET(self) -> None:
        if self.server.https_url:
            return self._redirect()
        url = urlsplit(self.path)
        for path, fault in (("/healthz", "health"), ("/readyz", "readiness")):
            if url.path == path:
                return self._send(503 if self._broken(fault) else 200, {"status": "ok"})
        return self._read(url) if self._authenticated() else None

    def _read(self, url: SplitResult) -> None:
        query = parse_qs(url.query)
        if "UNION SELECT" in query.get("reference", [""])[0] and not self._broken("firewall"):
            if self._broken("firewall page"):
                return self._send_bytes(403, b"<html>", {"Content-Type": "text/html"})
            code = "forbidden" if self._broken("firewall code") else "request_blocked"
            return self._send(403, {"status": 403, "code": code})
        if url.path == "/v1/payments":
            found = [
                p for p in self.server.payments.values() if p.get("reference") == query.get("reference", [None])[0]
            ]
            return self._send(200, {"object": "list", "data": found})
        payment = self.server.payments.get(url.path.rpartition("/")[2])
        if payment is None:
            return self._send(404, {"status": 404})
        if self._broken("unknown outcome") and payment["status"] == "processing":
            payment["status"] = "requires_capture"
            return self._send(200, {**payment, "status": "processing"})
        return self._send(200, payment)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if len(body) > 65_536 and not self._broken("no limit"):
            return self._send(413, {"status": 413})
        if len(body) > 8_192 and self._broken("low limit"):
            return self._send(403, {"status": 403})
        if b"OR 1=1" in body and self._broken("firewall blocks text"):
            return self._send(403, {"status": 403, "code": "request_blocked"})
        if not self._authenticated():
            return None
        key = self.headers["Idempotency-Key"]
        if key in self.server.responses and not self._broken("replay"):
            status, response = self.server.responses[key]
            replayed = {} if self._broken("replay header") else {"Idempotency-Replayed": "true"}
            return self._send_bytes(status, response, replayed)
        status, payload = self._act(json.loads(body))
        response = json.dumps(payload).encode()
        self.server.responses[key] = status, response
        return self._send_bytes(status, response)

    def _act(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        parts = self.path.strip("/").split("/")
        if len(parts) == 2:
            return self._create(body)
        payment, action = self.server.payments[parts[2]], parts[3]
        if action == "capture":
            payment["status"] = "succeeded"
            payment["amount_captured"] = 1 if self._broken("capture") else payment["amount"]
            return 200, payment
        if action == "void":
            payment["status"] = "canceled"
            return 200, payment
        if not self._broken("refund"):
            payment["amount_refunded"] += body["amount"]
        return 201, {"object": "refund", "amount": body["amount"], "status": "succeeded"}

    def _create(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        identifier = f"pay_{len(self.server.payments)}"
        payment = self.server.payments[identifier] = {
            "id": identifier,
            "status": "processing" if self._broken("unknown outcome") else "requires_capture",
            "amount": body["amount"],
            "reference": body.get("reference"),
            "description": body.get("description"),
            "amount_authorized": body["amount"],
            "amount_captured": 0,
            "amount_refunded": 0,
            "amount_refund_pending": 0,
            "pending_operation": None,
            "livemode": self._broken("live"),
        }
        if self._broken("declined"):
            return 402, {"status": 402, "code": "card_declined"}
        return 201, dict(payment)

    def _broken(self, what: str) -> bool:
        return what in self.server.faults

    def _authenticated(self) -> bool:
        if self._broken("no authentication") or self.headers.get("Authorization") == f"Bearer {API_KEY}":
            return True
        kind = "application/json" if self._broken("no problem") else "application/problem+json"
        self._send(401, {"status": 401}, {"Content-Type": kind})
        return False

    def _redirect(self) -> None:
        target = self.server.https_url + ("/" if self._broken("lost path") else self.path)
        if self._broken("insecure redirect"):
            target = target.replace("https:", "http:")
        if self._broken("no redirect"):
            return self._send(200, {"status": "ok"})
        return self._send(301, {}, {"Location": target})

    def _send(self, status: int, payload: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        self._send_bytes(status, json.dumps(payload).encode(), headers or {})

    def _send_bytes(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        if self.server.failures_left:
            self.server.failures_left -= 1
            status = self.server.failure
        if self._broken("no json"):
            body = b"<html>"
        if self._broken("list"):
            body = b"[]"
        self.send_response(status)
        secure = {
            "Content-Type": "application/json",
            "Strict-Transport-Security": "max-age=63072000",
            "X-Content-Type-Options": "nosniff",
            "Content-Security-Policy": "default-src 'none'",
        }
        for name, value in {**secure, **(headers or {})}.items():
            if not self._broken(f"no {name}"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
