"""
`python -m tests.browser.screenshots`: take the screenshots in docs/pictures.

They show the running demo in a wide window and on a phone.
"""

import asyncio
import re
import sys
from pathlib import Path

from playwright.sync_api import Browser

from demo.stack import Ports, Stack
from tests.browser.stack_database import execute_sql
from tests.browser.visitors import CHROMIUM, GATED_ARTICLE, PHONE, WIDE, ConsoleUser, Visitor, chromium

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
# Shows as much of the plan card below the paywall as fits.
SCROLL_TO_PAYWALL = """paywall => {
  const end = document.querySelector(".plan").getBoundingClientRect().bottom + scrollY + 24
  scrollTo(0, Math.min(paywall.offsetTop - 24, Math.max(paywall.offsetTop - 220, end - innerHeight)))
}"""
# The last issue that was mailed, with a label and a claim for each subscription to print.
EARLIER_LABELS = """
UPDATE issues SET frozen_at = now() WHERE number = (SELECT max(number) FROM issues WHERE planned_mail_date <= now());
INSERT INTO label_runs (id, issue_number, number, as_of, mail_date, frozen_at, frozen_by, copies, control_sum, counts,
    columns)
SELECT 'lbl_1', number, 0, now(), planned_mail_date, now(), 'staff:circulation', 1, 0, '{"bands": [["US", "domestic", 1]],
    "flags": {"new": 1, "renewed": 0, "changed": 0, "last_issue": 0}}', '{"columns": []}'
FROM issues WHERE frozen_at IS NOT NULL ON CONFLICT DO NOTHING;
INSERT INTO labels (run_id, position, issue_number, subscription_id, term, address_id, kind, claim_id, name, line1, country,
    lines, band, control, flags)
SELECT 'lbl_1', row_number() OVER (ORDER BY owned.id) + (SELECT count(*) FROM labels), run.issue_number, owned.id,
    term.invoice_id, 'adr_1', 'copy', '', 'Nia Fontaine', '1 Lantern Street', 'US', ARRAY['Nia Fontaine'], 'domestic', 1, 0
FROM subscriptions owned JOIN terms term ON term.subscription_id = owned.id CROSS JOIN label_runs run
WHERE owned.print_edition ON CONFLICT DO NOTHING;
INSERT INTO claims (id, subscriber_id, subscription_id, term, issue_number, run_number, address_id, reason, resolution,
    claimed_by, created_at, granted_at)
SELECT 'clm_' || owned.id, owned.subscriber_id, owned.id, label.term, label.issue_number, 0, 'adr_1', 'not_received',
    'resend', 'reader:' || owned.subscriber_id, now(), now()
FROM labels label JOIN subscriptions owned ON owned.id = label.subscription_id ON CONFLICT DO NOTHING
"""
SIZES = {"wide": WIDE, "phone": PHONE}


class Photographer:
    """Takes the screenshots of one window size."""

    def __init__(self, browser: Browser, shop: Stack, name: str) -> None:
        self._browser, self._shop, self._name = browser, shop, name

    def take_all(self) -> None:
        """Take every screenshot of this size."""
        reader = self._new_visitor()
        reader.open("/")
        self._take(reader, "front")
        reader.open(GATED_ARTICLE)
        reader.page.locator(".paywall").evaluate(SCROLL_TO_PAYWALL)
        self._take(reader, "paywall")
        reader.start_subscribing("Nia Fontaine", edition="Digital and print", path=GATED_ARTICLE)
        reader.fill_in()
        reader.page.evaluate("() => { document.activeElement.blur(); scrollTo(0, 0) }")
        self._take(reader, "checkout")
        reader.click("Subscribe and pay")
        reader.expect_text("Welcome aboard")
        self._take(reader, "welcome")
        reader.click("Keep reading")
        reader.page.locator(".rest").evaluate("rest => scrollTo(0, rest.offsetTop - 400)")
        self._take(reader, "article")
        reader.open("/account")
        self._take(reader, "account")
        for page in ("", "cancel"):
            reader.page.goto(f"{self._shop.account}/{page}")
            reader.page.get_by_role("heading", level=1).wait_for()
            self._take(reader, f"hosted-account{'-' * bool(page)}{page}")
        agent = self._new_visitor()
        agent.find_reader(reader.email)
        self._take(agent, "desk")
        self._take_console(reader.email)

    def _take_console(self, email: str) -> None:
        alex = ConsoleUser(self._browser, self._shop, size=SIZES[self._name])
        alex.sign_in_to_console("admin@example.com")
        alex.page.get_by_role("heading", name="New and lost subscribers by week").wait_for()
        self._take(alex, "console-dashboard")
        alex.open(f"/readers?q={email}")
        alex.page.locator(".results a").click()
        alex.page.wait_for_url("**/readers/rdr_*")
        self._take(alex, "console-reader")
        alex.page.keyboard.press("r")
        alex.page.wait_for_url("**/refund")
        self._take(alex, "console-refund")
        alex.page.keyboard.press("Enter")
        alex.page.wait_for_url("**/confirm?draft=*")
        self._take(alex, "console-review")
        alex.open("/issues")
        self._take(alex, "console-issues")
        alex.page.locator(".message a").first.click()
        alex.page.wait_for_url(re.compile(r"/issues/\d+$"))
        alex.page.keyboard.press("l")
        alex.page.get_by_role("heading", name="Left out").wait_for()
        self._take(alex, "console-label-run")
        for path in ("readers", "disputes", "audit", "keyboard", "liability"):
            alex.open(f"/{path}")
            self._take(alex, f"console-{path}")
        self._take_circulation(alex)

    def _take_circulation(self, alex: ConsoleUser) -> None:
        """Take the pages that need labels: those of an earlier issue are added to the database."""
        execute_sql(self._shop, EARLIER_LABELS)
        alex.open("/claims")
        self._take(alex, "console-claims")
        alex.page.locator("tbody a").first.click()
        alex.page.get_by_role("main").get_by_role("link", name="Circulation", exact=True).click()
        alex.page.get_by_label("Press run").fill("1500")
        alex.page.get_by_label("Sold outside the mails").fill("240")
        alex.page.get_by_label("Given away outside the mails").fill("60")
        alex.click("Save")
        alex.page.get_by_role("status").or_(alex.page.get_by_text("saved")).first.wait_for()
        alex.open("/circulation")
        self._take(alex, "console-circulation")

    def _new_visitor(self) -> Visitor:
        visitor = Visitor(self._browser, self._shop, size=SIZES[self._name])
        visitor.email = f"nia.{self._name}@example.com"
        return visitor

    def _take(self, visitor: Visitor, what: str) -> None:
        visitor.page.wait_for_load_state("networkidle")
        path = PICTURES / f"{what}-{self._name}.png"
        visitor.page.screenshot(path=path, animations="disabled", caret="hide")
        print(f"{path.name:<22} {path.stat().st_size / 1024:6.0f} kB")


def main() -> int:
    """Take all screenshots. Return the exit status."""
    if not CHROMIUM.exists():
        print(f"Chromium is not installed at {CHROMIUM}.", file=sys.stderr)
        return 1
    PICTURES.mkdir(parents=True, exist_ok=True)
    stack = Stack(Ports.free())
    asyncio.run(stack.start())
    try:
        with chromium() as browser:
            for name in SIZES:
                Photographer(browser, stack, name).take_all()
    finally:
        stack.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
