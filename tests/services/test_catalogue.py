"""The catalogue file: all problems are reported together, each with its key."""

from datetime import UTC, datetime
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from stripe.params.checkout import SessionCreateParamsShippingAddressCollection

from app.domain.money import Money
from app.domain.plans import BadCatalogue
from app.services.catalogue import COUNTRIES, load

OURS = Path(__file__).parents[2] / "catalogue.toml"
PRICES = "plans.annual.prices"


def problems(path: Path, text: str) -> list[str]:
    """Return the problems of a file."""
    path.write_text(text)
    with pytest.raises(BadCatalogue) as bad:
        load(path)
    return list(bad.value.problems)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "catalogue.toml"


@pytest.fixture(scope="module")
def valid() -> str:
    return OURS.read_text()


def test_the_committed_catalogue_is_valid() -> None:
    catalogue = load(OURS)
    annual = catalogue.plan("annual")
    assert annual.offer == (
        "24 Issues Per Year",
        "Optional Print Edition",
        "Digital Edition Access",
        "Exclusive Subscriber Content",
        "Audio provided for all articles",
        "Unlimited access to past issues",
        "Coming Soon! Ad FREE",
        "60-Day money back guarantee!",
        "Cancel anytime",
    )
    assert (annual.issues, annual.interval, annual.guarantee.terms.days) == (24, "year", 60)
    assert {name: price.price for name, price in annual.prices.items()} == {
        "digital": Money(4900, "usd"),
        "print": Money(2400, "usd"),
    }
    assert annual.prices["print"].ships_to == ("US",)
    assert not annual.features["ad_free"].is_granted(datetime(2100, 1, 1, tzinfo=UTC))


def test_an_announced_feature_has_its_date_in_utc(path: Path, valid: str) -> None:
    path.write_text(valid.replace("announced = true", "announced = true\navailable_from = 2027-03-01T00:00:00-06:00"))
    opens = load(path).feature("ad_free").available_from
    assert opens == datetime(2027, 3, 1, 6, tzinfo=UTC)
    assert opens.tzinfo is UTC


def test_prices_that_were_promised_for_good_are_locked(path: Path, valid: str) -> None:
    promised = "amount = 4900\nearlier = [{ amount = 3900, locked = true }, { amount = 4500, locked = false }]"
    path.write_text(valid.replace("amount = 4900", promised, 1))
    assert load(path).plan("annual").prices["digital"].locked_amounts == {39_00}
    path.write_text(valid.replace("amount = 4900", "amount = 4900\nlocked = true", 1))
    assert load(path).plan("annual").prices["digital"].locked_amounts == {49_00}


def test_a_plan_may_be_digital_only(path: Path, valid: str) -> None:
    digital = valid[: valid.index("[plans.annual.prices.print]")].replace('["print_edition", ', "[")
    path.write_text(digital)
    assert not load(path).plan("annual").has_print


MUST_BE_MONEY = f"{PRICES}.digital.amount: must be a whole number of minor units above zero"


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("amount = 4900", "amount = 0", MUST_BE_MONEY),
        ("amount = 4900", "amount = -4900", MUST_BE_MONEY),
        ("amount = 4900", "amount = 49.00", MUST_BE_MONEY),
        ("amount = 4900", "amount = true", MUST_BE_MONEY),
        ("amount = 4900", 'amount = "4900"', MUST_BE_MONEY),
        ("amount = 4900", "amount = 100000000", f"{PRICES}.digital.amount: must be at most 99999999, the largest usd"),
        ("amount = 4900", "amount = 99999999", f"{PRICES}: add up to more than 99999999, the largest amount that Stripe"),
        ("amount = 4900", "amount = 49", f"{PRICES}.digital.amount: must be at least 50, the smallest usd amount"),
        ("amount = 4900", "", f"{PRICES}.digital.amount: is missing"),
        ("amount = 4900", "amuont = 4900", f"{PRICES}.digital.amuont: unknown key; did you mean amount?"),
        ("amount = 4900", "amount = 4900\nqqqq = 1", f"{PRICES}.digital.qqqq: unknown key"),
        ('currency = "usd"', 'currency = "USD"', f"{PRICES}.digital.currency: must be a currency code of three"),
        ("4900\ncurrency = \"usd\"", "4900\ncurrency = \"eur\"", f"{PRICES}.print.currency: must be eur, like the digital"),
        ("txcd_10303002", "10303002", f"{PRICES}.digital.tax_code: must be a Stripe tax code, such as txcd_"),
        ('behavior = "exclusive"', 'behavior = "none"', f'{PRICES}.digital.tax_behavior: must be "inclusive", "exclusive"'),
        ("annual_digital", "Annual-Digital", f"{PRICES}.digital.lookup_key: must be lowercase letters, digits"),
        (
            "newsstand_annual_print",
            "newsstand_annual_digital",
            f"{PRICES}.print.lookup_key: 'newsstand_annual_digital' is already the lookup key of {PRICES}.digital",
        ),
        ("[plans.annual.prices.digital]", "[plans.annual.prices.paper]", f"{PRICES}.digital: is missing"),
        ('postage_band = "domestic"', "", f"{PRICES}.print.postage_band: is missing"),
        ('ships_to = ["US"]', "", f"{PRICES}.print.ships_to: is missing"),
        ('ships_to = ["US"]', "ships_to = []", f"{PRICES}.print.ships_to: must be a list of country codes, at least one"),
        ('ships_to = ["US"]', 'ships_to = "US"', f"{PRICES}.print.ships_to: must be a list of country codes"),
        ('ships_to = ["US"]', 'ships_to = ["KP"]', f"{PRICES}.print.ships_to: 'KP' is not a country code"),
        ('ships_to = ["US"]', 'ships_to = ["USA"]', f"{PRICES}.print.ships_to: 'USA' is not a country code"),
        ('ships_to = ["US"]', 'ships_to = ["US", "US"]', f"{PRICES}.print.ships_to: 'US' is listed twice"),
        ("amount = 4900", 'amount = 4900\nships_to = ["US"]', f"{PRICES}.digital.ships_to: unknown key"),
        ('["print_edition", ', "[", "plans.annual.features: 'print_edition' must be listed"),
        ('"audio", ', '"crossword", ', "plans.annual.features: 'crossword' is not in [features]"),
        ('"audio", ', '"audio", "audio", ', "plans.annual.features: 'audio' is listed twice"),
        ('"audio", ', "7, ", "plans.annual.features.3: must be a list of at least one feature name"),
        ("issues = 24", "issues = 0", "plans.annual.issues: must be a whole number of issues from 1 to 1000"),
        ('interval = "year"', 'interval = "week"', 'plans.annual.interval: must be "year" or "month"'),
        ("days = 60", "days = -1", "plans.annual.guarantee.days: must be a whole number of days from 0 to 3650"),
        ("days = 60", "days = 3651", "plans.annual.guarantee.days: must be a whole number of days from 0 to 3650"),
        ('"anytime"', '"never"', 'plans.annual.cancellation.policy: must be "anytime"'),
        ("plans.annual", "plans.annual_plan", "plans.annual_plan: a plan's code must be at most 40 lowercase letters"),
        ("[features.audio]", "[features.Audio]", "features.Audio: a feature's name must be at most 40 lowercase letters"),
        ('title = "24 Issues Per Year"', 'title = ""', "plans.annual.title: must be one line of"),
        ('title = "24 Issues Per Year"', 'title = "24\\nIssues"', "plans.annual.title: must be one line of"),
        ('publisher = "Slow Ferry"', "publisher = 7", "publisher: must be the magazine's name"),
        ('publisher = "Slow Ferry"', "publisher = \"\"\nfoo = 1", "foo: unknown key"),
        ("announced = true", 'announced = "yes"', "features.ad_free.announced: must be true or false"),
        (
            "announced = true",
            "announced = true\navailable_from = 2027-03-01T00:00:00",
            "features.ad_free.available_from: must be a time with a time zone, such as 2027-03-01T00:00:00Z",
        ),
        (
            "announced = true",
            "announced = true\navailable_from = 2027-03-01",
            "features.ad_free.available_from: must be a time with a time zone",
        ),
        (
            "announced = true",
            "available_from = 2027-03-01T00:00:00Z",
            "features.ad_free.available_from: requires announced = true",
        ),
        ("guarantee = {", "guarantee = 60 # {", "plans.annual.guarantee: must be a table"),
    ],
)  # fmt: skip
def test_an_invalid_value_is_reported_with_its_key(path: Path, valid: str, old: str, new: str, problem: str) -> None:
    assert old in valid
    assert any(message.startswith(problem) for message in problems(path, valid.replace(old, new)))


def test_an_empty_catalogue_reports_every_required_key(path: Path) -> None:
    assert problems(path, "") == ["publisher: is missing", "features: is missing", "plans: is missing"]
    assert problems(path, 'publisher = "P"\nplans = {}\nfeatures = {}') == [
        "features: must not be empty (line 3)",
        "plans: must not be empty (line 2)",
    ]
    assert problems(path, 'publisher = "P"\nplans = 1\nfeatures = []') == [
        "features: must be a table (line 3)",
        "plans: must be a table (line 2)",
    ]


def test_a_print_feature_without_a_print_price_is_rejected(path: Path, valid: str) -> None:
    digital = valid[: valid.index("[plans.annual.prices.print]")]
    (message,) = problems(path, digital)
    assert message.startswith(
        "plans.annual.features: 'print_edition' is listed, but the plan has no print price (line "
    )


def test_two_plans_cannot_share_a_lookup_key(path: Path, valid: str) -> None:
    plan = valid[valid.index("[plans.annual]") : valid.index("[[policies.disputes]]")]
    messages = problems(path, valid + "\n" + plan.replace("plans.annual", "plans.monthly"))
    assert [one.split(" (line")[0] for one in messages] == [
        f"plans.monthly.prices.{component}.lookup_key: 'newsstand_annual_{component}' is already the lookup key of "
        f"plans.annual.prices.{component}"
        for component in ("digital", "print")
    ]


def test_all_problems_are_reported_together_with_their_lines(path: Path, valid: str) -> None:
    wrong = valid.replace("amount = 4900", "amount = 0").replace("issues = 24", "issues = 2.5").replace("60,", "-1,")
    lines = wrong.splitlines()
    assert problems(path, wrong) == [
        "plans.annual.issues: must be a whole number of issues from 1 to 1000 "
        f"(line {lines.index('issues = 2.5') + 1})",
        "plans.annual.guarantee.days: must be a whole number of days from 0 to 3650 "
        f"(line {next(n for n, line in enumerate(lines, 1) if line.startswith('guarantee'))})",
        f"{MUST_BE_MONEY} (line {lines.index('amount = 0') + 1})",
    ]


def test_a_file_that_cannot_be_read_is_named(path: Path) -> None:
    with pytest.raises(BadCatalogue, match=r"catalogue\.toml: can't be read: No such file"):
        load(path)
    with pytest.raises(BadCatalogue, match="can't be read: Is a directory"):
        load(path.parent)


def test_a_toml_syntax_error_is_reported_with_its_line(path: Path) -> None:
    (message,) = problems(path, 'publisher = "P"\nplans = \n')
    assert message.startswith(f"{path}: is not valid TOML: ")
    assert "at line 2" in message


def test_an_encoding_error_is_reported_with_its_line(path: Path) -> None:
    path.write_bytes('publisher = "P"\n# prix: 49 €\n'.encode("cp1252"))
    with pytest.raises(BadCatalogue, match=r"is not UTF-8 \(at line 2\)"):
        load(path)


def test_the_countries_are_those_that_stripe_ships_to() -> None:
    hints = get_type_hints(SessionCreateParamsShippingAddressCollection)
    (one_of,) = get_args(hints["allowed_countries"])
    listed = {code for part in get_args(one_of) for code in get_args(part)}
    assert listed - {"ZZ"} == COUNTRIES


@pytest.mark.parametrize(
    ("currency", "amount", "problem"),
    [
        pytest.param("xyz", 4900, "currency: 'xyz' is not a currency that Stripe supports", id="unknown currency"),
        pytest.param(
            "gbp", 29, "amount: must be at least 30, the smallest gbp amount that Stripe charges", id="minimum"
        ),
        pytest.param("jpy", 100_000_000, "amount: must be at most 99999999, the largest jpy", id="maximum"),
        pytest.param("isk", 4950, "amount: must be a multiple of 100, because isk has no smaller", id="ISK"),
        pytest.param("ugx", 4950, "amount: must be a multiple of 100, because ugx has no smaller", id="UGX"),
        pytest.param(
            "kwd", 10_505, "amount: must be a multiple of 10, because kwd has no smaller", id="three decimals"
        ),
        pytest.param("idr", 999_999_999_999, None, id="the maximum differs by currency"),
        pytest.param("isk", 4900, None, id="ISK without decimals"),
        pytest.param("kwd", 10_500, None, id="dinar"),
    ],
)
def test_a_price_must_be_one_that_stripe_can_charge(
    path: Path, valid: str, currency: str, amount: int, problem: str | None
) -> None:
    digital = valid[: valid.index("# Print is a separate product")].replace('["print_edition", ', "[")
    text = digital.replace('amount = 4900\ncurrency = "usd"', f'amount = {amount}\ncurrency = "{currency}"')
    if problem is None:
        path.write_text(text)
        assert load(path).plan("annual").prices["digital"].price == Money(amount, currency)
    else:
        (found,) = problems(path, text)
        assert found.startswith(f"{PRICES}.digital.{problem}")
