"""Text on the checkout page: amounts, intervals, countries and the order summary."""

from dataclasses import dataclass

from sandbox.billing import currencies, prices
from sandbox.json_types import JsonObject
from sandbox.resources import checkout_payment
from sandbox.store.accounts import Account

_SYMBOLS = {"usd": "$", "eur": "€", "gbp": "£", "jpy": "¥", "cad": "CA$", "aud": "A$"}
_COUNTRIES = {
    "AT": "Austria",
    "AU": "Australia",
    "BE": "Belgium",
    "BG": "Bulgaria",
    "BR": "Brazil",
    "CA": "Canada",
    "CH": "Switzerland",
    "CZ": "Czechia",
    "DE": "Germany",
    "DK": "Denmark",
    "EE": "Estonia",
    "ES": "Spain",
    "FI": "Finland",
    "FR": "France",
    "GB": "United Kingdom",
    "GR": "Greece",
    "HK": "Hong Kong",
    "HR": "Croatia",
    "HU": "Hungary",
    "IE": "Ireland",
    "IN": "India",
    "IT": "Italy",
    "JP": "Japan",
    "LT": "Lithuania",
    "LU": "Luxembourg",
    "LV": "Latvia",
    "MX": "Mexico",
    "NL": "Netherlands",
    "NO": "Norway",
    "NZ": "New Zealand",
    "PL": "Poland",
    "PT": "Portugal",
    "RO": "Romania",
    "SE": "Sweden",
    "SG": "Singapore",
    "SI": "Slovenia",
    "SK": "Slovakia",
    "US": "United States",
    "ZA": "South Africa",
}


@dataclass(frozen=True, kw_only=True)
class SummaryLine:
    """One line of the order summary."""

    name: str
    description: str | None
    quantity: int
    amount: str
    interval: str


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The order summary as text."""

    lines: list[SummaryLine]
    subtotal: str
    discount: str | None
    discount_name: str | None
    tax: str | None
    total: str
    interval: str
    free: bool
    needs_card: bool


def money(amount: int, currency: str) -> str:
    """Return an amount in minor units as text, such as `$49.00`."""
    decimals = currencies.exponent(currency)
    whole, rest = divmod(amount, 10**decimals)
    figure = f"{whole:,}" + (f".{rest:0{decimals}d}" if decimals else "")
    return f"{_SYMBOLS.get(currency, currency.upper() + ' ')}{figure}"


def payment_method_name(kind: str) -> str:
    """Return the name of a payment method type."""
    return {
        "card": "Card",
        "sepa_debit": "SEPA Direct Debit",
        "us_bank_account": "US bank account",
        "bacs_debit": "Bacs Direct Debit",
    }[kind]


def interval(recurring: JsonObject) -> str:
    """Return the billing interval as text, such as `every year` or `every 6 months`."""
    count, unit = recurring["interval_count"], recurring["interval"]
    return f"every {unit}" if count == 1 else f"every {count} {unit}s"


def country(code: str) -> str:
    """Return the name of a country, or its code if the name is not known."""
    return _COUNTRIES.get(code, code)


def known_email(account: Account, session: JsonObject) -> str | None:
    """Return the email address of the session, which cannot be changed on the page."""
    customer = account.find("customer", session["customer"])
    found = customer["email"] if customer else session["customer_email"]
    return str(found) if found else None


def return_url(session: JsonObject) -> str:
    """Return the URL the customer is sent to after paying."""
    return str(session["success_url"]).replace("{CHECKOUT_SESSION_ID}", session["id"])


def optional_items(account: Account, session: JsonObject) -> list[SummaryLine]:
    """Return the optional items of an order."""
    found = []
    for item in session["optional_items"] or []:
        price = prices.get(account, item["price"], session["currency"])
        product = account.find("product", price["product"]) or {"name": "Deleted product", "description": None}
        found.append(
            SummaryLine(
                name=product["name"],
                description=product["description"],
                quantity=item["quantity"],
                amount=money(price["unit_amount"] * item["quantity"], session["currency"]),
                interval=interval(price["recurring"]),
            )
        )
    return found


def summary(
    account: Account, session: JsonObject, promotion_code: JsonObject | None, optional: tuple[int, ...] = ()
) -> Summary:
    """Return the order summary, with a promotion code and the selected optional items."""
    currency = session["currency"]
    computed = checkout_payment.lines(account, session, promotion_code=promotion_code, optional=optional)
    discount = sum(sum(line.discounts.values()) for line in computed)
    tax = sum(line.tax for line in computed)
    total = sum(line.total for line in computed)
    lines = []
    for line in computed:
        product = account.find("product", line.price["product"]) or {"name": "Deleted product", "description": None}
        lines.append(
            SummaryLine(
                name=product["name"],
                description=product["description"],
                quantity=line.quantity,
                amount=money(line.subtotal, currency),
                interval=interval(line.price["recurring"]),
            )
        )
    return Summary(
        lines=lines,
        subtotal=money(sum(line.subtotal for line in computed), currency),
        discount=money(discount, currency) if discount else None,
        discount_name=promotion_code["code"] if promotion_code else None,
        tax=money(tax, currency) if tax else None,
        total=money(total, currency),
        interval=lines[0].interval,
        free=total == 0,
        needs_card=checkout_payment.needs_card(session, total),
    )
