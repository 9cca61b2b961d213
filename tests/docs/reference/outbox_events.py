"""docs/reference/outbox-events.md, from the types of events and the functions that make their payloads."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from babel import Locale

from app.domain import outbox
from app.domain.claims import Claim, ClaimResolution
from app.domain.entitlements import NO_ENTITLEMENTS, AccessPeriod, EntitlementSet
from app.domain.invoices import InvoiceStatus
from app.domain.notifications import Channel, Notification, NotificationKind, NotificationStatus, handed_over, money
from app.domain.outbox import NewOutboxEvent, OutboxReader, OutboxType
from app.domain.refunds import Refund
from app.domain.renewals import Renewal
from app.domain.subscriptions import Subscription, Term
from app.domain.webhook_deliveries import TEST_DATA, DeliveredEvent, body_of
from app.localization import Localization
from app.mail.templates import load
from tests.docs.reference.markdown import NOTE, table

INTRODUCTION = """\
# Event types

What Newsstand tells your other systems, by [webhooks](../integrate/receive-events.md). Each event has the state after the
change, so that nothing has to be fetched. A payload may get new members in any release. A breaking change gets a new
`version`.

All bodies have the same members:

| member | meaning |
|---|---|
| `id` | The event. It is the same each time the event is sent, like the header `webhook-id`. |
| `type`, `version` | What happened, and the version of `data` |
| `timestamp` | When it was recorded |
| `sequence` | The order: of the events of a reader, a later one has a greater number |
| `reader` | `id` is ours, `sub` the identity provider's, or null while nobody has claimed an imported subscription |
| `data` | See below. Amounts are in minor units, times in UTC. |
"""
MEANINGS: dict[OutboxType, str] = {
    OutboxType.SUBSCRIPTION_STARTED: "A subscription is paid, or its trial began. Not after an import.",
    OutboxType.SUBSCRIPTION_RENEWED: "The next term is paid. `term` is that term.",
    OutboxType.SUBSCRIPTION_CANCEL_SCHEDULED: "It will end at `ends_at`, or at another time than before.",
    OutboxType.SUBSCRIPTION_CANCEL_UNDONE: "The scheduled cancellation was undone. The subscription will renew.",
    OutboxType.SUBSCRIPTION_ENDED: "It has ended. `reason` is Stripe's, or ours, such as `guarantee` or `cancel_now`.",
    OutboxType.SUBSCRIPTION_PAYMENT_FAILED: "The reader has to pay, or to confirm the payment (`action_required`). Once for"
    " each invoice.",
    OutboxType.SUBSCRIPTION_PAUSED: "It is paused at Stripe, or nothing is collected for it.",
    OutboxType.SUBSCRIPTION_RESUMED: "It is not paused anymore.",
    OutboxType.ENTITLEMENTS_CHANGED: "What the reader may use changed, now or later. `before` and `after` are complete: of"
    " each feature the periods that are not over, and the reason otherwise. `until` is null while no end is known. No event"
    " is sent when a period simply expires.",
    OutboxType.REFUND_SUCCEEDED: "The money is on its way to the reader.",
    OutboxType.REFUND_FAILED: "Stripe or the reader's bank refused it.",
    OutboxType.ADDRESS_NEEDED: "A copy could not be sent, because the reader has no postal address that can be used.",
    OutboxType.COPY_MAILED: "A printed copy was mailed. Recorded only while an endpoint asks for it.",
    OutboxType.CLAIM_DECIDED: "A claimed copy is `granted` or `rejected`.",
    OutboxType.READER_ERASED: "The reader was erased here. Erase them, too: their `sub` is sent one last time.",
    OutboxType.NOTICE_DUE: "A notification whose channel is `webhook` is due. Send it to `to` with your own mailer.",
    OutboxType.WEBHOOK_TEST: "An administrator sent a test. It is about no reader.",
}
READER = OutboxReader("rdr_0c5e", "auth0|4711")
START, END = datetime(2026, 3, 1, 18, tzinfo=UTC), datetime(2027, 3, 1, 18, tzinfo=UTC)
NOW = START + timedelta(days=30)
SUBSCRIPTION = Subscription(
    id="scr_0c5e",
    stripe_id="sub_123",
    subscriber_id="rdr_0c5e",
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
NEXT = Term(
    invoice_id="in_456",
    plan="annual",
    print_edition=True,
    starts_at=END,
    ends_at=END + timedelta(days=365),
    issues_owed=24,
)
ACCESS = EntitlementSet(features={"archive": (AccessPeriod(START, END, "paid_term"),)}, otherwise="ended")
REFUND = Refund(
    id="rfd_0c5e",
    group_id="rfd_0c5e",
    payment_id="pi_123",
    subscriber_id="rdr_0c5e",
    basis="guarantee",
    amount=73_00,
    tax=0,
    currency="usd",
    reason="requested_by_reader",
    note=None,
    requested_by="staff:robin",
    status="succeeded",
    created_at=NOW,
)
CLAIM = Claim(
    id="clm_0c5e",
    subscriber_id="rdr_0c5e",
    subscription_id="scr_0c5e",
    term="in_123",
    issue_number=7,
    run_number=0,
    address_id="adr_0c5e",
    reason="damaged",
    resolution=ClaimResolution.RESEND,
    note=None,
    claimed_by="reader:rdr_0c5e",
    created_at=NOW,
)
LOOK = {"brand": {"accent": "#b3361d", "on_accent": "#ffffff", "font": "Georgia, serif"}}
NOTIFICATION = Notification(
    id="ntf_0c5e",
    kind=NotificationKind.RENEWAL_AHEAD,
    about="scr_0c5e/20270301",
    subscriber_id="rdr_0c5e",
    subscription_id="scr_0c5e",
    data={
        "plan": "Annual",
        "price": money(73_00, "usd"),
        "discounted": False,
        "renews_at": END.isoformat(),
        "interval": "year",
    },
    event_at=END,
    send_at=END - timedelta(days=30),
    status=NotificationStatus.SENDING,
    channel=Channel.WEBHOOK,
)


def synced(before: Subscription | None, after: Subscription, *opened: Term) -> Sequence[NewOutboxEvent]:
    return outbox.subscription_events(READER, before, after, opened, now=NOW)


def examples() -> dict[OutboxType, NewOutboxEvent]:
    """Return an event of each type, made as the service makes it."""
    failed = Renewal(invoice_id="in_456", status=InvoiceStatus.OPEN, starts_at=END, attempted=True)
    found = [
        *synced(None, SUBSCRIPTION),
        *synced(SUBSCRIPTION, SUBSCRIPTION, NEXT),
        *synced(SUBSCRIPTION, replace(SUBSCRIPTION, cancel_at=END)),
        *synced(replace(SUBSCRIPTION, cancel_at=END), SUBSCRIPTION),
        *outbox.subscription_ended(
            READER, SUBSCRIPTION, replace(SUBSCRIPTION, access_ended_at=NOW, ended_by="guarantee")
        ),
        *synced(SUBSCRIPTION, replace(SUBSCRIPTION, status="past_due", renewal=failed)),
        *synced(SUBSCRIPTION, replace(SUBSCRIPTION, status="paused")),
        *synced(replace(SUBSCRIPTION, status="paused"), SUBSCRIPTION),
        *outbox.entitlements_changed(READER, NO_ENTITLEMENTS, ACCESS, now=NOW),
        *outbox.refund_result(READER, REFUND),
        *outbox.refund_result(READER, replace(REFUND, status="failed", failure_reason="expired_or_canceled_card")),
        outbox.address_needed(READER, subscription_id="scr_0c5e", issue=7),
        outbox.copy_mailed(READER, subscription_id="scr_0c5e", issue=7, kind="copy"),
        outbox.claim_decided(READER, CLAIM, granted=True),
        outbox.reader_erased(READER),
        _notice_due(),
        NewOutboxEvent(type=OutboxType.WEBHOOK_TEST, reader=None, data=TEST_DATA),
    ]
    return {event.type: event for event in found}


def _notice_due() -> NewOutboxEvent:
    common = {"publisher": "Slow Ferry", "account_url": "https://billing.example.com/account"}
    publisher = Localization(Locale("en", "US"), ZoneInfo("UTC"))
    made = load(None).render(NOTIFICATION.kind, NOTIFICATION.data, common | LOOK, wanted=None, publisher=publisher)
    its = {"locale": made.locale, "subject": made.subject, "text": made.text, "html": f"{made.html.strip()[:15]}…"}
    return outbox.notice_due(READER, handed_over(NOTIFICATION, recipient="ada@example.com", text=its))


def page() -> str:
    """Return the page."""
    made = examples()
    rows = ((f"[`{one}`](#{_anchor(one)})", MEANINGS[one]) for one in OutboxType)
    parts = [NOTE, INTRODUCTION, table(["type", "meaning"], rows)]
    for number, one in enumerate(OutboxType):
        parts.append(
            f"## {one} {{ #{_anchor(one)} }}\n\n{MEANINGS[one]}\n\n```json\n{_example(made[one], number)}\n```\n"
        )
    return "\n".join(parts)


def _anchor(type_: OutboxType) -> str:
    return type_.replace(".", "-").replace("_", "-")


def _example(event: NewOutboxEvent, number: int) -> str:
    sent = DeliveredEvent(
        id=f"obx_{number:04x}",
        type=event.type,
        version=event.version,
        sequence=4711 + number,
        created_at=NOW,
        subscriber_id=event.reader.id if event.reader is not None else None,
        sub=event.reader.sub if event.reader is not None else None,
        data=event.data,
    )
    return json.dumps(body_of(sent), indent=2)
