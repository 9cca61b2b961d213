"""The summary of a reader in one sentence."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from babel import Locale

from app.domain.dunning import AccessPolicy
from app.domain.ledgers import Ledger
from app.domain.reader_summary import summary_of
from app.domain.subscriptions import Subscription, Term
from app.localization import Localization
from tests.support.wording import american

ZONE = ZoneInfo("America/Chicago")
POLICY = AccessPolicy(
    renewal_allowance=timedelta(days=3), grace_period=timedelta(days=14), zone=ZONE, wording=american("America/Chicago")
)
START, END = datetime(2026, 3, 3, 18, tzinfo=UTC), datetime(2027, 3, 3, 18, tzinfo=UTC)
NOW = datetime(2026, 6, 1, tzinfo=UTC)
RUNNING = Subscription(
    id="scr_1",
    stripe_id="sub_1",
    subscriber_id="rdr_1",
    version=1,
    plan="annual",
    print_edition=True,
    status="active",
    price=73_00,
    currency="usd",
    created_at=START,
    current_period_start=START,
    current_period_end=END,
    cancel_at=None,
    canceled_at=None,
    ended_at=None,
    end_reason=None,
)
TERM = Term(invoice_id="in_1", plan="annual", print_edition=True, starts_at=START, ends_at=END, issues_owed=24)
OVER = replace(RUNNING, status="canceled", ended_at=datetime(2026, 5, 9, 3, tzinfo=UTC))


def summary(subscription: Subscription, *terms: Term, **more: object) -> str:
    return summary_of([(subscription, terms)], now=NOW, policy=POLICY, **more).text  # type: ignore[arg-type]


def details(subscription: Subscription, *terms: Term, **more: object) -> str:
    return summary_of([(subscription, terms)], now=NOW, policy=POLICY, **more).details  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("subscription", "terms", "expected"),
    [
        pytest.param(RUNNING, [TERM], "Paid until March 3, 2027, then renews for $73", id="paid"),
        pytest.param(
            RUNNING,
            [TERM, replace(TERM, invoice_id="in_2", starts_at=END, ends_at=END + timedelta(days=366))],
            "Paid until March 3, 2028, then renews for $73",
            id="the last term counts",
        ),
        pytest.param(
            replace(RUNNING, cancel_at=END),
            [TERM],
            "Paid until March 3, 2027, does not renew (canceled)",
            id="canceled at the end of the term",
        ),
        pytest.param(
            replace(RUNNING, cancel_at=datetime(2026, 12, 25, 18, tzinfo=UTC)),
            [TERM],
            "Ends on December 25, 2026 (canceled before the end of the paid period)",
            id="canceled before the end of the term",
        ),
        pytest.param(
            replace(RUNNING, status="past_due"),
            [TERM],
            "Access until March 17, 2027: the renewal payment failed",
            id="renewal unpaid",
        ),
        pytest.param(replace(RUNNING, status="trialing"), [], "Trial until March 3, 2027, digital", id="trial"),
        pytest.param(RUNNING, [], "Subscribed, not paid yet", id="no payment"),
        pytest.param(
            replace(RUNNING, status="incomplete"),
            [],
            "Checkout started, first payment pending",
            id="first payment pending",
        ),
        pytest.param(
            replace(RUNNING, status="paused"),
            [TERM],
            "Access until March 3, 2027: paused",
            id="paused",
        ),
        pytest.param(
            replace(OVER, ended_by="guarantee"),
            [replace(TERM, refunded_as="guarantee")],
            "Ended on May 8, 2026: refunded under the money-back guarantee",
            id="refunded: date in the publisher's time zone",
        ),
        pytest.param(
            replace(RUNNING, ended_by="cancel_now", access_ended_at=NOW),
            [TERM],
            "Ended on May 31, 2026: canceled immediately",
            id="ended here but not yet at Stripe",
        ),
        pytest.param(
            replace(OVER, end_reason="payment_failed"),
            [TERM],
            "Ended on May 8, 2026: renewal never paid",
            id="never paid",
        ),
        pytest.param(OVER, [TERM], "Ended on May 8, 2026: not renewed", id="unknown reason"),
    ],
)
def test_the_summary_of_a_reader_follows_the_subscription(
    subscription: Subscription, terms: Sequence[Term], expected: str
) -> None:
    assert summary(subscription, *terms) == expected


def test_a_dispute_puts_access_on_hold() -> None:
    disputed = summary_of([(RUNNING, [replace(TERM, suspended_as="dispute_open")])], now=NOW, policy=POLICY)
    assert (disputed.text, disputed.needs_attention) == ("Access on hold: payment disputed", True)
    assert not summary_of([(RUNNING, [TERM])], now=NOW, policy=POLICY).needs_attention


@pytest.mark.parametrize(
    ("locale", "expected"),
    [
        ("de_DE", "Paid until 3. März 2027, then renews for 73 $"),
        ("en_GB", "Paid until 3 March 2027, then renews for US$73"),
    ],
)
def test_dates_and_prices_follow_the_publishers_locale(locale: str, expected: str) -> None:
    policy = replace(POLICY, wording=Localization(Locale.parse(locale), ZONE))
    assert summary_of([(RUNNING, [TERM])], now=NOW, policy=policy).text == expected


def test_the_summary_of_a_reader_without_a_subscription() -> None:
    assert summary_of([], now=NOW, policy=POLICY).text == "Never subscribed"


def test_the_summary_includes_the_remaining_issues() -> None:
    ledger = Ledger(
        invoice_id="in_1",
        bought=24,
        adjustments=0,
        grace_copies=0,
        served=7,
        unserved=17,
        cancelled=0,
        last_issue=None,
    )
    assert details(RUNNING, TERM, ledgers={"in_1": ledger}) == "Print and digital, 17 of 24 issues remaining"
    assert details(RUNNING, replace(TERM, print_edition=False)) == "Digital"
    earlier = replace(ledger, invoice_id="in_0", served=23, unserved=1)
    terms = [replace(TERM, invoice_id="in_0", starts_at=START - timedelta(days=365), ends_at=START), TERM]
    late = details(RUNNING, *terms, ledgers={"in_0": earlier, "in_1": replace(ledger, served=0, unserved=24)})
    assert late.endswith("25 of 48 issues remaining"), "remaining issues of an earlier term count"


def test_an_active_subscription_takes_precedence_over_a_newer_ended_one() -> None:
    later = replace(OVER, id="scr_2", created_at=START + timedelta(days=9))
    assert summary_of([(RUNNING, [TERM]), (later, [])], now=NOW, policy=POLICY).text.startswith("Paid until")


def test_the_summary_of_a_guest_has_the_end_of_the_comp() -> None:
    until = datetime(2026, 8, 1, 12, tzinfo=UTC)
    assert (
        summary_of([], guest_until=until, now=NOW, policy=POLICY).text
        == "Complimentary access until August 1, 2026 (no subscription)"
    )
    assert summary(OVER, TERM, guest_until=until).endswith("(subscription ended)")
    assert summary(OVER, TERM, guest_until=NOW).startswith("Ended on")
