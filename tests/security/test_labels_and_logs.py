"""Nothing that a caller makes up becomes a metric label or fills the log."""

import io
import json
from contextlib import redirect_stderr

import pytest
import structlog
from prometheus_client import REGISTRY

from app import observability
from tests.support.shop import Shop

LONG = "x" * 7_000


def labels() -> set[str]:
    return {value for metric in REGISTRY.collect() for sample in metric.samples for value in sample.labels.values()}


async def test_made_up_paths_add_no_label(shop: Shop) -> None:
    reader = dict(shop.person().headers)
    known = [
        "/v1/plans/annual",
        "/console",
        "/console/sign-in",
        "/console/readers/rdr_1",
        "/console/static/console.css",
    ]
    for path in known:
        await shop.http.get(path, headers=reader)
    before = labels()
    for method in ("GET", "POST", "PUT", "BREW"):
        for path in (
            f"/{LONG}",
            f"/v1/plans/{LONG}",
            f"/v1/{LONG}/x",
            f"/console/{LONG}",
            f"/console/static/{LONG}",
            f"/console/readers/{LONG}",
            f"/console/sign-in/{LONG}",
            "/console/%2e%2e/x",
            f"/docs/{LONG}",
        ):
            await shop.http.request(method, path, headers={**reader, "Origin": "https://evil.example"})
    added = labels() - before
    assert all(len(label) < 100 for label in added), added
    assert not any("evil" in label or "x" * 10 in label for label in added), added
    assert {"unmatched", "/v1/plans/{code}"} <= labels()


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("x" * 1_000_000, id="text"),
        pytest.param(["x" * 5_000] * 1_000, id="list"),
        pytest.param({f"name{number}" * 100: "x" * 500 for number in range(1_000)}, id="object"),
        pytest.param(ValueError("x" * 1_000_000), id="exception"),
    ],
)
def test_every_log_field_has_a_maximum_length(value: object) -> None:
    written = io.StringIO()
    with redirect_stderr(written):
        observability.configure("INFO")
        structlog.get_logger().info("x" * 100_000, some=value)
        try:
            raise ValueError("x" * 1_000_000)
        except ValueError:
            structlog.get_logger().exception("failed")
    for line in written.getvalue().splitlines():
        for name, shown in json.loads(line).items():
            limit = observability.LONGEST_TRACEBACK if name == "exception" else observability.LONGEST_FIELD
            assert len(json.dumps(shown)) < limit + 100, name


def test_a_secret_at_the_cut_is_not_shown() -> None:
    for start in range(observability.LONGEST_FIELD - 60, observability.LONGEST_FIELD + 10):
        shown = str(observability.shortened("." * start + "sk_live_" + "s3cr3t" * 10 + "." * 5_000))
        assert "s3c" not in shown
