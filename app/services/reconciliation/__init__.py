"""
Reconciliation and import: sweeps through Stripe's lists, and the preview of an import.
"""

from app.services.reconciliation.running import Importing
from app.services.reconciliation.sweeps import Report, begin, run, schedule, sizes

__all__ = ["Importing", "Report", "begin", "run", "schedule", "sizes"]
