"""The benches run to their end; what they measure is no matter of tests."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench import load
from bench.rows import found
from bench.runner import Row

ROOT = Path(__file__).parents[2]


def run(rate: float) -> load.Run:
    return load.Run(rate=rate, p99=0.001, busy=0.1)


@pytest.mark.parametrize(
    ("ratios", "middle"),
    [
        pytest.param([0.9, 0.5, 0.6], 0.6, id="of an odd number: the median"),
        pytest.param([0.9, 0.5, 0.6, 0.8], 0.6, id="of an even number: the worse of the two in the middle"),
    ],
)
def test_a_row_is_the_pair_in_the_middle(ratios: list[float], middle: float) -> None:
    pairs = [(run(ratio * 100 * (n + 1)), run(100.0 * (n + 1))) for n, ratio in enumerate(ratios)]

    row = Row("some", "requests/s", pairs).as_json()

    assert row["ratio"] == pytest.approx(middle)
    assert row["ratio"] == pytest.approx(float(row["value"]) / float(row["limit"]))


APPLYING = {"apply_vs_fetch", "burst_vs_fetch"}
LARGE = {"check_5m_vs_1m", "check_cold_vs_asyncpg"}
REST = {bench.name for bench in found()} - APPLYING - LARGE


@pytest.mark.slow
@pytest.mark.parametrize(
    "names",
    [
        pytest.param(APPLYING, id="of a worker"),
        pytest.param(LARGE, id="with many readers"),
        pytest.param(REST, id="of a server"),
    ],
)
def test_every_row_is_measured_and_written(tmp_path: Path, names: set[str]) -> None:
    written = tmp_path / "results.json"
    only = [word for name in sorted(names) for word in ("--only", name)]
    command = [
        sys.executable,
        "-m",
        "bench",
        "--pairs",
        "1",
        "--seconds",
        "0.2",
        "--readers",
        "3000",
        "--more-readers",
        "6000",
        "--output",
        str(written),
        *only,
    ]

    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)

    assert ended.returncode == 0, ended.stderr
    rows = {row["name"]: row for row in json.loads(written.read_text())}
    assert set(rows) == names
    assert all(row.keys() == {"name", "value", "unit", "limit", "ratio"} for row in rows.values())
    assert all(row["value"] > 0 and row["limit"] > 0 for row in rows.values())
    assert all(name in ended.stdout for name in rows)
