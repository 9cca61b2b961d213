"""
Reconciliation, import and recovery: sweeps through Stripe's lists, and the preview of an import.
"""

from app.db.reconciliation import Sweep
from app.services.reconciliation.recovery import Recovered, recover
from app.services.reconciliation.running import READERS, Importing, Progress
from app.services.reconciliation.sweeps import Report, begin, run, schedule, sizes

__all__ = [
    "READERS",
    "Importing",
    "Progress",
    "Recovered",
    "Report",
    "Sweep",
    "begin",
    "recover",
    "run",
    "schedule",
    "sizes",
]
