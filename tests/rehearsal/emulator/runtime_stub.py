"""A compute runtime that only answers: it records what the emulator asks for and fails what a test tells it to."""

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class ControlServer:
    """`calls` are (method, path, body) in order; a path in `failures` is answered 409 with that reason."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.calls: list[tuple[str, str, Any]] = []
        self.failures: dict[str, str] = {}

    def paths(self, method: str) -> list[str]:
        """Return the paths called with `method`, in order."""
        return [path for called, path, _ in self.calls if called == method]


@contextmanager
def control_server() -> Iterator[ControlServer]:
    """Serve the control API on loopback."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.answer()

        def do_DELETE(self) -> None:
            self.answer()

        def answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            control.calls.append((self.command, self.path, body))
            reason = control.failures.get(self.path) if self.command == "PUT" else None
            content = json.dumps({"reason": reason} if reason else {}).encode()
            self.send_response(409 if reason else 200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the base class
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    control = ControlServer(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield control
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
