"""Templates: every kind in every language, a publisher's in their place, and mistakes refused with their line."""

from datetime import date
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from babel import Locale

from app.domain.notifications import COMMON_VARIABLES, KINDS, NotificationKind, money
from app.localization import Localization
from app.mail.templates import FOLDER, BadTemplates, load

PUBLISHER = Localization(Locale("en", "US"), ZoneInfo("America/Chicago"))
COMMON: dict[str, Any] = {
    "publisher": "Slow <Ferry>",
    "contact": "help@example.com",
    "account_url": "https://billing.example.com/account",
    "site_url": None,
    "brand": {"accent": "#b3361d", "on_accent": "#ffffff", "font": "Georgia, serif"},
}
VALUES: dict[str, Any] = {
    "price": money(49_00, "usd"),
    "old_price": money(39_00, "usd"),
    "amount": money(49_00, "usd"),
    "interval": "year",
    "discounted": False,
    "resumable": True,
    "unpaid": False,
    "ended": True,
    "plan": "24 Issues Per Year",
    "card": "Visa •••• 4242",
    "pay_url": "https://pay.example.com/in_1?a=1&b=2",
    "issue": "Issue 12",
    "name": "Ada <Invented>",
    "contract": "24 Issues Per Year",
    "reference": "dec_1",
}


def data_for(kind: NotificationKind) -> dict[str, Any]:
    """Return a value for each variable of a kind."""
    return {name: VALUES.get(name, _time(name)) for name in KINDS[kind].variables}


def _time(name: str) -> str:
    return date(2027, 3, 1).isoformat() if name.endswith("_on") else "2027-03-01T18:00:00+00:00"


@pytest.mark.parametrize("kind", NotificationKind)
@pytest.mark.parametrize(
    ("locale", "day", "price"), [("en_US", "March 1, 2027", "$49"), ("de_DE", "1. März 2027", "49 $")]
)
def test_every_kind_is_written_in_every_language(kind: NotificationKind, locale: str, day: str, price: str) -> None:
    text = load(None).render(kind, data_for(kind), COMMON, wanted=locale, publisher=PUBLISHER)

    assert text.locale == locale
    assert text.subject
    assert "Slow &lt;Ferry&gt;" in text.html
    assert text.text.startswith("Slow <Ferry>\n\n"), "nothing of the subject is before it"
    for said in (text.subject, text.text, text.html):
        assert "{" not in said.replace("{ ", "").replace("{\n", "") or said is text.html, "no tag is left"
        assert "None" not in said
        assert "jinja" not in said
    has_day = any(name.endswith(("_at", "_on", "_until")) for name in KINDS[kind].variables)
    assert not has_day or day in text.text or "2027, 12:00" in text.text, "a receipt says the time too"
    assert "price" not in KINDS[kind].variables or price in text.text


@pytest.mark.parametrize("kind", NotificationKind)
def test_a_message_can_be_written_without_any_optional_value(kind: NotificationKind) -> None:
    for language in ("en", "de"):
        text = load(None).render(
            kind, {}, {"publisher": "P", "brand": COMMON["brand"]}, wanted=language, publisher=PUBLISHER
        )
        assert text.text


@pytest.mark.parametrize(
    ("notice", "expected"),
    [
        (
            "2027-04-03T05:00:00+00:00",
            "Your subscription ends on April 3, 2027. You keep access until then, and we refund",
        ),
        (None, "You have access until March 1, 2027."),
    ],
)
def test_a_cancellation_tells_the_end_of_a_months_notice(notice: str | None, expected: str) -> None:
    data = {**data_for(NotificationKind.CANCELED), "notice_ends_at": notice}
    text = load(None).render(NotificationKind.CANCELED, data, COMMON, wanted="en_US", publisher=PUBLISHER)

    assert expected in " ".join(text.text.split())


@pytest.mark.parametrize(
    ("locale", "started", "said"),
    [
        ("en_US", True, "Your access has ended."),
        ("en_US", None, "Your access has ended."),
        ("en_US", False, "It hadn’t started, because no payment had succeeded."),
        ("de_DE", True, "Ihr Zugang ist beendet."),
        ("de_DE", False, "Es hatte noch nicht begonnen, weil keine Zahlung gelungen war."),
    ],
)
def test_a_cancellation_ends_no_access_that_never_was(locale: str, started: bool | None, said: str) -> None:
    """What an earlier release scheduled does not say whether there was one."""
    data = {**data_for(NotificationKind.CANCELED), "notice_ends_at": None, "access_until": None, "started": started}
    if started is None:
        del data["started"]
    text = load(None).render(NotificationKind.CANCELED, data, COMMON, wanted=locale, publisher=PUBLISHER)
    others = {"Your access has ended.", "Ihr Zugang ist beendet."} - {said}
    assert said in " ".join(text.text.split())
    assert not any(one in " ".join(text.text.split()) for one in others)


@pytest.mark.parametrize(
    ("interval", "locale", "said"),
    [
        ("month", "en_US", "each month"),
        ("year", "en_US", "each year"),
        ("month", "de_DE", "jeden Monat"),
        ("year", "de_DE", "jedes Jahr"),
    ],
)
def test_every_charge_that_repeats_says_how_often(interval: str, locale: str, said: str) -> None:
    for kind in (one for one in NotificationKind if "interval" in KINDS[one].variables):
        data = {**data_for(kind), "interval": interval, "total": None}
        text = load(None).render(kind, data, COMMON, wanted=locale, publisher=PUBLISHER)
        assert said in " ".join(text.text.split()), kind
        assert said in " ".join(text.html.split()), kind


def test_a_publishers_phrases_take_the_place_of_ours(tmp_path: Path) -> None:
    (tmp_path / "en").mkdir()
    (tmp_path / "en" / "phrases.jinja").write_text("{% macro each(interval) %}\nper {{ interval }}\n{% endmacro %}\n")
    kind = NotificationKind.RENEWAL_AHEAD
    text = load(tmp_path).render(kind, data_for(kind), COMMON, wanted="en_US", publisher=PUBLISHER)

    assert "and per year after that" in text.text


def test_a_language_without_templates_falls_back_to_the_publishers() -> None:
    german = Localization(Locale("de", "AT"), PUBLISHER.zone)

    for wanted, publisher, expected in (
        ("fr_FR", german, "de_AT"),
        ("fr_FR", PUBLISHER, "en_US"),
        (None, german, "de_AT"),
    ):
        kind = NotificationKind.CANCELED
        text = load(None).render(kind, data_for(kind), COMMON, wanted=wanted, publisher=publisher)
        assert text.locale == expected


def test_a_publishers_template_takes_the_place_of_ours(tmp_path: Path) -> None:
    (tmp_path / "en").mkdir()
    own = "<mj-title>Goodbye</mj-title>\n<mj-text>Until {{ access_until }}.</mj-text>\n"
    (tmp_path / "en" / "canceled.mjml").write_text(own)
    kind = NotificationKind.CANCELED
    text = load(tmp_path).render(kind, data_for(kind), COMMON, wanted="en_US", publisher=PUBLISHER)

    assert (text.subject, text.text.splitlines()[2]) == ("Goodbye", "Until March 1, 2027.")
    other = load(tmp_path).render(kind, data_for(kind), COMMON, wanted="de_DE", publisher=PUBLISHER)
    assert other.subject == "Ihr Abo ist gekündigt"


def test_a_policys_template_is_used_where_it_exists(tmp_path: Path) -> None:
    (tmp_path / "en").mkdir()
    (tmp_path / "en" / "renewal_california.mjml").write_text("<mj-title>CA</mj-title><mj-text>{{ price }}</mj-text>")
    kind = NotificationKind.RENEWAL_AHEAD
    templates = load(tmp_path, frozenset({(kind, "renewal_california")}))

    def subject(locale: str) -> str:
        name = "renewal_california"
        return templates.render(kind, data_for(kind), COMMON, template=name, wanted=locale, publisher=PUBLISHER).subject

    assert (subject("en_US"), subject("de_DE")) == ("CA", "Ihr Abo verlängert sich am 1. März 2027")


@pytest.mark.parametrize(
    ("name", "source", "problem"),
    [
        pytest.param(
            "en/canceled.mjml", "<mj-title>A</mj-title>\n<mj-text>{% if x %}</mj-text>",
            "en/canceled.mjml, line 2: Unexpected end of template", id="unfinished Jinja",
        ),
        pytest.param(
            "en/canceled.mjml", "<mj-title>A</mj-title>\n\n<mj-text>{{ pric }}</mj-text>",
            "en/canceled.mjml, line 3: unknown variable pric", id="misspelt variable",
        ),
        pytest.param(
            "en/canceled.mjml", "<mj-title>A</mj-title>\n<mj-text>B</mj-txt>",
            "en/canceled.mjml, line 2: mismatched tag", id="tag that is not closed",
        ),
        pytest.param(
            "en/canceled.mjml", "<mj-title>A</mj-title>\n<mj-txt>B</mj-txt>",
            "en/canceled.mjml, line 2: unknown element <mj-txt>", id="unknown element",
        ),
        pytest.param(
            "en/canceled.mjml", "<mj-title>A</mj-title>\nB", "line 2: text outside of an element", id="loose text",
        ),
        pytest.param("en/canceled.mjml", "<mj-text>B</mj-text>", "has no <mj-title>", id="no subject"),
        pytest.param("en/cancelled.mjml", "<mj-title>A</mj-title>", "replaces no template", id="misspelt name"),
        pytest.param("fr/canceled.mjml", "<mj-title>A</mj-title>", "a language needs every template", id="half a language"),
        pytest.param("layout.mjml", "<mjml>\n<mj-body>\n</mjml>", "layout.mjml, line 3: mismatched tag", id="layout"),
        pytest.param("layout.mjml", "<mjml></mjml>", "has no <!-- content -->", id="layout without a place"),
    ],
)  # fmt: skip
def test_a_mistake_is_refused_with_its_file_and_line(tmp_path: Path, name: str, source: str, problem: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(source)

    with pytest.raises(BadTemplates) as bad:
        load(tmp_path)

    assert any(problem in one for one in bad.value.problems), bad.value.problems


def test_a_template_that_a_policy_names_must_exist() -> None:
    with pytest.raises(BadTemplates, match=r"nowhere\.mjml: is missing: the catalogue names it"):
        load(None, frozenset({(NotificationKind.CANCELED, "nowhere")}))


def test_both_languages_use_the_same_variables() -> None:
    for kind in NotificationKind:
        used = [
            {
                name
                for name in KINDS[kind].variables | COMMON_VARIABLES
                if name in (FOLDER / lang / f"{kind}.mjml").read_text()
            }
            for lang in ("en", "de")
        ]
        assert used[0] == used[1], kind
