"""`make listen` and `make trigger`: `payments listen` and `payments trigger` with the API that `make serve` runs.

Once `PAYMENTS_URL` is set, with the API there: it, `PAYMENTS_API_KEY` and `PAYMENTS_CA_FILE` are then passed on.
"""

import json
import os
import sys
from pathlib import Path
from typing import NoReturn

_CHECKOUT = Path(__file__).parents[1]


def main() -> NoReturn:
    """Become the command that the arguments say.

    Raises:
        SystemExit: No API is running in this checkout.
    """
    environment = {**os.environ, "PYTHONPATH": str(_CHECKOUT / "service")}
    if not os.environ.get("PAYMENTS_URL"):
        environment |= _served()
    os.execve(sys.executable, [sys.executable, "-m", "payments", *sys.argv[1:]], environment)  # noqa: S606 - no shell


def _served() -> dict[str, str]:
    """Return the variables for the API that runs in this checkout."""
    try:
        facts = json.loads((_CHECKOUT / ".run" / "serve.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        sys.exit(
            f"make {sys.argv[1]}: no API runs in this checkout. Start `make serve` in another terminal, or set "
            "PAYMENTS_URL, PAYMENTS_API_KEY and PAYMENTS_CA_FILE."
        )
    return {
        "PAYMENTS_URL": facts["url"],
        "PAYMENTS_API_KEY": facts["api_key"],
        "PAYMENTS_CA_FILE": facts["ca_file"],
    }


if __name__ == "__main__":
    main()
