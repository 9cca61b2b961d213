"""The coverage report."""

import subprocess
import sys

import stripe

from sandbox.contract.routes import all_routes
from sandbox.control.coverage import report
from sandbox.http.routing import ROUTES
from tests.sandbox.client import SandboxAccount


async def test_the_report_lists_every_route_of_the_sdk_once(account: SandboxAccount) -> None:
    expected = (await account.control.get("/_sandbox/report")).json()
    served = [one["route"] for group in expected["services"] for one in group["served"]]
    others = [route for group in expected["services"] for route in group["not_served"]]
    assert len(served) == len(set(served)) == expected["served"]
    assert sorted(served) == sorted(" ".join(route) for route in ROUTES)
    assert len(others) == expected["not_served"]
    assert {*served, *others} == {" ".join(route) for route in all_routes()}
    assert expected["sdk"] == f"stripe-python {stripe.VERSION}"


async def test_routes_reported_as_unsupported_return_501(account: SandboxAccount) -> None:
    for group in report()["services"][::7]:
        for route in group["not_served"][:1]:
            method, path = route.split(" ")
            answer = await account.request(method, path)
            assert answer.status_code == 501 or "Missing required param" in answer.text, route


def test_services_have_the_names_of_the_sdk() -> None:
    names = {group["service"] for group in report()["services"]}
    assert {"customers", "checkout.sessions", "test_helpers.test_clocks", "subscriptions"} <= names
    assert not [name for name in names if name.startswith("stripe.") or "_service" in name]


def test_supported_routes_list_their_unsupported_parameters() -> None:
    [customers] = [group for group in report()["services"] if group["service"] == "customers"]
    [create] = [one for one in customers["served"] if one["route"] == "POST /v1/customers"]
    assert "email" in create["parameters"]
    assert "tax_id_data" in create["parameters_not_served"]


def test_the_report_option_prints_the_report_and_exits() -> None:
    command = [sys.executable, "-m", "sandbox", "--report"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for words in ("SUPPORTED", "NOT SUPPORTED", "checkout.sessions: ", "    POST /v1/refunds\n", "routes supported"):
        assert words in output
