"""Dangerous settings are rejected by name, without their values."""

import os
from datetime import timedelta

import pytest
from pydantic.fields import FieldInfo

from app.settings import SANDBOX_WEBHOOK_SECRET, BadSettings, Settings, load

LIVE = {"STRIPE_API_KEY": "sk_live_51real", "STRIPE_URL": "https://api.stripe.com", "WEBHOOK_SECRETS": "whsec_real"}


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith("NEWSSTAND_"):
            monkeypatch.delenv(name)


def with_these(monkeypatch: pytest.MonkeyPatch, values: dict[str, str]) -> Settings:
    for name, value in values.items():
        monkeypatch.setenv(f"NEWSSTAND_{name}", value)
    return load()


def test_the_default_settings_use_the_sandbox() -> None:
    settings = load()
    assert settings.stripe_url == "http://127.0.0.1:4242"
    assert not settings.livemode
    assert settings.database_url is None


def test_consistent_live_settings_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert with_these(monkeypatch, LIVE).livemode


@pytest.mark.parametrize(
    ("values", "named"),
    [
        pytest.param({"STRIPE_API_KEY": "sk_live_51real"}, "STRIPE_URL", id="live key with the sandbox's URL"),
        pytest.param(
            {"STRIPE_API_KEY": "rk_live_51real", "STRIPE_URL": "https://proxy.example"},
            "STRIPE_URL",
            id="restricted live key with a URL other than Stripe's",
        ),
        pytest.param(
            {**LIVE, "CLOCK_URL": "https://api.stripe.com/v1/test_helpers/test_clocks/clock_1"},
            "CLOCK_URL",
            id="live key with a test clock",
        ),
        pytest.param(
            {**LIVE, "WEBHOOK_SECRETS": SANDBOX_WEBHOOK_SECRET},
            "WEBHOOK_SECRETS",
            id="sandbox's webhook secret with Stripe's URL",
        ),
        pytest.param(
            {**LIVE, "WEBHOOK_SECRETS": f"whsec_real,{SANDBOX_WEBHOOK_SECRET}"},
            "WEBHOOK_SECRETS",
            id="sandbox's webhook secret among others",
        ),
        pytest.param(
            {"STRIPE_URL": "https://api.stripe.com", "WEBHOOK_SECRETS": "whsec_real"},
            "STRIPE_API_KEY",
            id="sandbox's key with Stripe's URL",
        ),
        pytest.param({"STRIPE_API_KEY": "pk_test_51real"}, "STRIPE_API_KEY", id="publishable key"),
        pytest.param({"WEBHOOK_SECRETS": " , "}, "WEBHOOK_SECRETS", id="no webhook secret"),
        pytest.param({"PUBLISHER_TIMEZONE": "Mars/Olympus"}, "PUBLISHER_TIMEZONE", id="unknown time zone"),
        pytest.param({"PUBLISHER_TIMEZONE": "../../etc/passwd"}, "PUBLISHER_TIMEZONE", id="path as time zone"),
        pytest.param({"STRIPE_URL": "ftp://api.stripe.com"}, "STRIPE_URL", id="URL that is not HTTP"),
        pytest.param({"OIDC_ISSUER": "login.example.com"}, "OIDC_ISSUER", id="issuer without https"),
        pytest.param({"EVENT_ATTEMPTS": "0"}, "EVENT_ATTEMPTS", id="zero attempts for an event"),
        pytest.param({"DATABASE_POOL_SIZE": "many"}, "DATABASE_POOL_SIZE", id="word as number"),
    ],
)
def test_a_dangerous_or_invalid_setting_is_rejected_by_name(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, str], named: str
) -> None:
    with pytest.raises(BadSettings) as refused:
        with_these(monkeypatch, values)
    assert str(refused.value).startswith(f"NEWSSTAND_{named}: ")
    for secret in ("51real", "whsec_real", SANDBOX_WEBHOOK_SECRET):
        assert secret not in str(refused.value)


def test_each_invalid_setting_is_reported_on_its_own_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadSettings) as refused:
        with_these(monkeypatch, {"PUBLISHER_TIMEZONE": "Nowhere", "EVENT_ATTEMPTS": "-1"})
    assert len(str(refused.value).splitlines()) == 2


def test_lists_use_commas_and_empty_values_count_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = with_these(
        monkeypatch,
        {"WEBHOOK_SECRETS": "whsec_new, whsec_old", "ALLOWED_RETURN_HOSTS": "a.example,b.example", "CLOCK_URL": ""},
    )
    assert [secret.get_secret_value() for secret in settings.webhook_secrets] == ["whsec_new", "whsec_old"]
    assert settings.allowed_return_hosts == ("a.example", "b.example")
    assert settings.clock_url is None


def test_durations_are_iso_8601(monkeypatch: pytest.MonkeyPatch) -> None:
    assert with_these(monkeypatch, {"GRACE_PERIOD": "P10D"}).grace_period == timedelta(days=10)


def test_printed_settings_do_not_show_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "51real" not in repr(with_these(monkeypatch, LIVE))


VERBS = {
    "Set",
    "Use",
    "Enable",
    "Disable",
    "Let",
    "Make",
    "Have",
    "Turn",
    "How",
    "What",
    "Which",
    "Who",
    "Whose",
    "When",
    "Where",
}


@pytest.mark.parametrize(("name", "field"), Settings.model_fields.items(), ids=Settings.model_fields)
def test_each_description_is_a_noun_phrase(name: str, field: FieldInfo) -> None:
    description = (field.description or "").strip()
    assert description, name
    assert description[0].isupper()
    assert description.endswith(".")
    assert description.split()[0] not in VERBS
