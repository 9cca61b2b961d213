"""The account page of docs/integrate/account-page.md, in a real browser and on another origin than Newsstand."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from playwright.async_api import async_playwright, expect

from tests.browser.visitors import ARGUMENTS, CHROMIUM
from tests.support.packages import skip_without
from tests.support.shop import open_shop
from tests.support.timeouts import TIMEOUT

GUIDE = Path(__file__).parents[2] / "docs" / "integrate" / "account-page.md"
(PAGE,) = re.findall("^```html\n(.*?)^```", GUIDE.read_text(), re.M | re.S)


STATES = {
    "past_due": ("Cancel", "Update my card"),
    "unpaid": ("Cancel", "Update my card"),
    "paused": ("Cancel",),
    "incomplete": ("Cancel",),
}


@contextmanager
def site(pages: dict[str, str]) -> Iterator[str]:
    """Serve the page that ``pages`` has at the time of a request. Return the origin."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(pages["account"].encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def test_the_page_has_at_most_100_lines() -> None:
    assert len(PAGE.splitlines()) <= 100


async def test_a_reader_can_do_everything_on_the_page(database: str, sandbox: Any, issuer: Any) -> None:
    skip_without("chromium")
    pages: dict[str, str] = {}
    with site(pages) as origin:
        hosts = (origin.removeprefix("http://"),)
        async with (
            open_shop(database, sandbox, issuer, allowed_origins=(origin,), allowed_return_hosts=hosts) as shop,
            async_playwright() as playwright,
        ):
            pages["account"] = PAGE.replace("https://newsstand.example.com", shop.url)
            reader = shop.person()
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
            page = await browser.new_page(timezone_id="Pacific/Kiritimati")  # its days are not the publisher's
            page.set_default_timeout(TIMEOUT * 1000)
            expect.set_options(timeout=TIMEOUT * 1000)
            errors: list[str] = []
            page.on("pageerror", lambda error: errors.append(str(error)))
            token = reader.headers["Authorization"].removeprefix("Bearer ")
            await page.add_init_script(f"sessionStorage.setItem('access_token', '{token}')")
            message = page.locator("#message")

            await page.goto(f"{origin}/account")
            await expect(message).to_have_text("You don't have a subscription yet.")
            await page.get_by_role("button", name="24 Issues Per Year: subscribe for $49 a year").click()
            await page.wait_for_url(f"{sandbox.url}/**")
            paid = await shop.pay_checkout(page.url)
            await page.goto(paid.headers["location"])
            await expect(message).to_have_text("Renews on March 1, 2027 for $49.")
            await expect(page.locator("#invoices li")).to_have_text(["March 1, 2026: $49, paid"])

            await page.get_by_role("button", name="Cancel").click()
            await expect(message).to_have_text("Cancel your subscription? You keep access until March 1, 2027.")
            await page.get_by_role("button", name="Cancel subscription").click()
            await expect(message).to_have_text(re.compile("2027"))
            await page.get_by_role("button", name="Resume").click()
            await expect(message).to_have_text("Renews on March 1, 2027 for $49.")

            await shop.wait_until_idle()  # the worker would restore the status
            for status, buttons in STATES.items():
                await shop.execute(f"UPDATE subscriptions SET status = '{status}'")
                await page.goto(f"{origin}/account")
                for name in buttons:
                    await expect(page.get_by_role("button", name=name, exact=True)).to_be_visible()
                await expect(page.get_by_role("button", name="Resume")).to_have_count(0)
                assert "1970" not in (await message.inner_text())
            await shop.execute("UPDATE subscriptions SET status = 'active'")
            await page.goto(f"{origin}/account")

            await page.get_by_role("button", name="Get my money back").click()
            await expect(message).to_have_text("Refund $49? Your access ends immediately.")
            await page.get_by_role("button", name="Refund", exact=True).click()
            await expect(page.get_by_role("button", name="24 Issues Per Year")).to_be_visible()
            assert not (await shop.check(reader))["allowed"]
            (refund,) = (await shop.stripe_get("/v1/refunds"))["data"]
            assert refund["amount"] == 49_00
            assert errors == []
            await browser.close()
