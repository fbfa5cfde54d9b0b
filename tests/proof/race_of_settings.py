"""Who meets whom over webhook endpoints, messages and API keys, and how it may end."""

from tests.proof.race import (
    Race,
    add_endpoint,
    delete_endpoint,
    delivered_event,
    disabled,
    fanned_out,
    fifteen_endpoints,
    new_event,
    race,
    redeliver,
    revoke_key,
    rotate_key,
    rotate_secret,
    spare_key,
    twins,
    update_endpoint,
)
from tests.proof.stage import Stage

ILLEGAL, INVALID = "409 illegal_transition", "422 validation_failed"
DISABLE, ENABLE = update_endpoint(status="disabled"), update_endpoint(status="enabled")
ONCE = "enabled delivered"

SETTINGS: dict[str, Race] = {
    "limit": twins(fifteen_endpoints, add_endpoint, f"201 | {INVALID} | 16", after=Stage.endpoints),
    "rotate, rotate": twins(Stage.add_endpoint, rotate_secret, "200 | 200 | None True", after=Stage.secrets),
    "rotate, update": race(
        Stage.add_endpoint,
        "200 | 200 | new True",
        one=rotate_secret,
        two=update_endpoint(description="new"),
        after=Stage.secrets,
    ),
    "rotate, delete": race(
        Stage.add_endpoint,
        "200 | 200 | 0",
        "404 not_found | 200 | 0",
        one=rotate_secret,
        two=delete_endpoint,
        after=Stage.endpoints,
    ),
    "delete, delete": twins(Stage.add_endpoint, delete_endpoint, "200 | 404 not_found | 0", after=Stage.endpoints),
    "fan-out, fan-out": twins(new_event, Stage.fan_out, ONCE, after=Stage.webhooks),
    "fan-out, disable": race(
        new_event,
        "200 | disabled held",
        one=Stage.fan_out,
        two=DISABLE,
        after=Stage.webhooks,
    ),
    "fan-out, enable": race(disabled(new_event), f"200 | {ONCE}", one=Stage.fan_out, two=ENABLE, after=Stage.webhooks),
    "fan-out, delete": race(
        new_event,
        "200 | deleted failed",
        "200 | deleted None",
        one=Stage.fan_out,
        two=delete_endpoint,
        after=Stage.webhooks,
    ),
    "redeliver, fan-out": race(new_event, f"202 | {ONCE}", one=redeliver(), two=Stage.fan_out, after=Stage.webhooks),
    "redeliver, redeliver": twins(delivered_event, redeliver(), f"202 | 202 | {ONCE}", after=Stage.webhooks),
    "redeliver twice": twins(
        delivered_event,
        redeliver(key="same"),
        f"202 | 202 replayed | {ONCE}",
        after=Stage.webhooks,
    ),
    "redeliver, disable": race(
        delivered_event,
        "202 | 200 | disabled held",
        "202 | 200 | disabled delivered",
        one=redeliver(),
        two=DISABLE,
        after=Stage.webhooks,
    ),
    "redeliver, delete": race(
        delivered_event,
        "202 | 200 | deleted failed",
        "202 | 200 | deleted delivered",
        one=redeliver(),
        two=delete_endpoint,
        after=Stage.webhooks,
    ),
    "redeliver, deliver": race(
        delivered_event, f"202 | {ONCE}", one=redeliver(), two=Stage.deliver, after=Stage.webhooks
    ),
    "deliver, disable": race(
        fanned_out,
        "200 | disabled held",
        "200 | disabled delivered",
        one=Stage.deliver,
        two=DISABLE,
        after=Stage.webhooks,
    ),
    "deliver, delete": race(
        fanned_out,
        "200 | deleted failed",
        "200 | deleted delivered",
        one=Stage.deliver,
        two=delete_endpoint,
        after=Stage.webhooks,
    ),
    "deliver, deliver": twins(fanned_out, Stage.deliver, ONCE, after=Stage.webhooks),
    "key: rotate, rotate": twins(spare_key, rotate_key, f"201 | {ILLEGAL} | expired active", after=Stage.keys),
    "key: rotate, revoke": race(
        spare_key,
        "201 | 200 | revoked active",
        f"{ILLEGAL} | 200 | revoked",
        one=rotate_key,
        two=revoke_key,
        after=Stage.keys,
    ),
}
