"""
Reconciliation and import: sweeps through Stripe's lists, and the preview of an import.
"""

from app.db.reconciliation import Sweep
from app.services.reconciliation.running import READERS, Importing
from app.services.reconciliation.sweeps import Report, begin, run, schedule, sizes

__all__ = ["READERS", "Importing", "Report", "Sweep", "begin", "run", "schedule", "sizes"]
