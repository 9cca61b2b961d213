"""
What the staff may give: limits that add up, a second person above them, and nothing to themselves.

The limits are those of the committed catalogue: 25.00 USD of goodwill, 92 days of complimentary access, 6 issues.
"""

import asyncio
from collections import Counter
from datetime import timedelta

import httpx2

from tests.journeys.lifecycle.test_issues import two_years
from tests.journeys.subscribing.test_comps import give_comp
from tests.support.refunds import GOODWILL, GUARANTEE, UNSERVED, get_quotes, payment_ids, request_refund
from tests.support.shop import START_TIME, Person, Shop

AWAITING = "awaiting_approval"


async def subscribe(shop: Shop, name: str) -> str:
    """Subscribe a reader, and return the ID of the payment."""
    await shop.subscribe(shop.person(name))
    return (await payment_ids(shop, shop.person(name)))[0]


async def goodwill(shop: Shop, payment: str, amount: int, by: Person | None = None) -> httpx2.Response:
    """Request a goodwill refund."""
    return await request_refund(shop, payment, GOODWILL, amount, key=f"{payment}-{amount}", by=by)


async def extend(shop: Shop, subscription: str, issues: int, by: Person | None = None) -> httpx2.Response:
    """Extend a subscription."""
    body = {"issues": issues, "reason": "copies_missing"}
    return await shop.post(f"/v1/support/subscriptions/{subscription}/extend", by or shop.agent, body)


async def subscription_of(shop: Shop, reader: Person) -> str:
    """Return the ID of a reader's subscription."""
    return str((await shop.overview(reader))["subscriptions"][0]["id"])


async def listed(shop: Shop) -> list[tuple[str, str]]:
    """Return the kinds and IDs of the requests that await approval, newest first."""
    found = (await shop.get("/v1/support/approvals", shop.agent)).json()["data"]
    return [(one["kind"], one["id"]) for one in found]


async def give_alone(shop: Shop, *answers: httpx2.Response) -> Counter[str]:
    """Return how many requests were given and how many wait."""
    await shop.wait_until_idle()
    return Counter(AWAITING if answer.status_code == 202 and answer.json()["status"] == AWAITING else "given"
                   for answer in answers)  # fmt: skip


async def test_three_requests_on_one_payment_add_up(shop: Shop) -> None:
    payment = await subscribe(shop, "ada")
    answers = []
    for number in range(3):  # each by another person
        by = shop.person(f"agent-{number}", roles=("support",))
        answers.append(await goodwill(shop, payment, 15_00, by=by))
        await shop.wait_until_idle()

    assert [answer.json()["status"] for answer in answers] == ["succeeded", AWAITING, AWAITING], "what waits counts too"
    assert (await get_quotes(shop, payment))["goodwill"]["approval_above"] == {"amount": 0, "currency": "usd"}


async def test_three_requests_for_one_reader_add_up(shop: Shop) -> None:
    ada = shop.person()
    first = await subscribe(shop, "ada")
    await shop.advance_to(START_TIME + timedelta(days=370))
    second = (await payment_ids(shop, ada))[1]
    others = [shop.person(f"agent-{number}", roles=("support",)) for number in range(3)]
    assert (await goodwill(shop, first, 24_00, by=others[0])).status_code == 201
    await shop.wait_until_idle()

    across = await goodwill(shop, second, 24_00, by=others[1])
    small = await goodwill(shop, second, 1_00, by=others[2])

    assert (across.json()["status"], small.json()["status"]) == (AWAITING, AWAITING), "what waits counts too"


async def test_one_persons_day_adds_up_over_all_readers(shop: Shop) -> None:
    payments = [await subscribe(shop, name) for name in ("ada", "bob", "cyd")]

    answers = [await goodwill(shop, payment, 24_00) for payment in payments]
    other = await goodwill(shop, payments[1], 2_00, by=shop.person("other", roles=("support",)))
    await shop.wait_until_idle()

    assert [answer.status_code for answer in answers] == [201, 202, 202]
    assert other.json()["status"] == AWAITING, "with what is reserved on the payment it is above the limit"
    await shop.advance_to(START_TIME + timedelta(days=1))
    dora = await subscribe(shop, "dora")
    assert (await goodwill(shop, dora, 24_00)).status_code == 201, "the next day is a new one"


async def test_concurrent_requests_of_one_person_add_up(shop: Shop) -> None:
    payments = [await subscribe(shop, name) for name in ("ada", "bob", "cyd")]

    answers = await asyncio.gather(*(goodwill(shop, payment, 24_00) for payment in payments))

    assert await give_alone(shop, *answers) == {"given": 1, AWAITING: 2}
    assert len(await shop.stripe_requests("POST", "/v1/refunds")) == 1
    until = (START_TIME + timedelta(days=90)).isoformat()
    given = await asyncio.gather(*(give_comp(shop, name, until=until) for name in ("ada", "bob", "cyd", "ada")))
    assert await give_alone(shop, *given) == {"given": 1, AWAITING: 3}
    held = [await subscription_of(shop, shop.person(name)) for name in ("ada", "bob", "cyd")]
    added = await asyncio.gather(*(extend(shop, one, 5) for one in held))
    assert await give_alone(shop, *added) == {"given": 1, AWAITING: 2}


async def test_concurrent_requests_of_several_people_for_one_reader_add_up(shop: Shop) -> None:
    payment = await subscribe(shop, "ada")
    people = [shop.person(f"agent-{number}", roles=("support",)) for number in range(4)]
    held = await subscription_of(shop, shop.person())
    until = (START_TIME + timedelta(days=40)).isoformat()
    body = {"subscriber": "ada", "plan": "annual", "reason": "goodwill", "until": until}

    comps = await asyncio.gather(*(shop.post("/v1/support/comps", one, body) for one in people))
    added = await asyncio.gather(*(extend(shop, held, 3, by=one) for one in people))
    small = await asyncio.gather(*(goodwill(shop, payment, 9_00, by=one) for one in people))
    await shop.wait_until_idle()

    assert await give_alone(shop, *comps) == {"given": 2, AWAITING: 2}
    assert await give_alone(shop, *added) == {"given": 2, AWAITING: 2}
    row = (await shop.rows("SELECT sum(amount) FROM refunds WHERE status = 'succeeded'"))[0]
    assert (row["sum"] or 0) <= 25_00
    assert {answer.status_code for answer in small} <= {201, 202, 409}


async def test_staff_give_nothing_to_themselves(shop: Shop) -> None:
    robin = shop.person("robin", roles=("support",))
    payment = await subscribe(shop, "robin")
    held = await subscription_of(shop, robin)
    comp = {"subscriber": "robin", "plan": "annual", "reason": "goodwill", "until": "2026-04-01T00:00:00Z"}

    refused = [
        await goodwill(shop, payment, 1_00, by=robin),
        await request_refund(shop, payment, GUARANTEE, 49_00, key="b", by=robin),
        await request_refund(shop, payment, UNSERVED, 49_00, key="c", by=robin),
        await shop.post("/v1/support/comps", robin, comp),
        await extend(shop, held, 1, by=robin),
    ]

    assert {(answer.status_code, answer.json()["code"]) for answer in refused} == {(403, "own_account")}
    assert await shop.rows("SELECT 1 FROM refunds UNION ALL SELECT 1 FROM comps UNION ALL SELECT 1 FROM issue_adjustments"
                           " UNION ALL SELECT 1 FROM approval_requests") == []  # fmt: skip
    amount = {"expected_amount": {"amount": 49_00, "currency": "usd"}}
    own = await shop.post("/v1/me/refunds", robin, amount, **{"Idempotency-Key": "own"})
    assert own.status_code in {201, 202}, "their guarantee is theirs, like every reader's"


async def test_nobody_approves_what_they_requested_or_would_get(shop: Shop) -> None:
    await two_years(shop)
    payment = await subscribe(shop, "boss")
    boss = shop.person("boss")
    held = await subscription_of(shop, boss)
    requests = [
        await goodwill(shop, payment, 30_00, by=shop.supervisor),
        await shop.post(
            "/v1/support/comps",
            shop.supervisor,
            {"subscriber": "boss", "plan": "annual", "reason": "goodwill", "until": "2028-01-01T00:00:00Z"},
        ),
        await extend(shop, held, 20, by=shop.supervisor),
    ]
    assert [answer.status_code for answer in requests] == [202] * 3
    ids = [answer.json()["id"] for answer in requests]
    shop.people.pop("boss")
    boss_at_work = shop.person("boss", roles=("supervisor",))  # the same person, with a role in the token

    for request in ids:
        for verdict in ("approve", "reject"):
            own = await decide(shop, request, verdict, shop.supervisor)
            gain = await decide(shop, request, verdict, boss_at_work)
            without = await decide(shop, request, verdict, shop.agent)
            assert [(answer.status_code, answer.json()["code"]) for answer in (own, gain, without)] == [
                (403, "own_request"),
                (403, "own_account"),
                (403, "not_allowed"),
            ]
    alias = f"/v1/support/refunds/{ids[0]}"
    gain = await shop.post(f"{alias}/approve", boss_at_work, **{"Idempotency-Key": "alias"})
    assert gain.json()["code"] == (await shop.post(f"{alias}/reject", boss_at_work)).json()["code"] == "own_account"
    assert {request for _, request in await listed(shop)} == set(ids), "nothing was decided"
    first = (await shop.get("/v1/support/approvals", shop.agent, limit="2")).json()
    assert (await decide(shop, first["next"], "reject", shop.person("other", roles=("supervisor",)))).status_code == 200
    rest = (await shop.get("/v1/support/approvals", shop.agent, after=first["next"])).json()
    assert rest["next"] is None
    assert {one["id"] for one in (*first["data"], *rest["data"])} == set(ids), "a decided request still marks its place"


async def decide(shop: Shop, request: str, verdict: str, by: Person) -> httpx2.Response:
    """Approve or reject a request."""
    path = f"/v1/support/approvals/{request}/{verdict}"
    return await shop.post(path, by, **{"Idempotency-Key": f"{verdict}-{request}"})


async def test_complimentary_access_above_the_limit_waits_for_approval(shop: Shop) -> None:
    ada = shop.person()
    asked = await give_comp(shop, "ada", until="2026-07-01T05:00:00Z")
    assert (asked.status_code, asked.json()["status"]) == (202, AWAITING), asked.text
    request = asked.json()["id"]
    assert not await shop.may_read(ada)
    assert await listed(shop) == [("comp", request)]
    shown = (await shop.get(f"/v1/support/approvals/{request}", shop.agent)).json()
    assert (shown["plan"], shown["days"], shown["requested_by"]) == ("annual", 122, "staff:agent")

    approved = await asyncio.gather(*(decide(shop, request, "approve", shop.supervisor) for _ in range(4)))

    assert {answer.status_code for answer in approved} <= {201, 409}, [answer.text for answer in approved]
    again = await decide(shop, request, "approve", shop.supervisor)
    assert (again.status_code, again.json()["status"], again.json()["decided_by"]) == (
        201,
        "approved",
        "staff:supervisor",
    )
    assert await shop.check(ada) == {"allowed": True, "reason": "comp", "until": "2026-07-01T05:00:00Z"}
    assert await listed(shop) == []
    late = await decide(shop, request, "reject", shop.supervisor)
    assert (late.status_code, late.json()["code"]) == (409, "not_awaiting_approval")
    (comp,) = await shop.rows("SELECT id, given_by FROM comps")
    assert comp == {"id": request, "given_by": "staff:agent"}
    assert await audited(shop, request) == [
        ("comp.requested", "staff:agent"),
        ("comp.given", "staff:supervisor"),
    ]


async def audited(shop: Shop, object_id: str) -> list[tuple[str, str]]:
    """Return the actions on an object and their actors, in order."""
    rows = await shop.rows("SELECT action, actor FROM audit_log WHERE object_id = $1 ORDER BY id", object_id)
    return [(row["action"], row["actor"]) for row in rows]


async def test_an_extension_above_the_limit_waits_for_approval(shop: Shop) -> None:
    await two_years(shop)
    await subscribe(shop, "ada")
    ada = shop.person()
    held = await subscription_of(shop, ada)
    small = await extend(shop, held, 4)
    assert (small.status_code, small.json()["status"], small.json()["ledger"]["owed"]) == (201, "added", 28)

    asked = await extend(shop, held, 3)
    request = asked.json()["id"]
    assert (asked.status_code, asked.json()["status"], asked.json()["ledger"]["owed"]) == (202, AWAITING, 28)
    assert await listed(shop) == [("extension", request)]
    approved = await decide(shop, request, "approve", shop.supervisor)

    assert (approved.status_code, approved.json()["status"], approved.json()["issues"]) == (201, "approved", 3)
    (term,) = (await shop.overview(ada))["subscriptions"][0]["terms"]
    assert term["ledger"]["owed"] == 31
    assert ("extension.requested", "staff:agent") in await audited(shop, request)
    assert (await extend(shop, held, 25)).json()["code"] == "extension_too_large"


async def test_a_rejected_request_gives_nothing_and_frees_its_share(shop: Shop) -> None:
    await two_years(shop)
    await subscribe(shop, "ada")
    held = await subscription_of(shop, shop.person())
    comp = (await give_comp(shop, "ada", until="2028-01-01T00:00:00Z")).json()["id"]
    extension = (await extend(shop, held, 7)).json()["id"]
    assert (await extend(shop, held, 1)).status_code == 202, "what waits counts"

    for request in (comp, extension):
        path = f"/v1/support/approvals/{request}/reject"
        first = await shop.post(path, shop.supervisor, {"note": "too much"})
        assert (first.status_code, first.json()["status"]) == (200, "rejected")
        assert (await shop.post(path, shop.supervisor)).status_code == 200, "a repeated rejection has no effect"
        late = await decide(shop, request, "approve", shop.supervisor)
        assert (late.status_code, late.json()["code"]) == (409, "not_awaiting_approval")

    ((_, third),) = await listed(shop)
    assert (await decide(shop, third, "reject", shop.supervisor)).status_code == 200
    assert (await give_comp(shop, "ada", until="2026-06-01T00:00:00Z")).status_code == 201
    assert (await extend(shop, held, 6)).status_code == 201
    assert await audited(shop, comp) == [("comp.requested", "staff:agent"), ("comp.rejected", "staff:supervisor")]


async def test_what_is_no_longer_possible_is_not_approved(shop: Shop) -> None:
    await two_years(shop)
    payment = await subscribe(shop, "ada")
    held = await subscription_of(shop, shop.person())
    comp = (await give_comp(shop, "bob", until="2026-07-01T00:00:00Z")).json()["id"]
    extension = (await extend(shop, held, 7)).json()["id"]
    await shop.request_refund(payment)
    await shop.advance_to(START_TIME + timedelta(days=130))

    over, ended = [await decide(shop, one, "approve", shop.supervisor) for one in (comp, extension)]

    assert (over.status_code, over.json()["code"]) == (409, "comp_is_over")
    assert (ended.status_code, ended.json()["code"]) == (409, "already_ended")
    assert len(await listed(shop)) == 2, "they still wait, until somebody rejects them"
    unknown = await decide(shop, "cmp_nobodys", "approve", shop.supervisor)
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")
