"""What a test can set for its account over the control API; the defaults are Stripe's, as far as Stripe has one."""

from dataclasses import dataclass, field, fields
from typing import get_type_hints

from sandbox.errors import invalid
from sandbox.jsontypes import JsonObject


@dataclass(kw_only=True)
class Settings:
    """Settings of one account."""

    deliver: bool = True
    """False holds all webhook deliveries until it is true again."""
    tax_rate: float = 0.0
    """Per cent of tax that `automatic_tax` finds everywhere. 0 means no tax is collected."""
    retry_days: list[int] = field(default_factory=lambda: [3, 5, 7])
    """Days from each failed payment of a renewal to the next attempt."""
    after_retries: str = "cancel"
    """What becomes of a subscription after the last failed attempt: `cancel`, `unpaid` or `past_due`."""
    refund_seconds: int = 2
    """Real seconds until a refund that changes its mind, by its test card, does so."""
    retry_seconds: list[float] = field(default_factory=lambda: [0.2, 0.5, 1, 2, 5, 10, 30])
    """Real seconds from each failed webhook delivery to the next."""

    def update(self, wanted: JsonObject) -> None:
        """
        Change some settings.

        :raises StripeError: 400 for an unknown name or a value of the wrong type; nothing is changed then.
        """
        for name, value in wanted.items():
            if name not in {known.name for known in fields(self)}:
                raise invalid(f"Unknown setting: {name}", param=name)
            if not _fits(name, value):
                raise invalid(f"Invalid {name}: {value!r}", param=name)
        for name, value in wanted.items():
            setattr(self, name, value)


def _fits(name: str, value: object) -> bool:
    if name == "after_retries":
        return value in ("cancel", "unpaid", "past_due")
    if name in ("retry_days", "retry_seconds"):
        return isinstance(value, list) and all(_is_number(item) and item > 0 for item in value)
    if name == "tax_rate":
        return _is_number(value) and 0 <= value <= 100  # type: ignore[operator]
    return isinstance(value, get_type_hints(Settings)[name])


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
