"""
Every response of the service conforms to the OpenAPI document.

Schemathesis generates the requests from the document: its examples, boundary values, and random valid and invalid data.
They are sent over HTTP to a running service with a real database and the local Stripe.
"""

import os
from collections.abc import Callable
from pathlib import Path
from random import SystemRandom
from typing import Any, TypeVar, cast

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from app.api.revocations import LONGEST_WAIT
from tests.openapi.conftest import RunningService
from tests.support.timeouts import TIMEOUT

Test = TypeVar("Test", bound=Callable[..., None])
SNAPSHOT = Path(__file__).with_name("openapi.json")  # equal to the served document: see test_document
CALLERS = ("nobody", "reader", "agent", "server")
MOSTLY_REFUSED = ("nobody", "server")  # before their input is read, so a few requests show it
SEED = int(os.environ.get("NEWSSTAND_TEST_SEED") or SystemRandom().getrandbits(32))  # of the long run
# positive_data_acceptance is left out, because valid data can be rejected: an unknown plan gets 422.
# ignored_auth is left out, because each caller, one of them unauthenticated, calls every operation.
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
    checks.unsupported_method,
    checks.allow_header_conformance,
    checks.missing_required_header,
]


def each_operation(*, examples: int, boundaries: bool = True, seed: int | None = None) -> Callable[[Test], Test]:
    """
    Run a test for each operation with a number of random requests besides the examples.

    :param boundaries: whether boundary values are tried too, which are some dozens for each operation.
    """
    wanted: dict[str, Any] = {
        "generation": {
            "max-examples": examples,
            "deterministic": seed is None,
            "database": "none",
            "with-security-parameters": False,  # the callers add their own headers
        },
        "phases": {"coverage": {"enabled": boundaries}},
    }
    if seed is not None:
        wanted["seed"] = seed
    document = schemathesis.openapi.from_path(SNAPSHOT, config=schemathesis.Config.from_dict(wanted))
    return cast("Callable[[Test], Test]", document.parametrize())


LEISURELY = settings(deadline=None, suppress_health_check=list(HealthCheck))  # other tests may keep the machine busy


@pytest.mark.parametrize("caller", sorted(set(CALLERS) - set(MOSTLY_REFUSED)))
@each_operation(examples=5)
@LEISURELY
def test_every_response_conforms_to_the_document(
    case: schemathesis.Case[Any], service: RunningService, caller: str
) -> None:
    asks(case, service, caller)


@pytest.mark.parametrize("caller", MOSTLY_REFUSED)
@each_operation(examples=5, boundaries=False)
@LEISURELY
def test_every_refusal_conforms_to_the_document(
    case: schemathesis.Case[Any], service: RunningService, caller: str
) -> None:
    asks(case, service, caller)


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("caller", CALLERS)
@each_operation(examples=200, seed=SEED)
@LEISURELY
def test_every_response_conforms_in_a_long_run(
    case: schemathesis.Case[Any], service: RunningService, caller: str
) -> None:
    print(f"NEWSSTAND_TEST_SEED={SEED} repeats this run")  # shown with a failure
    asks(case, service, caller)


def asks(case: schemathesis.Case[Any], service: RunningService, caller: str) -> None:
    """Send the generated request and, if it is valid, also with the IDs of existing objects."""
    ask(case, service, caller)
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    fitting = service.fitting.get(case.operation.definition.raw["operationId"], {})
    if case.path_parameters or (fitting and isinstance(case.body, dict)):
        case.path_parameters.update({name: service.known[name] for name in case.path_parameters})
        if isinstance(case.body, dict):
            case.body.update(cast("Any", fitting))
        ask(case, service, caller)


def ask(case: schemathesis.Case[Any], service: RunningService, caller: str) -> None:
    """Send a request, and check its response."""
    wait = str((case.query or {}).get("wait", ""))
    if wait.isdecimal() and 1 < int(wait) <= LONGEST_WAIT:
        case.query["wait"] = 1  # long polling adds no coverage
    headers = dict(service.headers_of(caller))
    answer = case.call(base_url=service.url, session=service.session, headers=headers, timeout=TIMEOUT)
    case.validate_response(answer, checks=CHECKS, headers=headers)
