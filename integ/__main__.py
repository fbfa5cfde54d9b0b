"""`python -m integ`: check a deployed environment from outside. Exit status 0 only when every promise is kept."""

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from integ import edge, payments, transport
from integ.client import CheckError, Client, SkippedError
from integ.report import Outcome, Result, write_junit
from integ.settings import Settings, SettingsError

_SHOWN_EXCHANGES = 5

Check = Callable[[Client], None]

CHECKS: tuple[Check, ...] = (
    transport.certificate_is_trusted,
    transport.old_tls_is_refused,
    transport.plain_http_redirects,
    edge.alive,
    edge.ready,
    edge.security_headers,
    edge.anonymous_is_refused,
    payments.payment_goes_all_its_way,
    payments.repeated_request_is_replayed,
    edge.largest_body_is_accepted,
    edge.firewall_answers,
    edge.free_text_is_accepted,
)
_ENVIRONMENT = """\
environment:
  BASE_URL               https:// address of the API (required)
  SMOKE_KEY_ID           id of the smoke checks' API key (required)
  SMOKE_KEY_SECRET       its secret (required)
  CA_BUNDLE              PEM file of trusted roots (REQUESTS_CA_BUNDLE is honoured too)
  TLS_SERVER_NAME        name that the certificate must have, where it is not the host
  HTTP_URL               address of the plain HTTP listener, where BASE_URL names a port
  FIREWALL               present (default), or absent where none is in front, as before `make serve`
  SMOKE_PAYMENT_METHOD   token of an always approved test card (default: tok_visa)
"""


def main(arguments: Sequence[str]) -> int:
    """Run every check, show the results, and answer the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m integ",
        description="Check a deployed environment from outside, over HTTPS, with the smoke key.",
        epilog=_ENVIRONMENT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--junit", type=Path, help="write a JUnit report to this file")
    parser.add_argument("--patience", type=float, default=60.0, help="seconds to wait for a fresh release (60)")
    options = parser.parse_args(arguments)
    try:
        settings = Settings.from_environment(os.environ)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    results = run(Client(settings=settings), patience=options.patience)
    for result in results:
        print("\n".join(result.lines()))
    if options.junit:
        write_junit(options.junit, results, base_url=settings.base_url)
    failed = [result for result in results if result.outcome == "failed"]
    skipped = sum(result.outcome == "skipped" for result in results)
    print(f"{settings.base_url}: {len(results)} checks, {len(failed)} failed, {skipped} skipped")
    return 1 if failed else 0


def run(client: Client, *, patience: float, checks: Sequence[Check] = CHECKS) -> list[Result]:
    """Wait for the release, then run the checks in order; a failed one does not keep the others from running."""
    waited = _run_one(client, _wait(patience))
    if waited.outcome == "failed":  # whatever else would be tried could only fail the same way
        certificate = _run_one(client, transport.certificate_is_trusted)
        return [certificate, waited] if certificate.outcome == "failed" else [waited]
    return [_run_one(client, check) for check in checks]


def _wait(patience: float) -> Check:
    def reachable(client: Client) -> None:
        """The release is reachable."""
        edge.wait_until_alive(client, seconds=patience)

    return reachable


def _run_one(client: Client, check: Check) -> Result:
    client.exchanges.clear()
    started = time.monotonic()
    outcome: Outcome = "passed"
    reason, exchanges = "", list[str]()
    try:
        check(client)
    except SkippedError as skipped:
        outcome, reason = "skipped", str(skipped)
    except CheckError as error:
        outcome, reason = "failed", str(error)
        exchanges = [line for exchange in client.exchanges[-_SHOWN_EXCHANGES:] for line in exchange.lines()]
    return Result(
        name=check.__name__,
        promise=(check.__doc__ or check.__name__).splitlines()[0],
        outcome=outcome,
        seconds=time.monotonic() - started,
        reason=reason,
        exchanges=tuple(exchanges),
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
