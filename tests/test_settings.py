"""Dangerous settings are rejected by name, without their values."""

import os
import re
from datetime import timedelta

import pytest
from pydantic.fields import FieldInfo

from app.cli.configuration import BadSettings, load
from app.settings import SANDBOX_WEBHOOK_SECRET, Settings
from tests.support.live_settings import LIVE


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
            {**LIVE, "WEBHOOK_SECRETS": f"{LIVE['WEBHOOK_SECRETS']},{SANDBOX_WEBHOOK_SECRET}"},
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
        *(
            pytest.param(
                {"ALLOWED_ORIGINS": f"https://www.example.com,{origin}"}, "ALLOWED_ORIGINS", id=f"origin {origin}"
            )
            for origin in (
                "*",
                "null",
                "www.example.com",
                "https://*.example.com",
                "https://www.example.com/",
                "https://www.example.com/account",
                "https://WWW.example.com",
                "https://www.example.com:443",
                "http://www.example.com:80",
                "https://user@www.example.com",
                "ftp://www.example.com",
                "https://",
            )
        ),
        *(
            pytest.param({"BOUNCE_SECRETS": secret}, "BOUNCE_SECRETS", id=f"{kind} secret for bounces")
            for kind, secret in (
                ("short", "whsec_real"),
                ("unprefixed", "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo="),  # pragma: allowlist secret
                ("wrongly encoded", "whsec_real" + "!" * 40),
                ("long", "whsec_" + "QUJD" * 22),
                ("second", f"whsec_{'QUJD' * 10},whsec_real"),
            )
        ),
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
    for secret in ("51real", "whsec_real", LIVE["WEBHOOK_SECRETS"], SANDBOX_WEBHOOK_SECRET):
        assert secret not in str(refused.value)


def test_each_invalid_setting_is_reported_on_its_own_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadSettings) as refused:
        with_these(monkeypatch, {"PUBLISHER_TIMEZONE": "Nowhere", "EVENT_ATTEMPTS": "-1"})
    assert len(str(refused.value).splitlines()) == 2


def test_dangers_are_reported_together_with_invalid_and_misspelt_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadSettings) as refused:
        with_these(monkeypatch, {"STRIPE_API_KEY": "sk_live_51real", "EVENT_ATTEMPTS": "-1", "LEASES": "PT1S"})
    names = [line.split(":")[0].removeprefix("NEWSSTAND_") for line in str(refused.value).splitlines()]
    assert names == ["LEASES", "EVENT_ATTEMPTS", "STRIPE_URL", "OIDC_ISSUER", "ALLOWED_HOSTS", "ALLOWED_RETURN_HOSTS"]


def test_an_invalid_setting_is_not_reported_again_for_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadSettings) as refused:
        with_these(monkeypatch, {**LIVE, "OIDC_ISSUER": "login.example.com"})
    assert str(refused.value) == "NEWSSTAND_OIDC_ISSUER: must be a URL such as https://host"


def test_exact_origins_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    origins = ("https://www.example.com", "https://shop.example.com:8443", "http://localhost:3000", "http://[::1]:8080")
    monkeypatch.setenv("NEWSSTAND_ALLOWED_ORIGINS", ", ".join(origins))
    assert load().allowed_origins == origins


def test_lists_use_commas_and_empty_values_count_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = with_these(
        monkeypatch,
        {"WEBHOOK_SECRETS": "whsec_new, whsec_old", "ALLOWED_RETURN_HOSTS": "a.example,b.example", "CLOCK_URL": ""},
    )
    assert [secret.get_secret_value() for secret in settings.webhook_secrets] == ["whsec_new", "whsec_old"]
    assert settings.allowed_return_hosts == ("a.example", "b.example")
    assert settings.clock_url is None


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("P10D", timedelta(days=10)),
        ("PT90S", timedelta(seconds=90)),
        ("P1DT12H", timedelta(hours=36)),
        ("0", timedelta(0)),
    ],
)
def test_durations_are_iso_8601(monkeypatch: pytest.MonkeyPatch, text: str, meaning: timedelta) -> None:
    assert with_these(monkeypatch, {"GRACE_PERIOD": text}).grace_period == meaning


@pytest.mark.parametrize("text", ["14", "14.5", "1e3", "14 days", "00:20", "-1", "P", "PT", "-P1D", "P1X", "P١D"])
def test_a_duration_without_its_unit_is_rejected(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    with pytest.raises(BadSettings) as refused:
        with_these(monkeypatch, {"GRACE_PERIOD": text})
    assert str(refused.value) in (
        "NEWSSTAND_GRACE_PERIOD: must be a duration with its unit, such as P14D or PT20S",
        "NEWSSTAND_GRACE_PERIOD: must be at least PT0S",
    )


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [
        ("NEWSSTAND_GRACE_PERIODE", "NEWSSTAND_GRACE_PERIOD"),
        ("NEWSSTAND_DATABSE_URL", "NEWSSTAND_DATABASE_URL"),
        ("NEWSSTAND_WEBHOOK_SECRET", "NEWSSTAND_WEBHOOK_SECRETS"),
        ("NEWSSTAND_ALLOWED_RETURN_HOST", "NEWSSTAND_ALLOWED_RETURN_HOSTS"),
        ("newsstand_grace_periode", "NEWSSTAND_GRACE_PERIOD"),
        ("NEWSSTAND_LOCALE", "NEWSSTAND_PUBLISHER_LOCALE"),
        ("NEWSSTAND_TIMEZONE", "NEWSSTAND_PUBLISHER_TIMEZONE"),
        ("NEWSTAND_GRACE_PERIOD", "NEWSSTAND_GRACE_PERIOD"),
        ("NEWSSTANDS_DATABASE_URL", "NEWSSTAND_DATABASE_URL"),
    ],
)
def test_a_misspelt_setting_names_the_most_similar_one(
    monkeypatch: pytest.MonkeyPatch, misspelt: str, meant: str
) -> None:
    monkeypatch.setenv(misspelt, "a-value")
    with pytest.raises(BadSettings) as refused:
        load()
    assert str(refused.value) == f"{misspelt}: unknown setting. Did you mean {meant}?"


def test_an_unknown_setting_unlike_any_other_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadSettings) as refused:
        with_these(monkeypatch, {"COFFEE": "black"})
    assert str(refused.value) == "NEWSSTAND_COFFEE: unknown setting"


@pytest.mark.parametrize(
    "name", ["NEWSTAND_COFFEE", "NEWS_STAND", "NEWS_PORT", "STAND_LOG_LEVEL", "NEWSLETTER_LOG_LEVEL"]
)
def test_settings_of_other_programs_are_ignored(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "a-value")
    assert load()


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("PUBLISHER_TIMEZONE", "America", "must be an IANA time zone, such as America/Chicago"),
        ("PUBLISHER_LOCALE", "C", "must be a locale, such as en_US or de_DE"),
        ("PUBLISHER_LOCALE", "root", "must be a locale, such as en_US or de_DE"),
        ("SITE_URL", "https://a:b", "must be a URL such as https://host"),
        ("SITE_URL", "https://a:0", "must be a URL such as https://host"),
        ("OIDC_ISSUER", "http://a/ b", "must be a URL such as https://host"),
        ("LEASE", "0", "must be more than 0 seconds"),
        ("STRIPE_TIMEOUT", "PT0S", "must be more than 0 seconds"),
        ("SESSION_LIFETIME", "0", "must be more than 0 seconds"),
        ("SESSION_IDLE", "0", "must be more than 0 seconds"),
        ("GRACE_PERIOD", "P99999999D", "must be at most 36525 days"),
    ],
)
def test_a_value_that_could_not_work_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, problem: str
) -> None:
    with pytest.raises(BadSettings) as refused:
        with_these(monkeypatch, {name: value})
    assert str(refused.value) == f"NEWSSTAND_{name}: {problem}"


@pytest.mark.parametrize("name", ["ALLOWED_HOSTS", "ALLOWED_RETURN_HOSTS"])
def test_a_host_has_neither_a_scheme_nor_a_path(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for value in ("https://www.example.com", "www.example.com/", "*", "a b", "a:b", "[::1", "example.com:0"):
        with pytest.raises(BadSettings, match=rf"^NEWSSTAND_{name}: each must be a host such as www\.example\.com"):
            with_these(monkeypatch, {name: f"localhost,{value}"})
    accepted = ("www.example.com", "localhost:8080", "[::1]:8080", "10.0.0.7", "news_stand.internal")
    assert getattr(with_these(monkeypatch, {name: ",".join(accepted)}), name.lower()) == accepted


@pytest.mark.parametrize("service", ["", "API_", "POSTGRES_"])
def test_what_kubernetes_sets_for_a_service_is_ignored(monkeypatch: pytest.MonkeyPatch, service: str) -> None:
    address = "tcp://10.0.0.11:8000"
    for name, value in {
        "SERVICE_HOST": "10.0.0.11",
        "SERVICE_PORT": "8000",
        "SERVICE_PORT_HTTP": "8000",
        "PORT": address,
        "PORT_8000_TCP": address,
        "PORT_8000_TCP_PROTO": "tcp",
        "PORT_8000_TCP_PORT": "8000",
        "PORT_8000_TCP_ADDR": "10.0.0.11",
    }.items():
        monkeypatch.setenv(f"NEWSSTAND_{service}{name}", value)
    assert load() == Settings()


@pytest.mark.parametrize("value", ["8000", "http://127.0.0.1"])
def test_a_port_that_kubernetes_did_not_set_is_rejected(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    with pytest.raises(BadSettings, match=r"^NEWSSTAND_PORT: unknown setting"):
        with_these(monkeypatch, {"PORT": value})


@pytest.mark.parametrize("field", Settings.model_fields)
def test_messages_are_ours_for_every_setting(monkeypatch: pytest.MonkeyPatch, field: str) -> None:
    for value in (
        "nonsense",
        "-1",
        "99999999999999999999",
        "1.5",
        "nan",
        "1e999",
        "0",
        "P99999999999D",
        "P99999999D",
        "25:99",
        "[",
        "\x7f",
    ):
        monkeypatch.setenv(f"NEWSSTAND_{field.upper()}", value)
        try:
            load()
        except BadSettings as refused:
            for line in str(refused).splitlines():
                assert re.fullmatch(r"NEWSSTAND_\w+: [a-z].+", line), line
                assert not re.search(
                    r"[Ii]nput|[Vv]alid (string|integer)|pydantic|is invalid|Value error|timedelta", line
                )


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
