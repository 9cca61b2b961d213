"""Coupons and promotion codes: whether they can be redeemed, and the discounts that result."""

from sandbox.billing import periods
from sandbox.errors import StripeError, invalid
from sandbox.json_types import JsonObject
from sandbox.store.accounts import Account, new_id


def coupon_of(account: Account, given: JsonObject, *, customer_id: str | None, param: str) -> tuple[str, str | None]:
    """
    Return the IDs of the coupon and the promotion code in one entry of `discounts[]`.

    :raises StripeError: 400 if the entry has both or neither, or if they cannot be redeemed.
    """
    if ("coupon" in given) == ("promotion_code" in given):
        raise invalid("You must specify exactly one of coupon and promotion_code.", param=param)
    if "coupon" in given:
        coupon = account.get("coupon", given["coupon"], param=f"{param}[coupon]", status=400)
        check_coupon(account, coupon, param=f"{param}[coupon]")
        return coupon["id"], None
    code = account.get("promotion_code", given["promotion_code"], param=f"{param}[promotion_code]", status=400)
    check_promotion_code(account, code, customer_id=customer_id, param=f"{param}[promotion_code]")
    return code["promotion"]["coupon"], code["id"]


def check_currency(account: Account, chosen: list[tuple[str, str | None]], currency: str, *, param: str) -> None:
    """Raise Stripe's 400 if a coupon takes off an amount in another currency."""
    for coupon_id, _ in chosen:
        coupon = account.get("coupon", coupon_id)
        if coupon["currency"] not in (None, currency):
            message = f"The coupon {coupon_id} has the currency {coupon['currency']}, not {currency}."
            raise invalid(message, param=param)


def check_coupon(account: Account, coupon: JsonObject, *, param: str) -> None:
    """Raise Stripe's 400 if a coupon can no longer be redeemed."""
    if not is_valid(account, coupon):
        raise invalid(f"Coupon {coupon['id']} is expired and cannot be applied.", param=param, code="coupon_expired")


def is_valid(account: Account, coupon: JsonObject) -> bool:
    """Return whether a coupon can be redeemed."""
    spent = coupon["max_redemptions"] is not None and coupon["times_redeemed"] >= coupon["max_redemptions"]
    late = coupon["redeem_by"] is not None and coupon["redeem_by"] <= account.now()
    return not spent and not late


def check_promotion_code(account: Account, code: JsonObject, *, customer_id: str | None, param: str) -> None:
    """Raise Stripe's 400 if this customer cannot redeem a promotion code."""
    expired = code["expires_at"] is not None and code["expires_at"] <= account.now_for(customer_id)
    spent = code["max_redemptions"] is not None and code["times_redeemed"] >= code["max_redemptions"]
    if not code["active"] or expired or spent:
        raise _refused("This promotion code is expired.", param, "promotion_code_expired" if expired else None)
    if code["customer"] is not None and code["customer"] != customer_id:
        raise _refused("This promotion code cannot be redeemed by this customer.", param)
    if code["restrictions"]["first_time_transaction"] and _has_paid(account, customer_id):
        message = "This promotion code cannot be redeemed because the associated customer has prior transactions."
        raise _refused(message, param, "promotion_code_customer_not_first_time")
    check_coupon(account, account.get("coupon", code["promotion"]["coupon"]), param=param)


def check_minimum(account: Account, code_id: str | None, amount: int, currency: str, *, param: str) -> None:
    """Raise Stripe's 400 if an order, before discounts, is below the minimum of a promotion code."""
    code = account.find("promotion_code", code_id)
    minimum = code["restrictions"]["minimum_amount"] if code else None
    if code is None or minimum is None:
        return
    if code["restrictions"]["minimum_amount_currency"] != currency or amount < minimum:
        message = "This promotion code cannot be redeemed because the order does not meet its minimum amount."
        raise _refused(message, param, "promotion_code_minimum_amount_not_met")


def _refused(message: str, param: str, code: str | None = None) -> StripeError:
    return invalid(message, param=param, code=code)


def _has_paid(account: Account, customer_id: str | None) -> bool:
    return customer_id is not None and any(
        charge["customer"] == customer_id and charge["paid"] for charge in account.all("charge")
    )


def redeem(
    account: Account, coupon_id: str, promotion_code_id: str | None, *, customer_id: str, **where: str | None
) -> JsonObject:
    """Create a discount and count the redemption. `where` names its owner, such as `subscription`."""
    coupon = account.get("coupon", coupon_id)
    with account.track_changes(coupon, "coupon.updated"):
        coupon["times_redeemed"] += 1
    if promotion_code_id:
        code = account.get("promotion_code", promotion_code_id)
        with account.track_changes(code, "promotion_code.updated"):
            code["times_redeemed"] += 1
    now = account.now_for(customer_id)
    months = coupon["duration_in_months"]
    return account.add(
        {
            "id": new_id("di"),
            "object": "discount",
            "customer": customer_id,
            "end": periods.add_intervals(now, {"interval": "month", "interval_count": 1}, months) if months else None,
            "promotion_code": promotion_code_id,
            "source": {"coupon": coupon_id, "type": "coupon"},
            "start": now,
            **where,
        }
    )


def active_discounts(account: Account, discount_ids: list[str], at: int) -> list[str]:
    """Return the discounts that have not ended at a time."""
    ends = {discount_id: account.get("discount", discount_id)["end"] for discount_id in discount_ids}
    return [discount_id for discount_id, end in ends.items() if end is None or end > at]


def coupons_of(account: Account, discount_ids: list[str]) -> dict[str, JsonObject]:
    """Return coupons by discount ID. A deleted coupon is returned as it was."""
    found = {}
    for discount_id in discount_ids:
        coupon_id = account.get("discount", discount_id)["source"]["coupon"]
        coupon = account.find("coupon", coupon_id) or (account.find_with_deleted("coupon", coupon_id) or {}).get("_was")
        if coupon is not None:
            found[discount_id] = coupon
    return found
