"""`make serve`: the API on this machine until Ctrl-C or SIGTERM.

`PORT` (default 8443, 0 = any free one) is the HTTPS port. Once the API is ready, `.run/serve.json` has
`{"url", "ca_file", "api_key", "merchant_id", "pid"}`. The database is new every time. For tests, `SERVE_DIRECTORY`
replaces `.run` and `SERVE_SOURCE` replaces `service`.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from pydantic import Field
from rich.console import Console

from local.api import LocalApi, LocalApiSettings, RunningApi
from local.example import curl_command
from rehearsal.host.errors import PortInUseError, RehearsalError
from rehearsal.host.lock import LockedError, exclusive_lock
from rehearsal.host.settings import EnvironmentSettings, SettingsError

_CHECKOUT = Path(__file__).parents[1]


class Options(EnvironmentSettings):
    """The options; see the module."""

    port: int = Field(default=8443, ge=0, le=65_535)
    serve_directory: Path = _CHECKOUT / ".run"
    serve_source: Path = _CHECKOUT / "service"


def main() -> int:
    """Serve until stopped; return 0 then, or 1 with a message when something fails."""
    console = Console(highlight=False, soft_wrap=True)
    try:
        options = Options.read()
        settings = LocalApiSettings(
            service=options.serve_source,
            python=Path(sys.executable),
            directory=options.serve_directory.resolve() / "serve",
            port=options.port,
        )
        facts = options.serve_directory / "serve.json"
        with exclusive_lock(settings.directory / "lock"), _removed(facts):
            asyncio.run(_serve(settings, facts=facts, console=console))
    except LockedError as error:
        sys.stderr.write(f"make serve: the API is already running in this checkout (process {error.holder})\n")
        return 1
    except PortInUseError as error:
        sys.stderr.write(f"make serve: {error}; for example `make serve PORT=0`\n")
        return 1
    except (RehearsalError, SettingsError) as error:
        sys.stderr.write(f"make serve: {error}\n")
        return 1
    return 0


async def _serve(settings: LocalApiSettings, *, facts: Path, console: Console) -> None:
    console.print("Starting the database, the migrations, the api and the worker ...")
    serving = asyncio.create_task(_run(settings, facts, console))

    def stop() -> None:
        if not serving.cancelling():  # later signals must not interrupt the clean-up
            serving.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop)
    with contextlib.suppress(asyncio.CancelledError):
        await serving


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
        finally:  # even if the output was closed
            await api.stop()


@contextlib.contextmanager
def _removed(path: Path) -> Iterator[None]:
    """Remove a file before and after: it exists only while the API is ready."""
    path.unlink(missing_ok=True)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _write_facts(path: Path, running: RunningApi) -> None:
    """Write the file atomically; it has a key, so that only its owner can read it."""
    content = {**asdict(running), "ca_file": str(running.ca_file), "pid": os.getpid()}
    draft = path.with_suffix(".tmp")
    draft.touch(mode=0o600)
    draft.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    draft.replace(path)


def _show(console: Console, running: RunningApi, *, logs: Path) -> None:
    lines = [
        f"API      {running.url}",
        f"CA       {running.ca_file}",
        f"API key  {running.api_key} (test mode, all scopes)",
        f"logs     {logs}",
    ]
    # No frame: it would cut the key, which is to be copied.
    console.print("\n[bold green]The payment API is ready[/]")
    console.print("\n".join(lines), markup=False)
    console.print("\n[bold]Take a payment:[/]\n")
    command = curl_command(url=running.url, ca_file=str(running.ca_file), api_key=running.api_key)
    console.print(command, markup=False)
    console.print("\nCtrl-C stops everything.")


if __name__ == "__main__":
    sys.exit(main())
