"""Settings that a test can change through the control API. The defaults are Stripe's behavior where it is known."""

from collections.abc import Callable
from dataclasses import dataclass, field

from sandbox.errors import invalid
from sandbox.json_types import JsonObject

_LARGEST_SEED = 2**63


@dataclass(kw_only=True)
class Settings:
    """Settings of one account."""

    deliver: bool = True
    """False holds all webhook deliveries until it is true again."""
    order: str = "made"
    """`made` sends immediately, roughly in order; `any` collects deliveries for a moment and shuffles them."""
    duplicates: float = 0.0
    """Fraction of deliveries that are sent twice, from 0 to 1."""
    loss: float = 0.0
    """Fraction of deliveries that are lost without a retry, from 0 to 1."""
    delay_seconds: float | list[float] = 0.0
    """Seconds before each delivery, or a list of the minimum and the maximum."""
    equal_seconds: bool = False
    """Whether all events get the creation time of the first event after the change."""
    retry_schedule: str = "seconds"
    """`seconds` retries in real time (`retry_seconds`); `stripe` retries for three days of a clock that tests advance."""
    retry_seconds: list[float] = field(default_factory=lambda: [0.2, 0.5, 1, 2, 5, 10, 30])
    """Seconds from each failed delivery to the next attempt."""
    rate_limits: bool | dict[str, float] = False
    """True applies Stripe's limits; an object sets requests per second: `{"overall": 100, "endpoint": 25}`."""
    seed: int = 0
    """Seed of all randomness in the account: order, loss, duplicates, delays and the probability of faults."""
    tax_rate: float = 0.0
    """Percentage of tax that `automatic_tax` calculates everywhere. 0 collects no tax."""
    retry_days: list[int] = field(default_factory=lambda: [3, 5, 7])
    """Days from each failed renewal payment to the next attempt."""
    after_first_failure: str = "past_due"
    """What happens to a subscription after the first failed attempt: `past_due` or `pause`."""
    after_retries: str = "cancel"
    """What happens to a subscription after the last failed attempt: `cancel`, `unpaid`, `past_due` or `pause`."""
    payment_methods: list[str] = field(default_factory=lambda: ["card"])
    """Payment method types that checkout offers, as in Stripe's Dashboard. Debits are offered in their own currency."""
    debit_seconds: int = 2
    """Seconds that a direct debit is processing."""
    refund_seconds: int = 2
    """Seconds until a refund changes its status, with the test cards that cause it."""

    def update(self, changes: JsonObject) -> None:
        """
        Change some settings.

        :raises StripeError: 400 for an unknown name or an invalid value; nothing is changed then.
        """
        for name, value in changes.items():
            rule = _RULES.get(name)
            if rule is None:
                raise invalid(f"Unknown setting: {name}. Known settings: {', '.join(_RULES)}.", param=name)
            fits, meaning = rule
            if not fits(value):
                raise invalid(f"Invalid {name}: {value!r}. It must be {meaning}.", param=name)
        for name, value in changes.items():
            setattr(self, name, value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf")


def _is_whole_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _LARGEST_SEED


def _is_boolean(value: object) -> bool:
    return isinstance(value, bool)


def _is_fraction(value: object) -> bool:
    return _is_number(value) and value <= 1  # type: ignore[operator]


def _is_per_cent(value: object) -> bool:
    return _is_number(value) and value <= 100  # type: ignore[operator]


def _are_intervals(value: object) -> bool:
    return isinstance(value, list) and all(_is_number(item) and item > 0 for item in value)


def _are_payment_methods(value: object) -> bool:
    known = {"card", "sepa_debit", "us_bank_account", "bacs_debit"}
    return isinstance(value, list) and bool(value) and all(isinstance(item, str) and item in known for item in value)


def _is_delay(value: object) -> bool:
    if isinstance(value, list):
        return len(value) == 2 and all(map(_is_number, value)) and value[0] <= value[1]
    return _is_number(value)


def _are_limits(value: object) -> bool:
    if isinstance(value, dict):
        return value.keys() <= {"overall", "endpoint"} and all(_is_number(n) and n > 0 for n in value.values())
    return isinstance(value, bool)


def _one_of(*words: str) -> tuple[Callable[[object], bool], str]:
    return lambda value: isinstance(value, str) and value in words, f"one of {', '.join(words)}"


_RULES: dict[str, tuple[Callable[[object], bool], str]] = {
    "deliver": (_is_boolean, "true or false"),
    "order": _one_of("made", "any"),
    "duplicates": (_is_fraction, "a number from 0 to 1"),
    "loss": (_is_fraction, "a number from 0 to 1"),
    "delay_seconds": (_is_delay, "a number of seconds, or a list of the minimum and the maximum"),
    "equal_seconds": (_is_boolean, "true or false"),
    "retry_schedule": _one_of("seconds", "stripe"),
    "retry_seconds": (_are_intervals, "a list of positive numbers of seconds"),
    "rate_limits": (_are_limits, 'true, false, or {"overall": n, "endpoint": n} with more than 0 requests per second'),
    "seed": (_is_whole_number, "a whole number"),
    "tax_rate": (_is_per_cent, "a percentage from 0 to 100"),
    "retry_days": (_are_intervals, "a list of positive numbers of days"),
    "after_first_failure": _one_of("past_due", "pause"),
    "after_retries": _one_of("cancel", "unpaid", "past_due", "pause"),
    "payment_methods": (_are_payment_methods, "a list of card, sepa_debit, us_bank_account and bacs_debit"),
    "debit_seconds": (_is_whole_number, "a whole number of seconds"),
    "refund_seconds": (_is_whole_number, "a whole number of seconds"),
}
"""For each setting, its validation and a description of valid values."""
