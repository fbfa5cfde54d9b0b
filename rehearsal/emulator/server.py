"""The emulator: `python -m rehearsal.emulator.server --port 4566 --data .run/emulator`.

It is `ministack` with the handlers, APIs and checks of this package, on a loopback port; port 0 takes any free one.
Once it responds it writes `<data>/ready.json` (`{"port", "pid"}`); its log is `<data>/emulator.log`. SIGTERM stops it,
and with `--exit-with-parent` the end of its standard input does too, so that it does not outlive a killed parent.

`CONTROL_URL` is the URL of the container runtime's control API; without it services and databases are only records.
"""

import argparse
import asyncio
import json
import os
import signal
import socket
import sys
import threading
import urllib.request
from pathlib import Path
from typing import Any

from rehearsal.account.sessions import ACCOUNT_ID, REGION, SECRET_ACCESS_KEY, endpoint_url

READY_FILE = "ready.json"
LOG_FILE = "emulator.log"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m rehearsal.emulator.server", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (0: any free one)")
    parser.add_argument("--data", type=Path, required=True, help="folder of the log, records and scratch files")
    parser.add_argument("--exit-with-parent", action="store_true", help="exit at the end of standard input")
    return parser.parse_args()


def _listen(port: int) -> socket.socket:
    """Listen on loopback; the socket is bound before anything else starts, so that a port in use is reported early."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        raise SystemExit(
            f"The emulator cannot listen on 127.0.0.1:{port}: {error.strerror}. Choose another port, or 0 for any."
        ) from error
    listener.listen(128)
    return listener


def _log_to(path: Path) -> None:
    """Redirect the output of this process and of the Lambda functions to a file."""
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)


def _configure(port: int, data: Path) -> None:
    """Set the environment variables that `ministack` reads when it is imported."""
    scratch = data / "tmp"
    scratch.mkdir(parents=True, exist_ok=True)
    os.environ.update(
        {
            "GATEWAY_PORT": str(port),
            "BIND_HOST": "127.0.0.1",
            "MINISTACK_HOST": "127.0.0.1",
            "MINISTACK_ACCOUNT_ID": ACCOUNT_ID,
            "MINISTACK_REGION": REGION,
            "AWS_ENDPOINT_URL": endpoint_url(port),
            "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,  # of the root, which the emulator acts as
            "AUTH": "true",
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "LAMBDA_EXECUTOR": "local",
            "PERSIST_STATE": "0",
            "S3_PERSIST": "0",
            "S3_DATA_DIR": str(data / "s3"),
            "STATE_DIR": str(data / "state"),
            "TMPDIR": str(scratch),
            # The emulator must not use a container engine of this machine.
            "DOCKER_HOST": f"unix://{data / 'no-container-engine.sock'}",
        }
    )


def _request(url: str) -> None:
    with urllib.request.urlopen(url, timeout=30):  # noqa: S310 - the emulator's loopback address
        pass


async def _serve(listener: socket.socket, data: Path, *, exit_with_parent: bool) -> None:
    # Imported here because they read the environment set by _configure.
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    from rehearsal.account.records import Records
    from rehearsal.emulator.apis.authorization import AuthorizationApi
    from rehearsal.emulator.apis.codepipeline import CodePipelineApi
    from rehearsal.emulator.apis.ecr import ImageScanApi
    from rehearsal.emulator.authorization import evaluation
    from rehearsal.emulator.authorization.authority import Authority
    from rehearsal.emulator.authorization.requests import authorize_requests
    from rehearsal.emulator.authorization.service_calls import DeferredServiceCalls
    from rehearsal.emulator.core import ministack, registry_tokens
    from rehearsal.emulator.handlers.registry import register

    port: int = listener.getsockname()[1]
    records = Records(data / "records")
    authority = Authority()
    evaluation.correct_condition_keys()
    authorize_requests(authority)
    service_calls = DeferredServiceCalls(authority)
    register(
        records=records,
        port=port,
        control_url=os.environ.get("CONTROL_URL"),
        authority=authority,
        service_calls=service_calls,
    )
    ministack.refuse_unknown_images()
    ministack.keep_whole_web_acls()
    registry_tokens.identify_tokens()

    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    if exit_with_parent:

        def watch() -> None:
            while os.read(0, 1024):
                pass
            loop.call_soon_threadsafe(stopped.set)

        threading.Thread(target=watch, daemon=True, name="parent-watch").start()

    config = Config()
    config.bind = [f"fd://{listener.fileno()}"]
    config.keep_alive_timeout = 75
    config.graceful_timeout = 1
    config.loglevel = "WARNING"
    scans = ImageScanApi(ministack.application(), port=port, findings=data / "findings", authority=authority)

    application: Any = AuthorizationApi(CodePipelineApi(scans, records, authority), authority, service_calls)
    serving = asyncio.create_task(serve(application, config, shutdown_trigger=stopped.wait))
    # The connection is in the backlog of the socket until the application is up.
    health = asyncio.create_task(asyncio.to_thread(_request, f"{endpoint_url(port)}/_ministack/health"))
    await asyncio.wait({serving, health}, return_when=asyncio.FIRST_COMPLETED)
    if serving.done():
        serving.result()
        return
    health.result()
    ready = data / f".{READY_FILE}"
    ready.write_text(json.dumps({"port": port, "pid": os.getpid()}))
    ready.rename(data / READY_FILE)
    await serving


def main() -> None:
    """Run the emulator until it is stopped."""
    arguments = _arguments()
    data: Path = arguments.data.resolve()
    data.mkdir(parents=True, exist_ok=True)
    (data / READY_FILE).unlink(missing_ok=True)
    listener = _listen(arguments.port)
    _log_to(data / LOG_FILE)
    _configure(listener.getsockname()[1], data)
    asyncio.run(_serve(listener, data, exit_with_parent=arguments.exit_with_parent))
    (data / READY_FILE).unlink(missing_ok=True)
    # Worker threads cannot be cancelled, and this process has nothing to save.
    os._exit(0)


if __name__ == "__main__":
    main()
