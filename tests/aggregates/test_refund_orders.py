"""Refunds that the service orders automatically, with earlier refunds requested by people."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from app.aggregates import refund_orders
from app.db import payments, refunds, subscribers
from app.db.engine.session import Session, Sessions
from app.db.models import AuditEntry
from app.db.models import Refund as Row
from app.domain.refunds import (
    Refund,
    RefundBasis,
    RefundInProgress,
    RefundStatus,
    refundable_amount,
)
from app.domain.subscriptions import Payment
from tests.aggregates.test_sync_subscription import NOW, create_subscription
from tests.domain.test_quotes import REFUND

PAID = 53_00


async def create_payment(sessions: Sessions, *before: tuple[str, str, int]) -> tuple[Payment, str]:
    """Create a payment of 53.00, including tax of 4.00, with earlier refunds requested by people."""
    async with sessions.begin() as session:
        owner, held = await create_subscription(session)
        (first, *_) = await payments.of_subscription(session, held.id)
        payment = replace(first, id="pi_of_53", invoice_id="in_of_53", amount=PAID, tax=4_00)
        await payments.save(session, held.id, [payment])
        for number, (basis, status, amount) in enumerate(before):
            asked = replace(
                REFUND,
                id=f"rfd_{number}",
                group_id=f"rfd_{number}",
                payment_id=payment.id,
                subscriber_id=owner.id,
                basis=basis,
                status=status,
                amount=amount,
                tax=0,
                created_at=NOW - timedelta(days=1),
            )
            await refunds.insert(session, asked, unfinished=status == RefundStatus.PROCESSING)
    return payment, owner.id


async def order_refund(
    sessions: Sessions, payment: Payment, owner: str, *, basis: str = RefundBasis.DUPLICATE, amount: int | None = None
) -> Refund | None:
    async with sessions.begin() as session:
        await subscribers.lock(session, owner)
        return await refund_orders.refund(
            session, payment, subscriber_id=owner, basis=basis, reason="policy", now=NOW, amount=amount
        )


async def refund_states(session: Session, payment: Payment) -> list[tuple[str, str, int]]:
    return [(one.basis, one.status, one.amount) for one in await refunds.of_payment(session, payment.id)]


@pytest.mark.parametrize(
    ("before", "amount", "ordered"),
    [
        pytest.param([], None, 53_00, id="no refund yet: full amount"),
        pytest.param([], 24_00, 24_00, id="no refund yet: ordered amount"),
        pytest.param([], 60_00, 53_00, id="more than paid: full amount"),
        pytest.param(
            [(RefundBasis.GOODWILL, RefundStatus.SUCCEEDED, 30_00)], None, 23_00, id="partly refunded: the rest"
        ),
        pytest.param(
            [(RefundBasis.GOODWILL, RefundStatus.SUCCEEDED, 30_00)],
            20_00,
            20_00,
            id="partly refunded: ordered amount remains",
        ),
        pytest.param(
            [(RefundBasis.GOODWILL, RefundStatus.SUCCEEDED, 40_00)],
            24_00,
            13_00,
            id="earlier request of a person: the rest",
        ),
        pytest.param([(RefundBasis.GOODWILL, RefundStatus.PENDING, 40_00)], 24_00, 13_00, id="pending refund counts"),
        pytest.param(
            [(RefundBasis.GOODWILL, RefundStatus.REQUIRES_ACTION, 40_00)],
            None,
            13_00,
            id="refund that requires action counts",
        ),
        pytest.param(
            [(RefundBasis.DASHBOARD, RefundStatus.SUCCEEDED, 53_00)], 24_00, None, id="fully refunded manually: nothing"
        ),
        pytest.param([(RefundBasis.GOODWILL, RefundStatus.SUCCEEDED, 53_00)], None, None, id="fully refunded: nothing"),
        pytest.param(
            [(RefundBasis.GOODWILL, RefundStatus.FAILED, 53_00)], 24_00, 24_00, id="failed refund does not count"
        ),
    ],
)
async def test_an_ordered_refund_never_exceeds_the_refundable_amount(
    sessions: Sessions, before: list[tuple[str, str, int]], amount: int | None, ordered: int | None
) -> None:
    payment, owner = await create_payment(sessions, *before)

    made = await order_refund(sessions, payment, owner, basis=RefundBasis.PRINT_DROPPED, amount=amount)

    async with sessions.begin() as session:
        known = await refunds.of_payment(session, payment.id)
        due = (await session.scalars(select(Row.id).where(Row.due_at <= func.now()))).all()
    assert refundable_amount(payment, known) >= 0
    if ordered is None:
        assert (made, due) == (None, [])
        return
    assert made is not None
    assert (made.amount, made.status, made.requested_by) == (ordered, RefundStatus.PROCESSING, "policy")
    assert due == [made.id], "a worker processes the refund"


@pytest.mark.parametrize(
    ("waiting", "amount", "gives_way"),
    [
        pytest.param(40_00, None, True, id="full amount ordered: canceled"),
        pytest.param(40_00, 20_00, True, id="too little for both: canceled"),
        pytest.param(33_00, 20_00, False, id="exactly enough for both: kept"),
        pytest.param(33_01, 20_00, True, id="one cent too much: canceled"),
    ],
)
async def test_a_pending_approval_is_dropped_if_an_ordered_refund_leaves_too_little(
    sessions: Sessions, waiting: int, amount: int | None, *, gives_way: bool
) -> None:
    payment, owner = await create_payment(sessions, (RefundBasis.GOODWILL, RefundStatus.AWAITING_APPROVAL, waiting))

    made = await order_refund(sessions, payment, owner, amount=amount)

    assert made is not None
    assert made.amount == (amount or PAID)
    async with sessions.begin() as session:
        (asked, ordered) = await refund_states(session, payment)
        actions = (await session.execute(select(AuditEntry.action, AuditEntry.reason).order_by(AuditEntry.id))).all()
        decided = await refunds.by_id(session, "rfd_0")
    assert asked == (
        RefundBasis.GOODWILL,
        RefundStatus.WITHDRAWN if gives_way else RefundStatus.AWAITING_APPROVAL,
        waiting,
    )
    assert ordered == (RefundBasis.DUPLICATE, RefundStatus.PROCESSING, made.amount)
    withdrawn = [("refund.withdrawn", RefundBasis.DUPLICATE)] if gives_way else []
    assert [tuple(row) for row in actions] == [*withdrawn, ("refund.requested", "policy")]
    assert decided is not None
    assert decided.decided_by == ("policy" if gives_way else None)


async def test_no_refund_is_ordered_while_another_one_is_processing(sessions: Sessions) -> None:
    payment, owner = await create_payment(
        sessions,
        (RefundBasis.GOODWILL, RefundStatus.PROCESSING, 10_00),
        (RefundBasis.GOODWILL, RefundStatus.AWAITING_APPROVAL, 40_00),
    )

    with pytest.raises(RefundInProgress):
        await order_refund(sessions, payment, owner)

    async with sessions.begin() as session:
        assert await refund_states(session, payment) == [
            (RefundBasis.GOODWILL, RefundStatus.PROCESSING, 10_00),
            (RefundBasis.GOODWILL, RefundStatus.AWAITING_APPROVAL, 40_00),
        ]
        assert (await session.scalars(select(AuditEntry.action))).all() == []


async def test_a_repeated_order_adds_no_refund(sessions: Sessions) -> None:
    payment, owner = await create_payment(sessions)
    first = await order_refund(sessions, payment, owner, basis=RefundBasis.PRINT_DROPPED, amount=17_01)
    assert first is not None
    async with sessions.begin() as session:
        await refunds.set_status(session, first.id, RefundStatus.SUCCEEDED)

    rest = await order_refund(sessions, payment, owner)
    assert rest is not None
    async with sessions.begin() as session:
        await refunds.set_status(session, rest.id, RefundStatus.PENDING)
    again = await order_refund(sessions, payment, owner)

    assert again is None
    assert (first.amount + rest.amount, first.tax + rest.tax) == (PAID, 4_00)
    assert first.tax == 4_00 * 17_01 // PAID
