"""Wrong settings of mail stop the start, each with its name and never with its value."""

from pathlib import Path

import pytest

from app.cli.configuration import check_all

GOOD = {
    "NEWSSTAND_SMTP_URL": "smtp://ferry:secret@smtp.example.com:587",  # pragma: allowlist secret
    "NEWSSTAND_MAIL_FROM": "Slow Ferry <subscriptions@example.com>",
}
A_URL = "must be a URL such as smtp://smtp.example.com:587, or smtps://"
AN_ADDRESS = "must be an address such as Slow Ferry <subscriptions@example.com>"


def findings(monkeypatch: pytest.MonkeyPatch, **changes: str | None) -> dict[str, str]:
    for name, value in (GOOD | changes).items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    return {one.name: one.problem for one in check_all()[1]}


def test_good_settings_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert findings(monkeypatch) == {}
    assert findings(monkeypatch, NEWSSTAND_SMTP_URL="smtps://smtp.example.com") == {}
    assert findings(monkeypatch, NEWSSTAND_MAIL_FROM="subscriptions@example.com") == {}


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        pytest.param("NEWSSTAND_SMTP_URL", "smtp.example.com:587", A_URL, id="no scheme"),
        pytest.param("NEWSSTAND_SMTP_URL", "http://smtp.example.com", A_URL, id="another scheme"),
        pytest.param("NEWSSTAND_SMTP_URL", "smtp://:587", A_URL, id="no host"),
        pytest.param("NEWSSTAND_SMTP_URL", "smtp://secret.example.com:x", A_URL, id="port that is no number"),
        pytest.param("NEWSSTAND_MAIL_FROM", None, "required with NEWSSTAND_SMTP_URL", id="no sender"),
        pytest.param("NEWSSTAND_MAIL_FROM", "Slow Ferry", AN_ADDRESS, id="a name only"),
        pytest.param("NEWSSTAND_MAIL_FROM", "a@b@example.com", AN_ADDRESS, id="two signs"),
        pytest.param("NEWSSTAND_MAIL_REPLY_TO", "help@", AN_ADDRESS, id="no domain"),
        pytest.param("NEWSSTAND_MAIL_TEMPLATES", "/nowhere/at/all", "is not a directory", id="no directory"),
        pytest.param(
            "NEWSSTAND_MAIL_RATE_LIMIT",
            "many",
            "must be a rate such as 30/minute (or second, hour), or 0 for no limit",
            id="no rate",
        ),
    ],
)
def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str | None, problem: str) -> None:
    found = findings(monkeypatch, **{name: value})

    assert found == {name: problem}
    assert "secret" not in str(found)


def test_a_template_that_does_not_parse_stops_the_start_with_its_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "en").mkdir()
    (tmp_path / "en" / "canceled.mjml").write_text("<mj-title>A</mj-title>\n<mj-text>{{ plan }</mj-text>\n")

    (problem,) = findings(monkeypatch, NEWSSTAND_MAIL_TEMPLATES=str(tmp_path)).values()

    assert "en/canceled.mjml, line 2:" in problem
