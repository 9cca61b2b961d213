"""The benchmarks run to completion. Their results are not checked."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench import load_generator
from bench.benchmarks import all_benchmarks
from bench.runner import Result

ROOT = Path(__file__).parents[2]


def run(rate: float) -> load_generator.Run:
    return load_generator.Run(rate=rate, p99=0.001, load_use=0.1)


@pytest.mark.parametrize(
    ("ratios", "middle"),
    [
        pytest.param([0.9, 0.5, 0.6], 0.6, id="odd number of pairs: the median"),
        pytest.param([0.9, 0.5, 0.6, 0.8], 0.6, id="even number of pairs: the worse of the two in the middle"),
    ],
)
def test_result_is_the_median_pair(ratios: list[float], middle: float) -> None:
    pairs = [(run(ratio * 100 * (n + 1)), run(100.0 * (n + 1))) for n, ratio in enumerate(ratios)]

    result = Result("some", "requests/s", pairs).as_json()

    assert result["ratio"] == pytest.approx(middle)
    assert result["ratio"] == pytest.approx(float(result["value"]) / float(result["limit"]))


WORKER_BENCHMARKS = {"apply_vs_fetch", "burst_vs_fetch"}
LARGE_TABLE_BENCHMARKS = {"check_5m_vs_1m", "check_cold_vs_asyncpg"}
OTHER_BENCHMARKS = sorted({one.name for one in all_benchmarks()} - WORKER_BENCHMARKS - LARGE_TABLE_BENCHMARKS)
LONGEST = 30 * 60.0  # seconds; on a busy machine a group takes some minutes


@pytest.mark.slow
@pytest.mark.timeout(LONGEST)
@pytest.mark.parametrize(
    "names",
    [
        pytest.param(WORKER_BENCHMARKS, id="worker"),
        pytest.param(LARGE_TABLE_BENCHMARKS, id="large tables"),
        pytest.param(set(OTHER_BENCHMARKS[::2]), id="half of the others"),
        pytest.param(set(OTHER_BENCHMARKS[1::2]), id="the other half"),
    ],
)
def test_every_benchmark_writes_a_result(tmp_path: Path, names: set[str]) -> None:
    output = tmp_path / "results.json"
    only = [argument for name in sorted(names) for argument in ("--only", name)]
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
        str(output),
        *only,
    ]

    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LONGEST, check=False)

    assert finished.returncode == 0, finished.stderr
    results = {result["name"]: result for result in json.loads(output.read_text())}
    assert set(results) == names
    assert all(result.keys() == {"name", "value", "unit", "limit", "ratio"} for result in results.values())
    assert all(result["value"] > 0 and result["limit"] > 0 for result in results.values())
    assert all(name in finished.stdout for name in results)
