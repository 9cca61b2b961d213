"""The state of a running sandbox, and the last step of each change: validating and sending its events."""

from dataclasses import dataclass, field

from sandbox.contract import responses
from sandbox.delivery.webhooks import WebhookDelivery
from sandbox.json_types import JsonObject
from sandbox.store.accounts import Account, Accounts
from sandbox.store.scheduler import run_due


@dataclass
class Runtime:
    """The accounts, the webhook delivery, and the contract violations found so far."""

    accounts: Accounts
    delivery: WebhookDelivery
    validate: bool = True
    violations: list[JsonObject] = field(default_factory=list)

    def run_due_jobs(self, account: Account) -> None:
        """Run the jobs of an account that are due in real time, and send their events."""
        run_due(account)
        self.publish_events(account, method="CLOCK", path="")

    def publish_events(self, account: Account, *, method: str, path: str) -> None:
        """Validate the new events of an account and start their delivery. They have no response that could fail."""
        if self.validate:
            for event in account.outbox:
                faults = [f"{event['type']}: {fault}" for fault in _faults_of_event(event)]
                self.record_violations(account, faults, method=method, path=path)
        self.delivery.flush(account)

    def record_violations(self, account: Account, faults: list[str], *, method: str, path: str) -> None:
        """Record contract violations, if any."""
        if faults:
            self.violations.append({"account": account.key, "method": method, "path": path, "faults": faults})


def _faults_of_event(event: JsonObject) -> list[str]:
    inner = responses.object_errors(event["data"]["object"])
    if event["type"] == "invoice.upcoming":
        inner = [fault for fault in inner if fault != "Invoice.id: missing"]  # an upcoming invoice has no ID
    return [*responses.object_errors(event), *inner]
