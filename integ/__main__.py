"""Runs the smoke checks: `python -m integ`. The exit status is 0 only if no check fails."""

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from integ import guards, health, payments, transport
from integ.client import ApiClient, CheckError, SkippedError
from integ.report import CheckResult, CheckStatus, write_junit
from integ.settings import Settings, SettingsError

_SHOWN_EXCHANGES = 5

Check = Callable[[ApiClient], None]

CHECKS: tuple[Check, ...] = (
    transport.certificate,
    transport.old_tls,
    transport.plain_http,
    health.alive,
    health.ready,
    guards.security_headers,
    guards.authentication,
    payments.life_cycle,
    payments.idempotency,
    guards.body_limit,
    guards.firewall,
    guards.free_text,
)
_ENVIRONMENT = """\
environment:
  BASE_URL               https:// URL of the API (required)
  SMOKE_KEY_ID           id of the smoke checks' API key (required)
  SMOKE_KEY_SECRET       secret of the smoke checks' API key (required)
  CA_BUNDLE              PEM file of trusted roots (or REQUESTS_CA_BUNDLE)
  TLS_SERVER_NAME        name that the certificate must have, if it is not the host
  HTTP_URL               URL of the plain HTTP listener, if BASE_URL has a port
  FIREWALL               present (default), or absent for an API without one, such as `make serve`
  SMOKE_PAYMENT_METHOD   token of an always approved test card (default: tok_visa)
"""


def main(arguments: Sequence[str]) -> int:
    """Run every check, print the results and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m integ",
        description="Check a deployed environment over HTTPS, with the smoke checks' API key.",
        epilog=_ENVIRONMENT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--junit", type=Path, help="write a JUnit report to this file")
    parser.add_argument("--wait", type=float, default=60.0, help="seconds to wait for a new deployment (default: 60)")
    options = parser.parse_args(arguments)
    try:
        settings = Settings.from_environment(os.environ)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    results = run(ApiClient(settings=settings), wait=options.wait)
    for result in results:
        print("\n".join(result.lines()))
    if options.junit:
        write_junit(options.junit, results, base_url=settings.base_url)
    failed = [result for result in results if result.status == "failed"]
    skipped = sum(result.status == "skipped" for result in results)
    print(f"{settings.base_url}: {len(results)} checks, {len(failed)} failed, {skipped} skipped")
    return 1 if failed else 0


def run(client: ApiClient, *, wait: float, checks: Sequence[Check] = CHECKS) -> list[CheckResult]:
    """Wait until the deployment is reachable, then run all checks in order."""
    waited = _run_one(client, _reachable(wait))
    if waited.status == "failed":  # every other check would fail in the same way
        certificate = _run_one(client, transport.certificate)
        return [certificate, waited] if certificate.status == "failed" else [waited]
    return [_run_one(client, check) for check in checks]


def _reachable(wait: float) -> Check:
    def reachable(client: ApiClient) -> None:
        """The deployment is reachable."""
        health.wait_until_alive(client, seconds=wait)

    return reachable


def _run_one(client: ApiClient, check: Check) -> CheckResult:
    client.exchanges.clear()
    started = time.monotonic()
    status: CheckStatus = "passed"
    reason, exchanges = "", list[str]()
    try:
        check(client)
    except SkippedError as skipped:
        status, reason = "skipped", str(skipped)
    except CheckError as error:
        status, reason = "failed", str(error)
        exchanges = [line for exchange in client.exchanges[-_SHOWN_EXCHANGES:] for line in exchange.lines()]
    return CheckResult(
        name=check.__name__,
        promise=(check.__doc__ or check.__name__).splitlines()[0],
        status=status,
        seconds=time.monotonic() - started,
        reason=reason,
        exchanges=tuple(exchanges),
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
