"""Settings: what the environment may say, the errors that name a variable, and the wiring made from them."""

import os
from collections.abc import Mapping
from unittest import mock

import pytest

from payments.core.settings import Settings, SettingsError
from payments.services.wiring import make_context, routes
from tests.service.conftest import Postgres


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
    assert read({"PORT": "9000", "PROCESSOR": ""}) == Settings(port=9000, public_base_url="https://localhost:9000")


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
        (
            {"ALLOW_LIVE_KEYS": "true", "ALLOW_LOCAL_WEBHOOKS": "true"},
            "ALLOW_LOCAL_WEBHOOKS and ALLOW_LIVE_KEYS exclude each other. Unset one.",
        ),
        (
            {"ALLOW_LIVE_KEYS": "true", "TIME_SCALE": "20"},
            "TIME_SCALE and ALLOW_LIVE_KEYS exclude each other. Unset one.",
        ),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, dict) else "",
)
def test_invalid_settings(environ: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError) as raised:
        read(environ)
    assert str(raised.value) == message


def test_test_mode_never_uses_a_live_account() -> None:
    live = Settings(processor="stripe", stripe_api_key="sk_live_x", stripe_webhook_secret="x")
    assert routes(live) == {False: "sandbox", True: "stripe"}
    test = Settings(processor="stripe", stripe_api_key="sk_test_x", stripe_webhook_secret="x")
    assert routes(test) == {False: "stripe", True: "stripe"}
    assert routes(Settings()) == {False: "sandbox", True: "sandbox"}


def test_a_context_has_the_configured_processors(monkeypatch: pytest.MonkeyPatch, postgres: Postgres) -> None:
    monkeypatch.setenv("PGHOST", "/nowhere")
    context = make_context(
        Settings(processor="stripe", stripe_api_key="sk_test_x", stripe_webhook_secret="whsec_x"), name="test"
    )
    context.database.close()
    assert set(context.processors) == {"sandbox", "stripe"}
    assert context.processor_for(livemode=False).name == "stripe"
