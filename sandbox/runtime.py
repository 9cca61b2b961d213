"""All that a running sandbox has, and the last step of whatever happens in it: events are checked and sent."""

from dataclasses import dataclass, field

from sandbox.contract import responses
from sandbox.delivery.webhooks import Delivery
from sandbox.json_types import JsonObject
from sandbox.store.accounts import Account, Accounts
from sandbox.store.scheduler import run_due


@dataclass
class Runtime:
    """The accounts, the delivery of their events, and what was found not to fit the contract."""

    accounts: Accounts
    delivery: Delivery
    validate: bool = True
    violations: list[JsonObject] = field(default_factory=list)

    def run_due_jobs(self, account: Account) -> None:
        """Do what has fallen due for an account in real time, and send the events of that."""
        run_due(account)
        self.settle(account, method="CLOCK", path="")

    def settle(self, account: Account, *, method: str, path: str) -> None:
        """Check the events an account has just made, which have no reply to fail with, and begin to deliver them."""
        if self.validate:
            for event in account.outbox:
                faults = [f"{event['type']}: {fault}" for fault in _faults_of_event(event)]
                self.record_violations(account, faults, method=method, path=path)
        self.delivery.flush(account)

    def record_violations(self, account: Account, faults: list[str], *, method: str, path: str) -> None:
        """Record what does not fit the contract, if anything."""
        if faults:
            self.violations.append({"account": account.key, "method": method, "path": path, "faults": faults})


def _faults_of_event(event: JsonObject) -> list[str]:
    inner = responses.object_errors(event["data"]["object"])
    if event["type"] == "invoice.upcoming":
        inner = [fault for fault in inner if fault != "Invoice.id: missing"]  # not made yet, it has none
    return [*responses.object_errors(event), *inner]
