"""Whether AWS is an emulator on this machine: then some things cannot be asked, and that is said instead of failed."""

from collections.abc import Mapping
from urllib.parse import urlsplit


def is_emulated(environ: Mapping[str, str]) -> bool:
    """Whether the AWS SDKs are pointed at a loopback address."""
    host = urlsplit(environ.get("AWS_ENDPOINT_URL", "")).hostname or ""
    return host == "localhost" or host.startswith("127.")
