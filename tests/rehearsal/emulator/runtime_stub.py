"""A stub of the container runtime, which records the requests of the emulator and fails those that a test chooses."""

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class RuntimeStub:
    """`calls` are (method, path, body) in order; a PUT to a path in `failures` returns 409 with that reason."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.calls: list[tuple[str, str, Any]] = []
        self.failures: dict[str, str] = {}

    def paths(self, method: str) -> list[str]:
        """Return the paths of the calls with a method."""
        return [path for each, path, _ in self.calls if each == method]


@contextmanager
def runtime_stub() -> Iterator[RuntimeStub]:
    """Serve the control API on loopback."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.respond()

        def do_DELETE(self) -> None:
            self.respond()

        def respond(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            stub.calls.append((self.command, self.path, body))
            reason = stub.failures.get(self.path) if self.command == "PUT" else None
            content = json.dumps({"reason": reason} if reason else {}).encode()
            self.send_response(409 if reason else 200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the base class
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    stub = RuntimeStub(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
