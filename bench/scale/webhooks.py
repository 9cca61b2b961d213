"""The outbox, webhook endpoints and their deliveries."""

from datetime import timedelta

from app.db import mailed_copies, outbox, webhook_deliveries, webhook_endpoints
from app.db.mailed_copies import MailedRun
from app.db.webhook_deliveries import ClaimedDelivery, RecordedEvent, Result
from app.domain.outbox import NewOutboxEvent, OutboxReader, OutboxType, reader_erased
from app.domain.webhook_deliveries import DeliveryStatus, EndpointResponse
from app.services.webhook_deliveries import CLAIMED, QUEUE_SLICE, REPLAY_SLICE
from bench.scale.labels import SELECTION
from bench.scale.subject import LEASE, NOW, OWNER, PAGE, Subject, days_ago, query

RUN = MailedRun("lbl_1", 2, 1_000, NOW.date())
TEST = NewOutboxEvent(type=OutboxType.WEBHOOK_TEST, reader=None, data={})


async def _record(s: Subject) -> None:
    claimed = [
        ClaimedDelivery(
            f"webhook:{s.id('whe')}:{reader}",
            (),
            1,
            lane=f"{s.id('whe')}:{reader}",
            endpoint_id=s.id("whe"),
            sequence=number + 1,
        )
        for number, reader in enumerate(s.ids("rdr"))
    ]
    response = EndpointResponse(204, None, "", timedelta(milliseconds=5))
    await webhook_deliveries.record(
        s.session, [Result(one, DeliveryStatus.DELIVERED, response, None) for one in claimed]
    )


async def _put(s: Subject) -> None:
    events = await webhook_deliveries.events_after(s.session, 1_000, limit=REPLAY_SLICE)
    assert all(isinstance(one, RecordedEvent) for one in events)
    await webhook_deliveries.put(s.session, s.id("whe", 1), events, delivered_too=True)


async def _results(s: Subject) -> None:
    ids = s.ids("whe", 3)
    await webhook_endpoints.record_results(
        s.session, succeeded=ids[:1], failed=ids[1:], gone=ids[2:], waits={ids[0]: timedelta(minutes=1)}
    )


async def _enable(s: Subject) -> None:
    lanes = await webhook_endpoints.lock_lanes(s.session, s.id("whe", 1))
    await webhook_endpoints.enable(s.session, s.id("whe", 1), lanes=lanes)


async def _remove(s: Subject) -> None:
    lanes = await webhook_endpoints.lock_lanes(s.session, s.id("whe", 1))
    await webhook_endpoints.remove(s.session, s.id("whe", 1), lanes=lanes)


async def _add(s: Subject) -> None:
    await webhook_endpoints.add(
        s.session, "whe_new", name="x", url="https://x.example", types=[], encrypted_secret="x", by="staff:x"
    )


WEBHOOKS = (
    query("mailed_copies.next_mailed", lambda s: mailed_copies.next_mailed(s.session, today=s.now.date())),
    query("mailed_copies.next_unchecked", lambda s: mailed_copies.next_unchecked(s.session)),
    query("mailed_copies.copies", lambda s: mailed_copies.copies(s.session, RUN, limit=PAGE)),
    query(
        "mailed_copies.without_address",
        lambda s: mailed_copies.without_address(s.session, SELECTION, after="", limit=PAGE),
        reads_all="it looks at every owed copy of an issue, once after its labels are frozen",
    ),
    query("mailed_copies.owners", lambda s: mailed_copies.owners(s.session, s.ids("scr"))),
    query(
        "mailed_copies.mark_checked_through", lambda s: mailed_copies.mark_checked_through(s.session, "lbl_1", "scr_1")
    ),
    query("mailed_copies.is_wanted", lambda s: mailed_copies.is_wanted(s.session, OutboxType.COPY_MAILED)),
    query("mailed_copies.mark_announced", lambda s: mailed_copies.mark_announced(s.session, "lbl_1", position=7)),
    query("mailed_copies.mark_checked", lambda s: mailed_copies.mark_checked(s.session, ["lbl_1"])),
    query("outbox.add", lambda s: outbox.add(s.session, [reader_erased(OutboxReader(s.reader, "auth0|x"))])),
    query("outbox.add_queued", lambda s: outbox.add_queued(s.session, TEST)),
    query("outbox.is_due", lambda s: outbox.is_due(s.session)),
    query("webhook_deliveries.queue_slice", lambda s: webhook_deliveries.queue_slice(s.session, limit=QUEUE_SLICE)),
    query(
        "webhook_deliveries.claim",
        lambda s: webhook_deliveries.claim(s.session, owner=OWNER, lease=LEASE, busy={s.id("whe", 1): 2}, each=CLAIMED),
    ),
    query("webhook_deliveries.record", _record),
    query("webhook_deliveries.event", lambda s: webhook_deliveries.event(s.session, s.id("obx"))),
    query(
        "webhook_deliveries.events_after",
        lambda s: webhook_deliveries.events_after(s.session, 1_000, limit=REPLAY_SLICE),
    ),
    query("webhook_deliveries.put", _put),
    query("webhook_deliveries.start_of", lambda s: webhook_deliveries.start_of(s.session, days_ago(s, 10))),
    query(
        "webhook_deliveries.page",
        lambda s: webhook_deliveries.page(s.session, s.id("whe", 1), status=None, after=5_000, limit=PAGE),
    ),
    query(
        "webhook_deliveries.page",
        lambda s: webhook_deliveries.page(s.session, s.id("whe", 1), status="failed", after=None, limit=PAGE),
        "failed",
    ),
    query("webhook_endpoints.lock_list", lambda s: webhook_endpoints.lock_list(s.session)),
    query("webhook_endpoints.add", _add),
    query("webhook_endpoints.list_all", lambda s: webhook_endpoints.list_all(s.session)),
    query("webhook_endpoints.by_id", lambda s: webhook_endpoints.by_id(s.session, s.id("whe", 1))),
    query("webhook_endpoints.lock", lambda s: webhook_endpoints.lock(s.session, s.id("whe", 1))),
    query(
        "webhook_endpoints.rotate",
        lambda s: webhook_endpoints.rotate(s.session, s.id("whe", 1), encrypted_secret="x", overlap=timedelta(days=1)),
    ),
    query("webhook_endpoints.disable", lambda s: webhook_endpoints.disable(s.session, s.id("whe", 1))),
    query(
        "webhook_endpoints.lock_lanes",
        lambda s: webhook_endpoints.lock_lanes(s.session, s.id("whe", 1)),
        reads_all="it locks each lane of the endpoint, when somebody enables or deletes it",
    ),
    query(
        "webhook_endpoints.has_more_lanes",
        lambda s: webhook_endpoints.has_more_lanes(s.session, s.id("whe", 1), lanes=[]),
        reads_all="it looks at each lane of the endpoint, when somebody deletes it",
    ),
    query(
        "webhook_endpoints.enable",
        _enable,
        reads_all="it wakes each lane of the endpoint, when somebody enables it",
    ),
    query(
        "webhook_endpoints.remove",
        _remove,
        reads_all="it cancels each pending delivery to the endpoint, when somebody deletes it",
    ),
    query("webhook_endpoints.record_results", _results),
)
