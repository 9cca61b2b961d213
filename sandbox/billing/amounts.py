"""Line arithmetic: subtotals, discounts and tax, in minor units. Halves are rounded up."""

from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal

from sandbox.json_types import JsonObject
from sandbox.store.accounts import Account

_UNTAXED = "txcd_00000000"


@dataclass(kw_only=True)
class LineAmounts:
    """The amounts of one line: a price times a quantity, its discounts and its tax."""

    price: JsonObject
    quantity: int
    subtotal: int = 0
    discounts: dict[str, int] = field(default_factory=dict)
    """Amount taken off, by discount ID."""
    tax: int = 0
    tax_behavior: str = "exclusive"
    rate: float = 0.0
    discountable: bool = True
    """False for a proration, whose amount includes its discounts already."""

    @property
    def discounted(self) -> int:
        """The amount after discounts. Includes the tax if the price does."""
        return self.subtotal - sum(self.discounts.values())

    @property
    def total(self) -> int:
        """The amount to pay."""
        return self.discounted + (self.tax if self.tax_behavior == "exclusive" else 0)

    @property
    def taxable(self) -> int:
        """The amount that tax is calculated on."""
        return self.discounted - (self.tax if self.tax_behavior == "inclusive" else 0)


def compute_lines(
    account: Account,
    prices: list[tuple[JsonObject, int]],
    *,
    coupons: dict[str, JsonObject],
    automatic_tax: bool,
) -> list[LineAmounts]:
    """
    Return the amounts of the lines of an invoice or a checkout.

    :param prices: prices and quantities.
    :param coupons: coupons by discount ID, in the order they apply.
    """
    lines = [
        LineAmounts(price=price, quantity=quantity, subtotal=price["unit_amount"] * quantity)
        for price, quantity in prices
    ]
    compute(account, lines, coupons=coupons, automatic_tax=automatic_tax)
    return lines


def compute(account: Account, lines: list[LineAmounts], *, coupons: dict[str, JsonObject], automatic_tax: bool) -> None:
    """Apply discounts and calculate tax. Takes the parameters of `compute_lines`."""
    for discount_id, coupon in coupons.items():
        _apply_coupon(lines, discount_id, coupon)
    if automatic_tax:
        for line in lines:
            _apply_tax(account, line)


def _apply_coupon(lines: list[LineAmounts], discount_id: str, coupon: JsonObject) -> None:
    allowed = (coupon.get("_applies_to") or {}).get("products")
    eligible = [line for line in lines if line.discountable and (allowed is None or line.price["product"] in allowed)]
    if coupon["percent_off"] is not None:
        for line in eligible:
            line.discounts[discount_id] = round_half_up(
                Decimal(line.discounted) * Decimal(str(coupon["percent_off"])) / 100
            )
        return
    left, base = coupon["amount_off"], sum(line.discounted for line in eligible)
    left = min(left, base)
    for line in eligible:
        share = 0 if base == 0 else round_half_up(Decimal(left) * line.discounted / base)
        base -= line.discounted
        left -= share
        line.discounts[discount_id] = share


def _apply_tax(account: Account, line: LineAmounts) -> None:
    product = account.find("product", line.price["product"]) or {}
    line.tax_behavior = "inclusive" if line.price["tax_behavior"] == "inclusive" else "exclusive"
    line.rate = 0.0 if product.get("tax_code") == _UNTAXED else account.settings.tax_rate
    rate = Decimal(str(line.rate)) / 100
    if line.tax_behavior == "inclusive":
        line.tax = line.discounted - round_half_up(line.discounted / (1 + rate))
    else:
        line.tax = round_half_up(line.discounted * rate)


def round_half_up(amount: Decimal) -> int:
    """Return a whole number of minor units, halves rounded up."""
    return int(amount.quantize(Decimal(1), rounding=ROUND_HALF_UP))


def tax_entries(lines: list[LineAmounts], *, automatic_tax: bool) -> list[JsonObject]:
    """Return `total_taxes`, or a line's `taxes`: one entry for each tax behavior, none without automatic tax."""
    if not automatic_tax:
        return []
    entries = []
    for behavior in ("exclusive", "inclusive"):
        eligible = [line for line in lines if line.tax_behavior == behavior]
        if eligible:
            collected = any(line.rate for line in eligible)
            entries.append(
                {
                    "amount": sum(line.tax for line in eligible),
                    "tax_behavior": behavior,
                    "tax_rate_details": {"tax_rate": "txr_sandbox"} if collected else None,
                    "taxability_reason": "standard_rated" if collected else "not_collecting",
                    "taxable_amount": sum(line.taxable for line in eligible) if collected else 0,
                    "type": "tax_rate_details",
                }
            )
    return entries
