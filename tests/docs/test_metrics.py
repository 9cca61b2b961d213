"""Every metric is documented, and no document names another one."""

import re

from prometheus_client import REGISTRY

from app import main
from tests.operations.processes import ROOT

NAMED = re.compile(r"\bnewsstand_[a-z_]+\b")


def exposed() -> set[str]:
    """Return the names of our metrics as Prometheus sees them."""
    assert main.VERSION  # the application defines them when it is imported
    families = [family for family in REGISTRY.collect() if family.name.startswith("newsstand_")]
    return {f"{one.name}_total" if one.type == "counter" else one.name for one in families}


def test_the_documented_metrics_are_those_of_the_code() -> None:
    text = (ROOT / "docs/operate/monitoring.md").read_text()
    assert set(NAMED.findall(text)) == exposed()


def test_the_runbook_names_only_metrics_that_exist() -> None:
    text = (ROOT / "docs/operate/runbook.md").read_text()
    metadata = {"newsstand_subscriber"}  # of a Stripe object
    assert set(NAMED.findall(text)) - metadata <= exposed()
