"""Settings: what the environment may say, the errors that name a variable, and the wiring made from them."""

import os
from collections.abc import Mapping
from unittest import mock

import pytest

from payments.core.settings import Settings, SettingsError
from payments.services.wiring import make_context, routes
from tests.service.fixtures import Postgres

#: A valid environment that takes money.
STRIPE = {
    "ALLOW_LIVE_KEYS": "true",
    "PROCESSOR": "stripe",
    "STRIPE_API_KEY": "sk_live_x",
    "STRIPE_WEBHOOK_SECRET": "whsec_x",
}


def read(environ: Mapping[str, str]) -> Settings:
    with mock.patch.dict(os.environ, environ, clear=True):
        return Settings.from_environment()


def test_all_variables_are_read() -> None:
    settings = read(
        {
            "ENVIRONMENT": "dev-alice",
            "BIND_HOST": "0.0.0.0",
            "PORT": "8443",
            "PUBLIC_BASE_URL": "https://api.example/",
            "ALLOW_LIVE_KEYS": "true",
            "PROCESSOR": "stripe",
            "STRIPE_API_KEY": "sk_live_x",
            "STRIPE_WEBHOOK_SECRET": "whsec_x",
            "DB_POOL_SIZE": "4",
            "UNRELATED": "ignored",
        }
    )
    assert (settings.environment, settings.bind_host, settings.port) == ("dev-alice", "0.0.0.0", 8443)
    assert settings.public_base_url == "https://api.example"
    assert (settings.allow_live_keys, settings.processor, settings.db_pool_size) == (True, "stripe", 4)


def test_unset_and_empty_variables_keep_their_defaults() -> None:
    read_settings = read({"PORT": "9000", "PROCESSOR": ""})
    with mock.patch.dict(os.environ, {}, clear=True):
        assert read_settings == Settings(port=9000, public_base_url="https://localhost:9000")


def test_secrets_are_not_shown() -> None:
    shown = repr(Settings(stripe_api_key="sk_live_x", stripe_webhook_secret="whsec_x"))
    assert "sk_live_x" not in shown
    assert "whsec_x" not in shown


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"PORT": "eighty"}, "PORT must be a whole number."),
        ({"PORT": "65536"}, "PORT must be at most 65535."),
        ({"PUBLIC_BASE_URL": "http://x"}, "PUBLIC_BASE_URL must match ^https://.+."),
        ({"ALLOW_LIVE_KEYS": "maybe"}, "ALLOW_LIVE_KEYS must be true or false."),
        ({"PROCESSOR": "acme"}, "PROCESSOR must be 'sandbox' or 'stripe'."),
        ({"ENVIRONMENT": "a b"}, "ENVIRONMENT must match ^[A-Za-z0-9][A-Za-z0-9-]{0,63}$."),
        ({"MAX_IN_FLIGHT": "0"}, "MAX_IN_FLIGHT must be at least 1."),
        ({"LOG_LEVEL": "LOUD"}, "LOG_LEVEL must be 'DEBUG', 'INFO', 'WARNING' or 'ERROR'."),
        ({"TIME_SCALE": "0.5"}, "TIME_SCALE must be at least 1.0."),
        ({"TIME_SCALE": "fast"}, "TIME_SCALE must be a number."),
        ({"TIME_SCALE": "1e9"}, "TIME_SCALE must be at most 1000.0."),
        ({"PROCESSOR": "stripe"}, "PROCESSOR=stripe needs both STRIPE_API_KEY and STRIPE_WEBHOOK_SECRET."),
        ({**STRIPE, "STRIPE_API_KEY": ""}, "PROCESSOR=stripe needs both STRIPE_API_KEY and STRIPE_WEBHOOK_SECRET."),
        (
            {**STRIPE, "STRIPE_WEBHOOK_SECRET": ""},
            "PROCESSOR=stripe needs both STRIPE_API_KEY and STRIPE_WEBHOOK_SECRET.",
        ),
        *(
            (
                {**STRIPE, "STRIPE_API_KEY": key},
                "STRIPE_API_KEY must be a secret or restricted key: sk_live_..., rk_live_..., or with test.",
            )
            for key in (
                "not-configured",
                "pk_live_x",
                "sk_live_",
                "sk_org_live_x",
                "sk_live_x\n",
                " sk_live_x",
                "whsec_x",
            )
        ),
        (
            {**STRIPE, "STRIPE_WEBHOOK_SECRET": "sk_live_x"},
            "STRIPE_WEBHOOK_SECRET must be an endpoint's signing secret: whsec_...",
        ),
        (
            {"ALLOW_LIVE_KEYS": "true"},
            (
                "PROCESSOR=sandbox moves no money, so ALLOW_LIVE_KEYS=true would accept orders that nobody pays. "
                "Set PROCESSOR=stripe, or ALLOW_LIVE_KEYS=false."
            ),
        ),
        *(
            (
                {**STRIPE, "STRIPE_API_KEY": f"{kind}_test_x"},
                (
                    "STRIPE_API_KEY is a test key, so ALLOW_LIVE_KEYS=true would accept orders that nobody pays. "
                    "Set a live key, or ALLOW_LIVE_KEYS=false."
                ),
            )
            for kind in ("sk", "rk")
        ),
        *(
            (
                {**STRIPE, "STRIPE_API_KEY": f"{kind}_live_x", "ALLOW_LIVE_KEYS": "false"},
                (
                    "STRIPE_API_KEY is a live key, which has no use with ALLOW_LIVE_KEYS=false. "
                    "Set a test key, or ALLOW_LIVE_KEYS=true."
                ),
            )
            for kind in ("sk", "rk")
        ),
        *(
            ({switch: value, variable: "x"}, f"{switch} is for development, not for AWS. Unset it.")
            for switch, value in (("ALLOW_LOCAL_WEBHOOKS", "true"), ("TIME_SCALE", "2"))
            for variable in ("AWS_EXECUTION_ENV", "ECS_CONTAINER_METADATA_URI_V4")
        ),
        (
            {"ALLOW_LIVE_KEYS": "true", "ALLOW_LOCAL_WEBHOOKS": "true"},
            "ALLOW_LOCAL_WEBHOOKS and ALLOW_LIVE_KEYS exclude each other. Unset one.",
        ),
        (
            {"ALLOW_LIVE_KEYS": "true", "TIME_SCALE": "20"},
            "TIME_SCALE and ALLOW_LIVE_KEYS exclude each other. Unset one.",
        ),
    ],
    ids=lambda value: "" if isinstance(value, dict) else value[:20],
)
def test_invalid_settings(environ: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError) as raised:
        read(environ)
    assert str(raised.value) == message


def test_test_mode_never_uses_a_live_account() -> None:
    live = read(STRIPE)
    assert routes(live) == {False: "sandbox", True: "stripe"}
    test = Settings(processor="stripe", stripe_api_key="rk_test_x", stripe_webhook_secret="whsec_x")
    assert routes(test) == {False: "stripe", True: "stripe"}
    assert routes(Settings()) == {False: "sandbox", True: "sandbox"}


def test_keys_may_be_stored_before_they_are_used() -> None:
    """The documented order: deploy with the sandbox, store the processor's keys, then switch."""
    kept = read({"STRIPE_API_KEY": "sk_live_x", "STRIPE_WEBHOOK_SECRET": "whsec_x"})
    assert routes(kept) == {False: "sandbox", True: "sandbox"}
    assert read({"STRIPE_API_KEY": "not-configured", "STRIPE_WEBHOOK_SECRET": "random"}).processor == "sandbox"


def test_a_context_has_the_configured_processors(monkeypatch: pytest.MonkeyPatch, postgres: Postgres) -> None:
    monkeypatch.setenv("PGHOST", "/nowhere")
    context = make_context(
        Settings(processor="stripe", stripe_api_key="sk_test_x", stripe_webhook_secret="whsec_x"), name="test"
    )
    context.database.close()
    assert set(context.processors) == {"sandbox", "stripe"}
    assert context.processor_for(livemode=False).name == "stripe"
