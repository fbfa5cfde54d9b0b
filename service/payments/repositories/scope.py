"""Parameters shared by every statement about one tenant's rows."""

from payments.domain.tenancy import TenantScope


def scope(tenant: TenantScope, **parameters: object) -> dict[str, object]:
    """Return ``parameters`` together with ``merchant_id`` and ``livemode``, for named placeholders."""
    return {"merchant_id": tenant.merchant_id, "livemode": tenant.livemode, **parameters}
