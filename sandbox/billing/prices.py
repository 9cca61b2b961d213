"""Prices in a currency. A price has one currency of its own and can have others in `currency_options`."""

from sandbox.errors import invalid
from sandbox.json_types import JsonObject
from sandbox.store.accounts import Account


def get(
    account: Account, price_id: str, currency: str | None, *, param: str = "price", status: int = 404
) -> JsonObject:
    """
    Return a price in a currency. None is the price's own.

    :raises StripeError: `resource_missing`, or 400 if the price does not have this currency.
    """
    return in_currency(account.get("price", price_id, param=param, status=status), currency, param=param)


def in_currency(price: JsonObject, currency: str | None, *, param: str = "price") -> JsonObject:
    """
    Return a price with the amount of a currency.

    :raises StripeError: 400 if the price does not have this currency.
    """
    if currency in (None, price["currency"]):
        return price
    option = price["_currency_options"].get(currency)
    if option is None:
        message = (
            f"The price specified only supports {', '.join(f'`{each}`' for each in currencies_of(price))}. This doesn't "
            f"match the expected currency: `{currency}`."
        )
        raise invalid(message, param=param)
    return {**price, **option, "currency": currency}


def currencies_of(price: JsonObject) -> list[str]:
    """Return the currencies of a price, its own first."""
    return [price["currency"], *price["_currency_options"]]


def check_customer_currency(account: Account, customer_id: str | None, currency: str) -> None:
    """
    Raise Stripe's 400 if a customer has an active subscription in another currency.

    A customer's subscriptions and balance must all have the same currency while one is active.
    """
    for subscription in account.all("subscription"):
        ended = subscription["status"] in ("canceled", "incomplete_expired")
        if subscription["customer"] == customer_id and not ended and subscription["currency"] != currency:
            raise invalid(
                "You cannot combine currencies on a single customer. This customer has an active subscription, "
                f"subscription schedule, discount, quote, or invoice item with currency {subscription['currency']}.",
                param="currency",
            )
