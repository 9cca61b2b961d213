"""What is served and what is not, told against the SDK's own services."""

import subprocess
import sys

import stripe

from sandbox.contract.routes import all_routes
from sandbox.control.coverage import report
from sandbox.http.routing import ROUTES
from tests.sandbox.shop import Shop


async def test_the_report_has_every_route_of_the_sdk_once(shop: Shop) -> None:
    told = (await shop.control.get("/_sandbox/report")).json()
    served = [one["route"] for group in told["services"] for one in group["served"]]
    others = [route for group in told["services"] for route in group["not_served"]]
    assert len(served) == len(set(served)) == told["served"]
    assert sorted(served) == sorted(" ".join(route) for route in ROUTES)
    assert len(others) == told["not_served"]
    assert {*served, *others} == {" ".join(route) for route in all_routes()}
    assert told["sdk"] == f"stripe-python {stripe.VERSION}"


async def test_what_the_report_calls_not_served_is_answered_501(shop: Shop) -> None:
    for group in report()["services"][::7]:
        for route in group["not_served"][:1]:
            method, path = route.split(" ")
            answer = await shop.raw(method, path)
            assert answer.status_code == 501 or "Missing required param" in answer.text, route


def test_services_are_named_as_the_sdk_names_them() -> None:
    names = {group["service"] for group in report()["services"]}
    assert {"customers", "checkout.sessions", "test_helpers.test_clocks", "subscriptions"} <= names
    assert not [name for name in names if name.startswith("stripe.") or "_service" in name]


def test_a_served_route_lists_what_it_leaves_out() -> None:
    [customers] = [group for group in report()["services"] if group["service"] == "customers"]
    [create] = [one for one in customers["served"] if one["route"] == "POST /v1/customers"]
    assert "email" in create["parameters"]
    assert "tax_id_data" in create["parameters_not_served"]


def test_the_command_line_prints_it_and_ends() -> None:
    command = [sys.executable, "-m", "sandbox", "--report"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for words in ("SERVED", "NOT SERVED", "checkout.sessions: ", "    POST /v1/refunds\n", "routes are served"):
        assert words in said
