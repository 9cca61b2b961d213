"""What a reader who cancels is told by mail."""

from tests.support.mailbox import Mailbox
from tests.support.shop import Shop


async def test_a_cancellation_is_confirmed_by_mail_once(mailing_shop: Shop, mail: Mailbox) -> None:
    ada = mailing_shop.person()
    await mailing_shop.subscribe(ada)

    await mailing_shop.post("/v1/me/subscription/cancel", ada, {"when": "period_end"})
    (received,) = await mail.wait_for()
    await mailing_shop.wait_until_idle()

    assert (received.to, received.subject) == ("ada@example.com", "Your subscription is canceled")
    assert "You have access until March 1, 2027." in received.text
    assert "March 1, 2027" in received.html
    assert "List-Unsubscribe" not in received.message
    (stored,) = await mailing_shop.rows(
        "SELECT status, subject, text, settled_at, result FROM notifications WHERE settled_at IS NOT NULL"
    )
    assert (stored["status"], stored["subject"], stored["result"]) == ("sent", received.subject, "250 OK, kept")
    assert len(mail.received) == 1
