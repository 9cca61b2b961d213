"""The errors that the service can return."""

import importlib
import pkgutil

import app
from app.domain.errors import DomainError


def all_errors() -> list[type[DomainError]]:
    """Return every error that has a code, after importing every module that may define one."""
    for module in pkgutil.walk_packages(app.__path__, "app."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found: list[type[DomainError]] = []
    bases = [DomainError]
    while bases:
        subclasses = [error for error in bases.pop().__subclasses__() if error.__module__.startswith("app.")]
        found += [error for error in subclasses if hasattr(error, "code")]
        bases += subclasses
    return found
