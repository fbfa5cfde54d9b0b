"""Tenants: every object of the API belongs to one merchant in one mode."""

from typing import Protocol


class TenantScope(Protocol):
    """Anything that names a merchant and a mode: a payment, an API key's principal, a row."""

    @property
    def merchant_id(self) -> str:
        """The merchant."""

    @property
    def livemode(self) -> bool:
        """Live mode moves real money, test mode does not."""
