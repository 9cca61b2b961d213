"""The demo's mailbox shows what readers are told."""

import asyncio
import secrets

import httpx2
import pytest

from demo.browser import Browser
from demo.stack import Stack
from tests.demo.test_full_stack import checkout, pay, sign_up
from tests.support.timeouts import TIMEOUT

pytestmark = pytest.mark.xdist_group("stack")


async def test_a_cancellation_arrives_in_the_mailbox(stack: Stack) -> None:
    async with Browser() as browser:
        email = await sign_up(browser, stack)
        await pay(browser, await checkout(browser, stack, edition="digital"))
        account = await browser.open(f"{stack.magazine}/account")
        await browser.submit(account, account.form("/account/cancel"))

        async with asyncio.timeout(TIMEOUT), httpx2.AsyncClient(timeout=TIMEOUT) as http:
            while not (found := await mails_to(http, stack, email)):
                await asyncio.sleep(0.1)
            page = await http.get(f"{stack.mailbox}/messages/{found[0]['number']}")
            html = await http.get(f"{stack.mailbox}/messages/{found[0]['number']}/html")

    assert found[0]["subject"] == "Your subscription is canceled"
    assert "You have access until" in page.text
    assert "sandbox" in html.headers["Content-Security-Policy"], "a message runs nothing"


async def mails_to(http: httpx2.AsyncClient, stack: Stack, address: str) -> list[dict[str, str]]:
    messages = (await http.get(f"{stack.mailbox}/messages.json", params={"x": secrets.token_hex(2)})).json()["data"]
    return [mail for mail in messages if mail["to"] == address]
