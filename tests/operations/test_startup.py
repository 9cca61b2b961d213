"""Dangerous or invalid settings stop the start with exit status 2 and a line that names the setting."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import asyncpg
import pytest

from app.settings import SANDBOX_WEBHOOK_SECRET
from tests.operations.processes import ROOT, run_newsstand

WRONG, BAD_SETTINGS = 1, 2
LIVE_KEY = "sk_live_51madeup"
GOOD = ROOT / "catalogue.toml"


@pytest.mark.parametrize(
    ("command", "settings", "named"),
    [
        pytest.param(
            ("serve",),
            {"NEWSSTAND_STRIPE_API_KEY": LIVE_KEY},
            "NEWSSTAND_STRIPE_URL",
            id="live key with the sandbox's URL",
        ),
        pytest.param(
            ("worker",),
            {
                "NEWSSTAND_STRIPE_URL": "https://api.stripe.com",
                "NEWSSTAND_STRIPE_API_KEY": "sk_test_51madeup",
                "NEWSSTAND_WEBHOOK_SECRETS": f"whsec_madeup,{SANDBOX_WEBHOOK_SECRET}",
            },
            "NEWSSTAND_WEBHOOK_SECRETS",
            id="sandbox's webhook secret with Stripe's URL",
        ),
        pytest.param(
            ("serve",),
            {"NEWSSTAND_PUBLISHER_TIMEZONE": "Mars/Olympus_Mons"},
            "NEWSSTAND_PUBLISHER_TIMEZONE",
            id="unknown time zone",
        ),
        pytest.param(
            ("serve",),
            {"NEWSSTAND_OIDC_CLIENT_ID": "the-console"},
            "NEWSSTAND_SESSION_KEY",
            id="console without a cookie key",
        ),
        pytest.param(
            ("serve",),
            {"NEWSSTAND_OIDC_CLIENT_ID": "the-console", "NEWSSTAND_SESSION_KEY": "too-short-a-key"},
            "NEWSSTAND_SESSION_KEY",
            id="weak cookie key of the console",
        ),
        pytest.param(
            ("serve",),
            {"NEWSSTAND_OIDC_CLIENT_SECRET": "the-secret-of-a-client"},
            "NEWSSTAND_OIDC_CLIENT_ID",
            id="client secret of the console without a client ID",
        ),
        pytest.param(
            ("serve",),
            {
                "NEWSSTAND_OIDC_CLIENT_ID": "the-console",
                "NEWSSTAND_SESSION_KEY": "a-key-that-is-long-enough-to-be-safe",
                "NEWSSTAND_CONSOLE_URL": "http://127.0.0.1:8000/desk",
            },
            "NEWSSTAND_CONSOLE_URL",
            id="console URL with another path",
        ),
        pytest.param(
            ("worker",),
            {"NEWSSTAND_LOG_LEVEL": "LOUD"},
            "NEWSSTAND_LOG_LEVEL",
            id="unknown log level",
        ),
    ],
)
def test_an_invalid_setting_is_named_without_its_value_at_startup(
    command: tuple[str, ...], settings: Mapping[str, str], named: str, tmp_path: Path
) -> None:
    refused = run_newsstand(command, {"NEWSSTAND_DATA_DIR": str(tmp_path), **settings})

    assert refused.returncode == BAD_SETTINGS, refused.stderr
    assert f"{named}: " in refused.stderr
    assert "Traceback" not in refused.stderr
    for part in (part for value in settings.values() for part in value.split(",")):
        if not part.startswith("https://api."):  # the message recommends this setting
            assert part not in refused.stderr
    assert not list(tmp_path.iterdir()), "a process was started despite the error"


@pytest.mark.parametrize("command", ["serve", "worker"])
def test_an_invalid_catalogue_key_is_named_at_startup(command: str, tmp_path: Path) -> None:
    bad, data = tmp_path / "catalogue.toml", tmp_path / "var"
    bad.write_text(GOOD.read_text().replace('interval = "year"', 'interval = "fortnight"'))

    refused = run_newsstand([command], {"NEWSSTAND_DATA_DIR": str(data), "NEWSSTAND_CATALOGUE": str(bad)})

    assert refused.returncode == BAD_SETTINGS, refused.stderr
    assert "plans.annual.interval: " in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not data.exists(), "a process was started despite the error"


@pytest.mark.parametrize("command", ["keys list", "migrate"])
def test_a_command_without_its_database_prints_one_line(command: str) -> None:
    refused = run_newsstand(command.split(), {"NEWSSTAND_DATABASE_URL": "postgresql://us:secret@127.0.0.1:9/x"})

    assert (refused.returncode, refused.stdout) == (WRONG, "")
    assert refused.stderr.count("\n") == 1
    assert "Connect call failed" in refused.stderr
    assert "NEWSSTAND_DATABASE_URL" in refused.stderr
    assert "secret" not in refused.stderr


async def test_a_command_with_an_empty_database_names_the_migrate_command(database: str) -> None:
    connection = await asyncpg.connect(database)
    await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    await connection.close()

    refused = await asyncio.to_thread(run_newsstand, ["events", "list"], {"NEWSSTAND_DATABASE_URL": database})

    assert (refused.returncode, refused.stdout) == (WRONG, "")
    assert refused.stderr == "The database lacks tables of this release. Run newsstand migrate.\n"
