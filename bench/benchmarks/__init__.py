"""The benchmarks, by subject. Each module declares its own in ``BENCHMARKS``."""

import importlib
import pkgutil

from bench.runner import Benchmark


def all_benchmarks() -> list[Benchmark]:
    """Return all benchmarks, by module and in the order of declaration."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return [benchmark for name in names for benchmark in importlib.import_module(f"{__name__}.{name}").BENCHMARKS]
