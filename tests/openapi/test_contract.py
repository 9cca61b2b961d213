"""
Whatever is asked of the service, its answer is one that the OpenAPI document foresees.

Schemathesis makes the requests from the document: its examples, every bound and beyond, and what Hypothesis thinks of, well
formed and not. They go over HTTP to a running service with the real database and the local Stripe behind it.
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
from tests.openapi.conftest import Asked

Test = TypeVar("Test", bound=Callable[..., None])
SNAPSHOT = Path(__file__).with_name("openapi.json")  # equal to what is served: see test_document
CALLERS = ("nobody", "reader", "agent", "server")
SEED = int(os.environ.get("NEWSSTAND_TEST_SEED") or SystemRandom().getrandbits(32))  # of the long round
# Positive data may be refused all the same, so that positive_data_acceptance is not among them: an unknown plan is 422.
# Nor is ignored_auth: each caller asks everything, and one of them is nobody.
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


def each_operation(*, examples: int, seed: int | None = None) -> Callable[[Test], Test]:
    """Have a test done for each operation, with so many requests besides the examples and the bounds."""
    wanted: dict[str, Any] = {
        "generation": {
            "max-examples": examples,
            "deterministic": seed is None,
            "database": "none",
            "with-security-parameters": False,  # the callers bring theirs
        }
    }
    if seed is not None:
        wanted["seed"] = seed
    document = schemathesis.openapi.from_path(SNAPSHOT, config=schemathesis.Config.from_dict(wanted))
    return cast("Callable[[Test], Test]", document.parametrize())


LEISURELY = settings(deadline=None, suppress_health_check=list(HealthCheck))  # the machine may be busy with other tests


@pytest.mark.parametrize("caller", CALLERS)
@each_operation(examples=5)
@LEISURELY
def test_every_response_conforms_to_the_document(case: schemathesis.Case[Any], asked: Asked, caller: str) -> None:
    asks(case, asked, caller)


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("caller", CALLERS)
@each_operation(examples=200, seed=SEED)
@LEISURELY
def test_every_response_conforms_in_a_long_run(case: schemathesis.Case[Any], asked: Asked, caller: str) -> None:
    print(f"NEWSSTAND_TEST_SEED={SEED} asks the same again")  # shown with a failure
    asks(case, asked, caller)


def asks(case: schemathesis.Case[Any], asked: Asked, caller: str) -> None:
    """Ask as it was made up; and, where that is well formed, with the names of what there is."""
    ask(case, asked, caller)
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    fitting = asked.fitting.get(case.operation.definition.raw["operationId"], {})
    if case.path_parameters or (fitting and isinstance(case.body, dict)):
        case.path_parameters.update({name: asked.known[name] for name in case.path_parameters})
        if isinstance(case.body, dict):
            case.body.update(cast("Any", fitting))
        ask(case, asked, caller)


def ask(case: schemathesis.Case[Any], asked: Asked, caller: str) -> None:
    """Ask once, and look at the answer."""
    wait = str((case.query or {}).get("wait", ""))
    if wait.isdecimal() and 1 < int(wait) <= LONGEST_WAIT:
        case.query["wait"] = 1  # a long wait asks nothing new
    headers = dict(asked.headers[caller])
    answer = case.call(base_url=asked.url, session=asked.session, headers=headers)
    case.validate_response(answer, checks=CHECKS, headers=headers)
