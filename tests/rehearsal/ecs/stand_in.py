"""An image whose containers run a script of the test, and a host for their tasks."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rehearsal.ecr.images import ImageStore
from rehearsal.ecs.container_secrets import SecretResolver
from rehearsal.ecs.environments import ServiceDiscovery
from rehearsal.ecs.tasks import AddressPool, TaskHost
from rehearsal.host.certificates import CertificateAuthority
from rehearsal.host.errors import TaskDefinitionError
from rehearsal.host.processes import ProcessTable

IMAGE = "000000000000.dkr.ecr.us-east-1.amazonaws.com/assets:stand-in"

STAND_IN = '''
"""`python -m stand_in SCRIPT`: run a script with these names in scope."""
import http.server, json, os, signal, ssl, sys, threading
from pathlib import Path

def stop_on_sigterm():
    def stop(*_):
        print("stopped", flush=True)
        os._exit(0)
    signal.signal(signal.SIGTERM, stop)

def wait_at(gate):
    """Wait until the test opens a gate."""
    with open(gate, "rb", buffering=0) as fifo:
        fifo.read(1)

def serve(status=200, release="1", gate=None):
    """Serve HTTPS on BIND_HOST:PORT until SIGTERM, which aborts the requests in flight; `/slow` waits at the gate."""
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        def respond(self):
            length = int(self.headers.get("Content-Length", 0))
            received = self.rfile.read(length)
            if self.path == "/slow":
                wait_at(gate)
            body = {"release": release, "path": self.path, "headers": dict(self.headers), "body": received.decode()}
            content = json.dumps(body).encode()
            self.send_response(status if self.path == "/healthz" else 200)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(content)
        do_GET = do_POST = respond
        def log_message(self, *_):
            pass
    server = http.server.ThreadingHTTPServer((os.environ["BIND_HOST"], int(os.environ["PORT"])), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain("server.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    stop_on_sigterm()
    print("serving", flush=True)
    server.serve_forever()

if __name__ == "__main__":
    exec(sys.argv[1])
'''


class Gate:
    """A FIFO at which one script at a time waits until the test opens it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        os.mkfifo(path)
        # Open at both ends, so that neither side waits for the other to open it.
        self._descriptor = os.open(path, os.O_RDWR)

    def __str__(self) -> str:
        return str(self._path)

    def open(self) -> None:
        """Let a script pass, whether it waits already or not."""
        os.write(self._descriptor, b".")

    def close(self) -> None:
        os.close(self._descriptor)


def build_images(folder: Path) -> ImageStore:
    """Return an image store in a folder, with IMAGE pushed."""
    context = folder / "context"
    context.mkdir()
    (context / "stand_in.py").write_text(STAND_IN)
    leaf = CertificateAuthority(folder / "image-authority").issue()
    leaf.private_key_and_cert_chain_pem.write_to_path(str(context / "server.pem"))
    (context / "rds.pem").write_text("the root certificates of RDS")
    (context / "Dockerfile").write_text("FROM python\nWORKDIR /app\nENV FROM_IMAGE=yes\nCOPY . .\n")
    store = ImageStore(folder / "images")
    store.build(context, tags=[IMAGE])
    store.mark_pushed(IMAGE)
    return store


class Secrets(SecretResolver):
    """Secrets from a dictionary instead of an account."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    def resolve(self, references: Mapping[str, str]) -> dict[str, str]:
        """Look up every reference."""
        try:
            return {name: self._values[reference] for name, reference in references.items()}
        except KeyError as error:
            raise TaskDefinitionError(f"ResourceInitializationError: {error}") from None


class Database:
    """The address of a database."""

    host = "localhost"
    port = 15432


def create_host(folder: Path, images: ImageStore) -> TaskHost:
    """Return a host of tasks that can find a database (`db.example`) and a load balancer (`alb.example`)."""
    return TaskHost(
        directory=folder / "tasks",
        logs=folder / "logs",
        table=ProcessTable(folder),
        images=images,
        addresses=AddressPool(),
        discovery=ServiceDiscovery(
            ca_file=CertificateAuthority(folder / "ca").certificate,
            find_database=lambda name: Database() if name == "db.example" else None,
            localize_load_balancers=lambda text: text.replace("alb.example", "localhost:10443"),
        ),
        secrets_for=lambda _definition: Secrets({"arn:user": "app", "arn:password": "/app/p w"}),
    )


def container(name: str, script: str, **more: object) -> dict[str, Any]:
    """Return a container of a task definition that runs a script."""
    return {"name": name, "image": IMAGE, "command": ["python", "-m", "stand_in", script], **more}
