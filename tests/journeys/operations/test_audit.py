"""The audit log: listed by the API and the command, sealed by the worker, and verified."""

import asyncpg

from tests.journeys.webhooks.test_inbox import admin_of, newsstand
from tests.support.shop import Shop

SEALED = "SELECT NOT EXISTS (SELECT FROM audit_unsealed)"


async def test_staff_actions_are_listed_sealed_and_verified(shop: Shop) -> None:
    ada, admin = shop.person(), admin_of(shop)
    for reason in ("press", "a copy that Ada never got"):
        body = {"subscriber": ada.sub, "plan": "annual", "until": "2026-04-01T00:00:00Z", "reason": reason}
        assert (await shop.post("/v1/support/comps", shop.agent, body)).status_code == 201
    await shop.wait_until(SEALED)

    first = (await shop.get("/v1/support/audit", admin, action="comp.*", actor="staff:agent", limit="1")).json()
    rest = (await shop.get("/v1/support/audit", admin, action="comp.*", after=first["next"])).json()
    (newest,), (oldest,) = first["data"], rest["data"]
    assert (newest["reason"], newest["note"]) == (None, "a copy that Ada never got")
    assert oldest["hash"] != newest["hash"]
    assert rest["next"] is None
    of_reader = (await shop.get("/v1/support/audit", admin, subscriber=newest["subscriber"])).json()
    assert [entry["id"] for entry in of_reader["data"]] == [newest["id"], oldest["id"]]
    of_object = (
        await shop.get("/v1/support/audit", admin, object=oldest["object"], since="2020-01-01T00:00:00Z")
    ).json()
    assert [entry["id"] for entry in of_object["data"]] == [oldest["id"]]
    before = (await shop.get("/v1/support/audit", admin, until="2020-01-01T00:00:00Z")).json()
    assert before == {"data": [], "next": None, "truncated": False}
    assert (await shop.get("/v1/support/audit", shop.agent)).status_code == 403

    status, listed, _ = await newsstand(shop.settings, "audit", "list", "--action", "comp.given")
    assert (status, listed.count("staff:agent  comp.given")) == (0, 2)
    status, head, output = await newsstand(shop.settings, "audit", "verify")
    assert (status, head.strip()) == (0, newest["hash"])
    assert "are intact; 0 are not in the chain yet" in output
    assert (await newsstand(shop.settings, "audit", "verify", "--head", head.strip()))[0] == 0
    status, _, output = await newsstand(shop.settings, "audit", "verify", "--head", "0" * 63 + "1")
    assert (status, "does not contain" in output) == (1, True)

    owner = await asyncpg.connect(shop.dsn)
    await owner.execute("SET session_replication_role = replica")
    await owner.execute("UPDATE audit_log SET actor = 'staff:other' WHERE id = $1", int(oldest["id"]))
    await owner.close()
    status, _, output = await newsstand(shop.settings, "audit", "verify")
    assert (status, f"changed: entry {oldest['id']} was changed" in output) == (1, True)
