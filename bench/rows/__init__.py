"""What is measured: each file declares ``BENCHES``, and is found by that."""

import importlib
import pkgutil

from bench.runner import Bench


def found() -> list[Bench]:
    """Return every bench that is declared, by file and in their order there."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return [bench for name in names for bench in importlib.import_module(f"{__name__}.{name}").BENCHES]
