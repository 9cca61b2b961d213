"""With a live key, settings that would let somebody in stop the start, and `newsstand check-config` lists all of them."""

import random
import string
from collections.abc import Mapping
from pathlib import Path

import pytest

from app.cli.configuration import dangers
from app.cli.secret_strength import PUBLIC_SECRETS, weaknesses
from app.settings import PREFIX, SANDBOX_WEBHOOK_SECRET, Settings
from demo.identity_provider.clients import ACCOUNT_CLIENT_SECRET, CONSOLE_CLIENT_SECRET
from demo.magazine.settings import DEMO_SESSION_KEY
from tests.operations.processes import ROOT, run_newsstand
from tests.support.live_settings import LIVE

STRONG = "nC4xW8vTq2ZkRb6Yd9LmSf3HpJg7KuXe"  # pragma: allowlist secret
CONSOLE = {
    "OIDC_CLIENT_ID": "the-console",
    "OIDC_CLIENT_SECRET": STRONG[::-1],
    "SESSION_KEY": STRONG,
    "CONSOLE_URL": "https://billing.example.com/console",
}
FAILED, BAD_SETTINGS = 1, 2


def found(values: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the settings that are dangerous."""
    for name, value in values.items():
        monkeypatch.setenv(f"{PREFIX}{name}", value)
    return [finding.name.removeprefix(PREFIX) for finding in dangers(Settings())]


def test_strong_secrets_and_named_addresses_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(LIVE | CONSOLE | {"TOKEN_SECRETS": f"{STRONG}1,{STRONG}2"}, monkeypatch) == []


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        pytest.param({"OIDC_ISSUER": ""}, "OIDC_ISSUER", id="issuer not set"),
        pytest.param({"OIDC_ISSUER": "http://login.example.com"}, "OIDC_ISSUER", id="issuer without TLS"),
        pytest.param({"OIDC_ISSUER": "https://localhost:9000"}, "OIDC_ISSUER", id="issuer on this machine"),
        pytest.param({"ALLOWED_HOSTS": ""}, "ALLOWED_HOSTS", id="hosts not set"),
        pytest.param({"ALLOWED_ORIGINS": "http://www.example.com"}, "ALLOWED_ORIGINS", id="front end without TLS"),
        pytest.param({"ALLOWED_RETURN_HOSTS": ""}, "ALLOWED_RETURN_HOSTS", id="return hosts not set"),
        pytest.param({"ALLOWED_RETURN_HOSTS": " , "}, "ALLOWED_RETURN_HOSTS", id="no return host"),
        pytest.param(
            {"ALLOWED_RETURN_HOSTS": "magazine.example.com,LOCALHOST:8080"},
            "ALLOWED_RETURN_HOSTS",
            id="this machine among the return hosts",
        ),
        pytest.param({"ALLOWED_RETURN_HOSTS": "[::1]:8080"}, "ALLOWED_RETURN_HOSTS", id="return host ::1"),
        pytest.param({"CONSOLE_URL": ""}, "CONSOLE_URL", id="console without its URL"),
        pytest.param({"CONSOLE_URL": "http://billing.example.com/console"}, "CONSOLE_URL", id="console without TLS"),
        pytest.param({"ACCOUNT": "true"}, "ACCOUNT_URL", id="hosted account without its URL"),
        pytest.param(
            {"ACCOUNT": "true", "ACCOUNT_URL": "http://billing.example.com/account"},
            "ACCOUNT_URL",
            id="hosted account without TLS",
        ),
        pytest.param(
            {"ACCOUNT_URL": "https://billing.example.com/my-account"}, "ACCOUNT_URL", id="hosted account elsewhere"
        ),
        pytest.param(
            {"ACCOUNT_OIDC_CLIENT_ID": "a", "ACCOUNT_OIDC_CLIENT_SECRET": ACCOUNT_CLIENT_SECRET},
            "ACCOUNT_OIDC_CLIENT_SECRET",
            id="demo's client secret of the hosted account",
        ),
        pytest.param(
            {"ACCOUNT_OIDC_CLIENT_SECRET": STRONG}, "ACCOUNT_OIDC_CLIENT_ID", id="secret without the account's client"
        ),
        pytest.param({"WEBHOOK_SECRETS": "whsec_short"}, "WEBHOOK_SECRETS", id="short webhook secret"),
        pytest.param({"WEBHOOK_SECRETS": SANDBOX_WEBHOOK_SECRET}, "WEBHOOK_SECRETS", id="sandbox's webhook secret"),
        pytest.param({"WEBHOOK_SECRETS": "whsec_" + "ab" * 16}, "WEBHOOK_SECRETS", id="repetitive webhook secret"),
        pytest.param({"BOUNCE_SECRETS": "whsec_" + "abcd" * 8}, "BOUNCE_SECRETS", id="repetitive secret for bounces"),
        pytest.param({"SESSION_KEY": "a" * 64}, "SESSION_KEY", id="repetitive session key"),
        pytest.param({"SESSION_KEY": STRONG[:31]}, "SESSION_KEY", id="short session key"),
        pytest.param({"OIDC_CLIENT_SECRET": CONSOLE_CLIENT_SECRET}, "OIDC_CLIENT_SECRET", id="demo's client secret"),
        pytest.param({"OIDC_CLIENT_SECRET": "abc123"}, "OIDC_CLIENT_SECRET", id="short client secret"),
        pytest.param({"TOKEN_SECRETS": f"{STRONG},{'0123456789abcdef' * 4}"}, "TOKEN_SECRETS", id="sequence as secret"),
        pytest.param(
            {"DATABASE_URL": "postgresql://newsstand:newsstand@postgres/newsstand"},  # pragma: allowlist secret
            "DATABASE_URL",
            id="password of the compose file",
        ),
    ],
)
def test_a_dangerous_setting_is_found_with_a_live_key(
    monkeypatch: pytest.MonkeyPatch, changed: dict[str, str], named: str
) -> None:
    assert found(LIVE | CONSOLE | changed, monkeypatch) == [named]


def test_a_hosted_account_needs_a_client_and_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found({"ACCOUNT": "true"}, monkeypatch) == ["ACCOUNT_OIDC_CLIENT_ID", "SESSION_KEY"]
    assert found({"ACCOUNT": "true", "ACCOUNT_OIDC_CLIENT_ID": "a", "SESSION_KEY": STRONG}, monkeypatch) == []


def test_every_public_secret_of_the_repository_is_refused() -> None:
    public = {SANDBOX_WEBHOOK_SECRET, CONSOLE_CLIENT_SECRET, ACCOUNT_CLIENT_SECRET, DEMO_SESSION_KEY}
    assert public <= PUBLIC_SECRETS
    assert all(list(weaknesses(secret, shortest=1)) for secret in PUBLIC_SECRETS)


@pytest.mark.parametrize(
    "secret",
    [
        "a" * 40,
        "0123456789abcdef" * 2,
        "changeme" * 5,
        "abcdefghijklmnopqrstuvwxyz0123456789",
        "1223334444555556666667777777",
        "please-set-a-long-and-strong-key-here",
        "qwertyuiopasdfghjklzxcvbnm123456",  # pragma: allowlist secret
        "Newsstand-Session-Key-Production-2026",
        "0" * 31 + "1",
    ],
)
def test_a_secret_that_no_generator_made_is_refused(secret: str) -> None:
    assert list(weaknesses(secret, shortest=24)) != []


@pytest.mark.parametrize(
    "alphabet",
    [string.hexdigits[:16], string.ascii_letters + string.digits + "-_", string.ascii_lowercase],
    ids=["hexadecimal", "base64url", "lowercase"],
)
def test_random_secrets_are_accepted(alphabet: str) -> None:
    numbers = random.Random(7)
    for _ in range(5_000):
        secret = "".join(numbers.choices(alphabet, k=32))
        assert list(weaknesses(secret, shortest=24)) == [], secret


def environment(values: Mapping[str, str], folder: Path) -> dict[str, str]:
    return {f"{PREFIX}{name}": value for name, value in values.items()} | {f"{PREFIX}DATA_DIR": str(folder)}


def test_check_config_lists_every_finding_at_once(tmp_path: Path) -> None:
    catalogue = tmp_path / "offer.toml"
    catalogue.write_text((ROOT / "catalogue.toml").read_text().replace('interval = "year"', 'interval = "fortnight"'))
    bad = {
        "STRIPE_API_KEY": "sk_live_51madeup",
        "STRIPE_URL": "https://api.stripe.com",
        "WEBHOOK_SECRETS": "whsec_madeup",
        "GRACE_PERIOD": "14",
        "LOG_LEVELS": "INFO",
        "CATALOGUE": str(catalogue),
    }
    refused = run_newsstand(["check-config"], environment(bad, tmp_path / "var"))

    assert refused.returncode == FAILED, refused.stderr
    assert [line.split(": ")[0] for line in refused.stdout.splitlines()] == [
        "NEWSSTAND_LOG_LEVELS",
        "NEWSSTAND_GRACE_PERIOD",
        "NEWSSTAND_OIDC_ISSUER",
        "NEWSSTAND_ALLOWED_HOSTS",
        "NEWSSTAND_ALLOWED_RETURN_HOSTS",
        "NEWSSTAND_WEBHOOK_SECRETS",
        "offer.toml",
    ]
    assert "madeup" not in refused.stdout
    assert not (tmp_path / "var").exists()


def test_check_config_accepts_the_default_settings(tmp_path: Path) -> None:
    accepted = run_newsstand(["check-config"], environment({}, tmp_path))
    assert (accepted.returncode, accepted.stderr) == (0, "")
    assert accepted.stdout == "The configuration is valid. The Stripe key is a test key.\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["serve", "worker"])
def test_serve_and_worker_print_the_same_findings_first(command: str, tmp_path: Path) -> None:
    bad = environment(LIVE | CONSOLE | {"OIDC_ISSUER": "", "SESSION_KEY": "a" * 64}, tmp_path)
    listed = run_newsstand(["check-config"], bad)
    refused = run_newsstand([command], bad)
    assert refused.returncode == BAD_SETTINGS
    assert refused.stderr.endswith(listed.stdout)
    assert len(listed.stdout.splitlines()) == 2
    assert not list(tmp_path.iterdir()), "a process was started despite the findings"


def test_a_data_directory_that_cannot_be_written_names_the_required_settings(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    settings = environment({}, tmp_path / "file" / "var")
    refused = run_newsstand(["serve"], settings)
    assert refused.returncode == BAD_SETTINGS
    assert "NEWSSTAND_DATABASE_URL: required, because NEWSSTAND_DATA_DIR" in refused.stderr
    assert "NEWSSTAND_TOKEN_SECRETS: required, because NEWSSTAND_DATA_DIR" in refused.stderr
    assert "Traceback" not in refused.stderr
