"""`make serve`: only the API, on this machine, until Ctrl-C or SIGTERM.

`PORT` (default 8443, 0 = any free one) is the HTTPS port. Once the API is ready `.run/serve.json` says how to use it:
`{"url", "ca_file", "api_key", "merchant_id", "pid"}`. The database is new every time. Tests set `SERVE_DIRECTORY`
(instead of `.run`) and `SERVE_SOURCE` (instead of `service`).
"""

import asyncio
import contextlib
import fcntl
import json
import os
import shlex
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from rehearsal.compute.errors import ComputeError, PortInUseError
from rehearsal.compute.local_api import LocalApi, LocalApiSettings, RunningApi

_CHECKOUT = Path(__file__).parents[1]
_DEFAULT_PORT = "8443"
_MAX_PORT = 65_535
_EXAMPLE = {"amount": 1250, "currency": "USD", "payment_method": "tok_visa", "capture_method": "automatic"}


class UsageError(Exception):
    """The command cannot be carried out as given."""


def main() -> int:
    """Serve until told to stop; exit code 0 then, 1 with a message when something fails."""
    console = Console(highlight=False, soft_wrap=True)
    run = Path(os.environ.get("SERVE_DIRECTORY", _CHECKOUT / ".run"))
    service = Path(os.environ.get("SERVE_SOURCE", _CHECKOUT / "service"))
    try:
        settings = LocalApiSettings(
            service=service, python=Path(sys.executable), directory=run.resolve() / "serve", port=_port(os.environ)
        )
        with _only_one(settings.directory), _no_file(run / "serve.json"):
            asyncio.run(_serve(settings, facts=run / "serve.json", console=console))
    except PortInUseError as error:
        sys.stderr.write(f"make serve: {error}; for example `make serve PORT=0`\n")
        return 1
    except (ComputeError, UsageError) as error:
        sys.stderr.write(f"make serve: {error}\n")
        return 1
    return 0


async def _serve(settings: LocalApiSettings, *, facts: Path, console: Console) -> None:
    console.print("Starting the database, the migrations, the api and the worker ...")
    serving = asyncio.create_task(_run(settings, facts, console))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, _Stop(serving))
    with contextlib.suppress(asyncio.CancelledError):
        await serving


class _Stop:
    """Cancels the serving task at the first signal; later ones must not interrupt its clean-up."""

    def __init__(self, serving: "asyncio.Task[None]") -> None:
        self._serving = serving

    def __call__(self) -> None:
        if not self._serving.cancelling():
            self._serving.cancel()


async def _run(settings: LocalApiSettings, facts: Path, console: Console) -> None:
    api = LocalApi(settings)
    try:
        running = await api.start()
        _write_facts(facts, running)
        _show(console, running, logs=settings.directory / "logs")
        await api.wait()
    finally:
        try:
            console.print("Stopping ...")
        finally:  # also when nobody reads what is printed any more
            await api.stop()


def _port(environment: "os._Environ[str] | dict[str, str]") -> int:
    text = environment.get("PORT") or _DEFAULT_PORT
    if not text.isdecimal() or int(text) > _MAX_PORT:
        raise UsageError(f"PORT is {text!r}; it must be a number from 0 (any free port) to {_MAX_PORT}")
    return int(text)


@contextlib.contextmanager
def _only_one(directory: Path) -> Iterator[None]:
    """Hold this checkout's place for one server; the kernel frees it however the process ends."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise UsageError(
                f"the API already runs in this checkout (process {file.read().strip()}); stop it"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


@contextlib.contextmanager
def _no_file(path: Path) -> Iterator[None]:
    """Remove a file before and after: it tells about a server that runs."""
    path.unlink(missing_ok=True)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _write_facts(path: Path, running: RunningApi) -> None:
    """Write the file in one step: who sees it sees all of it."""
    content = {
        "url": running.url,
        "ca_file": str(running.ca_file),
        "api_key": running.api_key,
        "merchant_id": running.merchant_id,
        "pid": os.getpid(),
    }
    temporary = path.with_suffix(".tmp")
    temporary.touch(mode=0o600)
    temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    temporary.replace(path)


def _show(console: Console, running: RunningApi, *, logs: Path) -> None:
    curl = _curl(running)
    lines = [
        f"API      {running.url}",
        f"CA       {running.ca_file}",
        f"API key  {running.api_key} (test mode, all scopes)",
        f"logs     {logs}",
    ]
    # No box around it: it would cut the key, which is to be copied whole.
    console.print("\n[bold green]The payment API is ready[/]")
    console.print("\n".join(lines), markup=False)
    console.print("\n[bold]Take a payment:[/]\n")
    console.print(curl, markup=False)
    console.print("\nCtrl-C stops everything.")


def _curl(running: RunningApi) -> str:
    parts = [
        f"curl --cacert {shlex.quote(str(running.ca_file))} {running.url}/v1/payments",
        f"-H 'Authorization: Bearer {running.api_key}'",
        '-H "Idempotency-Key: $(date +%s)"',
        "-H 'Content-Type: application/json'",
        f"-d '{json.dumps(_EXAMPLE)}'",
    ]
    return " \\\n  ".join(parts)


if __name__ == "__main__":
    sys.exit(main())
