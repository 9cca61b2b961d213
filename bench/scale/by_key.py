"""Reads and writes about one reader, subscription, payment or refund."""

from dataclasses import replace
from datetime import timedelta

from app.db import (
    anomalies,
    approvals,
    attention,
    checkouts,
    comps,
    contacts,
    credits,
    disputes,
    entitlements,
    grants,
    idempotency,
    imports,
    intents,
    issues,
    payments,
    refunds,
    revocations,
    sign_outs,
    subscribers,
    subscriptions,
    work_queue,
)
from app.db.checkouts import Choice
from app.db.engine.fast_reads import FastReads
from app.db.idempotency import HeldKey, KeyName
from app.domain.approvals import ApprovalRequest
from app.domain.comps import Comp
from app.domain.contacts import Contact
from app.domain.credits import Credit
from app.domain.customers import StripeCustomerState
from app.domain.disputes import StripeDisputeState, StripeWarningState
from app.domain.entitlements import Grant
from app.domain.refunds import Refund
from app.domain.subscriptions import StripeSubscriptionState
from app.domain.work_queue import Marks
from bench.scale.subject import LEASE, NOW, OWNER, Subject, days_ago, query

AGENT = "staff:agent-7"


def _refund(s: Subject, refund_id: str) -> Refund:
    return Refund(
        id=refund_id,
        group_id=s.id("rfd"),
        payment_id=s.id("pi", 99),
        subscriber_id=s.reader,
        basis="goodwill",
        amount=100,
        tax=0,
        currency="usd",
        reason="other",
        note=None,
        requested_by=AGENT,
        status="processing",
        created_at=s.now,
    )


def _dispute(s: Subject) -> StripeDisputeState:
    return StripeDisputeState(
        id=s.id("dp"),
        charge_id=s.id("ch"),
        payment_id=s.id("pi"),
        status="lost",
        amount=100,
        currency="usd",
        reason="fraudulent",
        due_by=None,
        refundable=False,
        opened_at=s.now,
    )


def _warning(s: Subject) -> StripeWarningState:
    return StripeWarningState(
        id=s.id("issfr"),
        charge_id=s.id("ch"),
        payment_id=s.id("pi"),
        actionable=True,
        fraud_type="misc",
        created_at=s.now,
    )


def _approval(s: Subject) -> ApprovalRequest:
    return ApprovalRequest(
        id="adj_new",
        kind="extension",
        subscriber_id=s.reader,
        subscription_id=s.subscription,
        amount=2,
        issues=2,
        reason="other",
        note=None,
        requested_by=AGENT,
        status="awaiting_approval",
        created_at=s.now,
    )


async def _save_subscription(s: Subject) -> None:
    seen = StripeSubscriptionState(
        id=s.id("sub"),
        customer_id=s.id("cus"),
        status="active",
        currency="usd",
        created_at=s.now,
        items=(),
        cancel_at=None,
        canceled_at=None,
        ended_at=None,
        end_reason=None,
        invoices=(),
        known_as="annual",
    )
    await subscriptions.save(s.session, s.reader, seen, if_version=3)


async def _save_terms(s: Subject) -> None:
    await subscriptions.save_terms(s.session, s.subscription, await subscriptions.terms_of(s.session, s.subscription))


async def _save_payments(s: Subject) -> None:
    await payments.save(s.session, s.subscription, await payments.of_subscription(s.session, s.subscription))


async def _save_entitlement(s: Subject) -> None:
    subscriber = await subscribers.by_id(s.session, s.reader)
    assert subscriber is not None
    access, _ = await entitlements.read(FastReads(s.pool), subscriber.sub)
    await grants.save_entitlement(s.session, subscriber, replace(access, otherwise="refunded"))


async def _read_entitlement(s: Subject) -> None:
    subscriber = await subscribers.by_id(s.session, s.reader)
    assert subscriber is not None
    await entitlements.read(FastReads(s.pool), subscriber.sub)


async def _add_comp(s: Subject) -> None:
    comp = Comp(
        id="cmp_new", subscriber_id=s.reader, plan="annual", issues=None, starts_at=s.now, until=s.now + timedelta(days=9),
        reason="press", given_by=AGENT,
    )  # fmt: skip
    await comps.add(s.session, comp, Grant(id="grt_cmp_new", source="comp", features={}))


_KEY = KeyName(caller="reader:auth0|x", route="POST /v1/me/refunds", key="one")
_HELD = HeldKey(_KEY, "rfd_new", NOW, taken_over=False)
_CONTACT = Contact(email="new@example.com", name="New Name", email_verified=True)

BY_KEY = (
    query("subscribers.ensure", lambda s: subscribers.ensure(s.session, sub="auth0|new", email=None, name=None)),
    query("subscribers.lock", lambda s: subscribers.lock(s.session, s.reader)),
    query("subscribers.lock_customer", lambda s: subscribers.lock_customer(s.session, s.id("cus"))),
    query("subscribers.by_sub", lambda s: subscribers.by_sub(s.session, "auth0|x")),
    query("subscribers.by_id", lambda s: subscribers.by_id(s.session, s.reader)),
    query("subscribers.by_ids", lambda s: subscribers.by_ids(s.session, s.ids("rdr"))),
    query("subscribers.by_customer", lambda s: subscribers.by_customer(s.session, s.id("cus"))),
    query("subscribers.set_customer", lambda s: subscribers.set_customer(s.session, s.reader, "cus_new")),
    query("subscribers.unset_customer", lambda s: subscribers.unset_customer(s.session, s.reader)),
    query("contacts.of_sub", lambda s: contacts.of_sub(s.session, "auth0|x")),
    query("contacts.save", lambda s: contacts.save(s.session, s.reader, _CONTACT, known=replace(_CONTACT, name="Old"))),
    query("contacts.due", lambda s: contacts.due(s.session, s.id("ctc"))),
    query("contacts.newest", lambda s: contacts.newest(s.session, s.reader)),
    query("contacts.make_due", lambda s: contacts.make_due(s.session, s.id("ctc"))),
    query("contacts.finish", lambda s: contacts.finish(s.session, s.id("ctc"))),
    query("contacts.reader", lambda s: contacts.reader(s.session, s.reader)),
    query(
        "imports.add_subscriber",
        lambda s: imports.add_subscriber(
            s.session, StripeCustomerState(id="cus_new", email=None, name=None, metadata={}), sub="unclaimed:x"
        ),
    ),
    query("imports.assign", lambda s: imports.assign(s.session, s.reader, sub="auth0|new")),
    query("imports.claimable", lambda s: imports.claimable(s.session, "reader-1234@example.com")),
    query("entitlements.read", _read_entitlement),
    query("grants.of_subscriber", lambda s: grants.of_subscriber(s.session, s.reader)),
    query("grants.by_subscription", lambda s: grants.by_subscription(s.session, s.reader)),
    query(
        "grants.replace",
        lambda s: grants.replace(s.session, s.reader, s.subscription, [Grant(id="grt_x", source="comp", features={})]),
    ),
    query("grants.save_entitlement", _save_entitlement),
    query("revocations.add", lambda s: revocations.add(s.session, "auth0|x", 4)),
    query("comps.add", _add_comp),
    query("comps.remove", lambda s: comps.remove(s.session, s.id("cmp"), f"grt_{s.id('cmp')}", by=AGENT, at=s.now)),
    query("comps.by_id", lambda s: comps.by_id(s.session, s.id("cmp"))),
    query("comps.of_subscriber", lambda s: comps.of_subscriber(s.session, s.reader)),
    query("subscriptions.version", lambda s: subscriptions.version(s.session, s.id("sub"))),
    query("subscriptions.versions", lambda s: subscriptions.versions(s.session, s.ids("sub"))),
    query("subscriptions.save", _save_subscription),
    query("subscriptions.save_terms", _save_terms),
    query("subscriptions.terms_of", lambda s: subscriptions.terms_of(s.session, s.subscription)),
    query("subscriptions.terms_by_subscription", lambda s: subscriptions.terms_by_subscription(s.session, s.reader)),
    query("subscriptions.known_terms", lambda s: subscriptions.known_terms(s.session, s.ids("in"))),
    query(
        "subscriptions.mark_term_refunded",
        lambda s: subscriptions.mark_term_refunded(s.session, s.id("in"), "guarantee", at=s.now),
    ),
    query("subscriptions.suspend_print", lambda s: subscriptions.suspend_print(s.session, s.id("in"), s.now)),
    query("subscriptions.suspend_term", lambda s: subscriptions.suspend_term(s.session, s.id("in"), "dispute_open")),
    query("subscriptions.restore_term", lambda s: subscriptions.restore_term(s.session, s.id("in"), "refund_failed")),
    query(
        "subscriptions.mark_refund_failed",
        lambda s: subscriptions.mark_refund_failed(s.session, s.id("in"), failed=True),
    ),
    query(
        "subscriptions.order_end",
        lambda s: subscriptions.order_end(s.session, s.subscription, by="cancel_now", now=s.now),
    ),
    query("subscriptions.order_close", lambda s: subscriptions.order_close(s.session, s.subscription)),
    query("subscriptions.due", lambda s: subscriptions.due(s.session, s.subscription)),
    query("subscriptions.close", lambda s: subscriptions.close(s.session, s.subscription, now=s.now)),
    query("subscriptions.clear_due", lambda s: subscriptions.clear_due(s.session, s.subscription)),
    query("subscriptions.of_subscriber", lambda s: subscriptions.of_subscriber(s.session, s.reader)),
    query("subscriptions.live_of", lambda s: subscriptions.live_of(s.session, s.reader)),
    query("subscriptions.by_id", lambda s: subscriptions.by_id(s.session, s.subscription)),
    query("subscriptions.of_payment", lambda s: subscriptions.of_payment(s.session, s.id("pi"))),
    query("subscriptions.by_stripe_id", lambda s: subscriptions.by_stripe_id(s.session, s.id("sub"))),
    query("subscriptions.by_stripe_ids", lambda s: subscriptions.by_stripe_ids(s.session, s.ids("sub"))),
    query("subscriptions.set_check", lambda s: subscriptions.set_check(s.session, s.subscription, s.now)),
    query("payments.save", _save_payments),
    query("payments.version", lambda s: payments.version(s.session, s.id("pi"))),
    query("payments.advance", lambda s: payments.advance(s.session, s.id("pi"), if_version=1)),
    query("payments.set_credited", lambda s: payments.set_credited(s.session, {s.id("pi"): []})),
    query("payments.by_id", lambda s: payments.by_id(s.session, s.id("pi"))),
    query("payments.by_ids", lambda s: payments.by_ids(s.session, s.ids("pi"))),
    query("payments.owner_of", lambda s: payments.owner_of(s.session, s.id("pi"))),
    query("payments.of_subscription", lambda s: payments.of_subscription(s.session, s.subscription)),
    query("payments.of_invoice", lambda s: payments.of_invoice(s.session, s.id("in"))),
    query("payments.of_subscriber", lambda s: payments.of_subscriber(s.session, s.reader)),
    query(
        "credits.save",
        lambda s: credits.save(
            s.session,
            s.subscription,
            [Credit(id="cn_new", kind="balance", invoice_id=None, amount=1, currency="usd", created_at=s.now)],
        ),
    ),
    query("credits.of_subscription", lambda s: credits.of_subscription(s.session, s.subscription)),
    query("refunds.insert", lambda s: refunds.insert(s.session, _refund(s, "rfd_new"), unfinished=True)),
    query("refunds.by_id", lambda s: refunds.by_id(s.session, s.id("rfd"))),
    query("refunds.by_ids", lambda s: refunds.by_ids(s.session, s.ids("rfd"))),
    query(
        "refunds.at_stripe", lambda s: refunds.at_stripe(s.session, "re_none", ours=s.id("rfd"), payment_id=s.id("pi"))
    ),
    query("refunds.of_payment", lambda s: refunds.of_payment(s.session, s.id("pi"))),
    query("refunds.restored", lambda s: refunds.restored(s.session, s.id("pi"), request_hash="x")),
    query("refunds.of_subscriber", lambda s: refunds.of_subscriber(s.session, s.reader)),
    query("refunds.lease_group", lambda s: refunds.lease_group(s.session, s.id("rfd"), owner=OWNER, lease=LEASE)),
    query("refunds.of_group", lambda s: refunds.of_group(s.session, s.id("rfd"))),
    query("refunds.unresolved", lambda s: refunds.unresolved(s.session, s.id("pi"))),
    query("refunds.set_credit_note", lambda s: refunds.set_credit_note(s.session, s.id("rfd"), "cn_new")),
    query("refunds.set_status", lambda s: refunds.set_status(s.session, s.id("rfd"), "succeeded")),
    query("refunds.mark_recorded", lambda s: refunds.mark_recorded(s.session, s.id("rfd"), now=s.now)),
    query("refunds.finish", lambda s: refunds.finish(s.session, s.id("rfd"))),
    query(
        "refunds.set_attention", lambda s: refunds.set_attention(s.session, s.id("rfd"), attention="x", again_in=None)
    ),
    query("refunds.make_due", lambda s: refunds.make_due(s.session, s.id("rfd"))),
    query("refunds.attempts", lambda s: refunds.attempts(s.session, s.id("rfd"))),
    query(
        "refunds.settle_decision",
        lambda s: refunds.settle_decision(s.session, s.id("rfd"), "processing", by=AGENT, now=s.now),
    ),
    query(
        "disputes.save",
        lambda s: disputes.save(s.session, _dispute(s), subscriber_id=s.reader, concern=None, now=s.now),
    ),
    query("disputes.mark_lost", lambda s: disputes.mark_lost(s.session, s.id("dp"), now=s.now)),
    query("disputes.by_id", lambda s: disputes.by_id(s.session, s.id("dp"))),
    query("disputes.by_ids", lambda s: disputes.by_ids(s.session, s.ids("dp"))),
    query("disputes.of_invoice", lambda s: disputes.of_invoice(s.session, s.id("in"))),
    query("disputes.unrefundable_payments", lambda s: disputes.unrefundable_payments(s.session, s.reader)),
    query("disputes.of_subscriber", lambda s: disputes.of_subscriber(s.session, s.reader)),
    query(
        "disputes.save_warning",
        lambda s: disputes.save_warning(s.session, _warning(s), payment_id=s.id("pi"), subscriber_id=s.reader),
    ),
    query("disputes.mark_acted", lambda s: disputes.mark_acted(s.session, s.id("issfr"), "kept", now=s.now)),
    query("attention.find", lambda s: attention.find(s.session, s.id("issfr", 1))),
    query("work_queue.find", lambda s: work_queue.find(s.session, s.id("dp", 1))),
    query("work_queue.save", lambda s: work_queue.save(s.session, s.id("dp", 1), Marks(note="x"), now=s.now)),
    query("attention.is_dismissed", lambda s: attention.is_dismissed(s.session, s.id("issfr"))),
    query("attention.dismiss", lambda s: attention.dismiss(s.session, "dp_new", by=AGENT, reason="other", now=s.now)),
    query(
        "anomalies.report",
        lambda s: anomalies.report(s.session, s.id("sub"), {"unknown_plan": "x"}, subscriber_id=s.reader),
    ),
    query("anomalies.is_open", lambda s: anomalies.is_open(s.session, s.id("sub"), "unknown_plan")),
    query("anomalies.of_subscriber", lambda s: anomalies.of_subscriber(s.session, s.reader)),
    query("approvals.lock_person", lambda s: approvals.lock_person(s.session, AGENT)),
    query("approvals.goodwill_by", lambda s: approvals.goodwill_by(s.session, AGENT, "usd", since=days_ago(s, 1))),
    query("approvals.comp_days_by", lambda s: approvals.comp_days_by(s.session, AGENT, since=days_ago(s, 1))),
    query("approvals.comp_days_to", lambda s: approvals.comp_days_to(s.session, s.reader, since=None)),
    query("approvals.issues_by", lambda s: approvals.issues_by(s.session, AGENT, since=days_ago(s, 1))),
    query("approvals.issues_to", lambda s: approvals.issues_to(s.session, s.reader, since=None)),
    query("approvals.insert", lambda s: approvals.insert(s.session, _approval(s))),
    query("approvals.by_id", lambda s: approvals.by_id(s.session, s.id("adj"))),
    query(
        "approvals.settle",
        lambda s: approvals.settle(s.session, s.id("adj"), "approved", by=AGENT, note=None, now=s.now),
    ),
    query("checkouts.find_open", lambda s: checkouts.find_open(s.session, s.reader)),
    query(
        "checkouts.start",
        lambda s: checkouts.start(s.session, s.reader, Choice(plan="annual", print_edition=False, promotion_code=None)),
    ),
    query(
        "checkouts.save",
        lambda s: checkouts.save(
            s.session,
            s.id("chk"),
            stripe_id="cs_new",
            status="complete",
            payment_status="paid",
            url=None,
            expires_at=None,
            stripe_subscription_id=None,
        ),
    ),
    query("checkouts.give_up", lambda s: checkouts.give_up(s.session, s.id("chk"))),
    query("checkouts.abandon", lambda s: checkouts.abandon(s.session, s.reader)),
    query("checkouts.by_stripe_id", lambda s: checkouts.by_stripe_id(s.session, s.id("cs"))),
    query(
        "checkouts.sold",
        lambda s: checkouts.sold(s.session, s.reader, stripe_subscription_id=s.id("sub"), checkout_id=s.id("chk")),
    ),
    query("intents.record", lambda s: intents.record(s.session, s.id("chk"), "open_checkout", {"x": 1})),
    query("intents.rows_with", lambda s: intents.rows_with(s.session, "open_checkout", s.ids("chk"))),
    query("intents.is_open", lambda s: intents.is_open(s.session, f"{s.id('chk')}:open_checkout:1")),
    query("intents.open_key", lambda s: intents.open_key(s.session, s.id("chk"), "open_checkout")),
    query("intents.settle", lambda s: intents.settle(s.session, f"{s.id('chk')}:open_checkout:1")),
    query(
        "idempotency.acquire",
        lambda s: idempotency.acquire(
            s.session, _KEY, body_hash="x", object_id="rfd_new", lease=LEASE, kept_for=timedelta(days=1)
        ),
    ),
    query("idempotency.find", lambda s: idempotency.find(s.session, _KEY)),
    query("idempotency.answer", lambda s: idempotency.answer(s.session, _HELD, status=201, body={})),
    query("idempotency.end_lease", lambda s: idempotency.end_lease(s.session, _HELD)),
    query("idempotency.delete", lambda s: idempotency.delete(s.session, _HELD)),
    query("issues.has_adjustment", lambda s: issues.has_adjustment(s.session, s.id("adj"))),
    query(
        "issues.add_adjustment",
        lambda s: issues.add_adjustment(
            s.session,
            "adj_new",
            invoice_id=s.id("in"),
            subscription_id=s.subscription,
            kind="extension",
            issues=2,
            reason="other",
            note=None,
            by=AGENT,
            now=s.now,
        ),
    ),
    query("sign_outs.save", lambda s: sign_outs.save(s.session, AGENT, s.now)),
    query("sign_outs.last", lambda s: sign_outs.last(s.session, AGENT)),
)
