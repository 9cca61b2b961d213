"""Log lines contain no secrets."""

import json
import logging

import pytest
import structlog

from app.observability import REDACTED, configure, redact

TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ1c2VyLTEifQ.c2lnbmF0dXJl"  # pragma: allowlist secret


@pytest.mark.parametrize(
    "secret",
    [
        pytest.param("sk_live_51AbC", id="live key of Stripe"),
        pytest.param("rk_test_51AbC", id="restricted key of Stripe"),
        pytest.param("whsec_AbC123", id="webhook secret"),
        pytest.param("nsk_AbC-_123", id="our API key"),
        pytest.param(TOKEN, id="token"),
        pytest.param("4242424242424242", id="card number"),
        pytest.param("4242 4242 4242 4242", id="card number in groups"),
        pytest.param("://postgres:hunter2@", id="password in a URL"),  # pragma: allowlist secret
    ],
)
def test_a_secret_is_redacted_within_a_sentence(secret: str) -> None:
    redacted = redact(f"it was {secret} that failed")
    assert redacted == f"it was {REDACTED} that failed"


@pytest.mark.parametrize("harmless", ["sub_1AbC", "evt_1AbC", "pi_3AbC", "2027-03-01T00:00:00Z", "4900 usd", "in_0001"])
def test_ids_times_and_amounts_are_not_redacted(harmless: str) -> None:
    assert redact(harmless) == harmless


def test_secrets_are_redacted_at_any_depth() -> None:
    redacted = redact({"headers": [{"Authorization": "Bearer x"}, f"cookie={TOKEN}"], "amount": 4900})
    assert redacted == {"headers": [{"Authorization": REDACTED}, f"cookie={REDACTED}"], "amount": 4900}


def test_our_log_lines_are_json_objects_without_secrets(capfd: pytest.CaptureFixture[str]) -> None:
    configure("INFO")
    structlog.get_logger().info("signed_in", token=TOKEN, note=f"with {TOKEN}", reader="user-1")
    line = json.loads(capfd.readouterr().err)
    assert (line["event"], line["token"], line["note"]) == ("signed_in", REDACTED, f"with {REDACTED}")
    assert (line["reader"], line["level"]) == ("user-1", "info")


def test_a_librarys_log_lines_and_tracebacks_have_no_secrets(capfd: pytest.CaptureFixture[str]) -> None:
    configure("INFO")
    url = "postgresql://u:hunter2@db/x"  # pragma: allowlist secret
    try:
        raise ValueError("the key sk_live_51AbC is wrong")
    except ValueError:
        logging.getLogger("some.library").exception(f"could not connect to {url}")
    output = capfd.readouterr().err
    line = json.loads(output)
    assert "ValueError" in line["exception"]
    assert "51AbC" not in output
    assert "hunter2" not in output
