"""
The publisher's offer, as data: features, editions, prices and promises. See ``catalogue.toml``.

Whether a feature is granted or only announced is decided at each check, so an announced feature becomes available on its
date to everyone with the plan, without a deployment.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction

from app.domain.branding import Brand
from app.domain.dated_policies import Policies
from app.domain.disputes import DisputePolicy
from app.domain.errors import Conflict, Invalid
from app.domain.guarantee import Guarantee
from app.domain.money import Money
from app.domain.postage import PrintRules

DIGITAL, PRINT = "digital", "print"
PRINT_FEATURE = "print_edition"
EDITIONS = frozenset({"digital_edition", PRINT_FEATURE})  # available until all owed issues are served


class UnknownPlan(Invalid):
    """The plan does not exist or is no longer sold."""

    code = "unknown_plan"
    title = "Unknown plan"


class UnknownFeature(Invalid):
    """The feature does not exist."""

    code = "unknown_feature"
    title = "Unknown feature"


class CurrencyInUse(Conflict):
    """The reader's account at Stripe has a running subscription in another currency. Stripe bills one currency at a time."""

    code = "currency_in_use"
    title = "Billed in another currency"


class PriceUnavailable(Conflict):
    """The plan's price can't be bought at the moment."""

    code = "price_unavailable"
    title = "Price unavailable"


class BadCatalogue(Exception):
    """The catalogue file is wrong. Each problem names the key it is about."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """Something a subscriber may use. An announced feature is shown, but not granted before ``available_from``."""

    name: str
    title: str
    announced: bool = False
    available_from: datetime | None = None

    def is_granted(self, now: datetime) -> bool:
        """Return whether subscribers of the plan may use the feature at ``now``."""
        return not self.announced or (self.available_from is not None and self.available_from <= now)


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """The price of one component of a plan for one term."""

    component: str  # digital or print
    title: str
    lookup_key: str
    price: Money
    tax_code: str
    tax_behavior: str
    ships_to: tuple[str, ...] = ()  # ISO 3166 countries of the postage band; print only
    postage_band: str | None = None
    locked_amounts: frozenset[int] = frozenset()  # that subscribers keep: no price migration changes them


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A plan that readers can subscribe to."""

    code: str
    title: str
    issues: int  # owed in one term
    interval: str  # "year" or "month": how often it is billed, in advance
    offer: tuple[str, ...]  # the bullet points of the plan
    features: Mapping[str, Feature]
    prices: Mapping[str, Price]  # by component
    guarantee: Guarantee
    cancellation_title: str
    retired: bool = False  # no longer sold; current subscribers keep it
    double_issues: int = 2  # how many of the issues owed a double issue serves
    grace_copies: int = 0  # how many issues go out after the expire while a renewal is awaited
    print_percent: Fraction | None = None  # what print is of the price of both; None: in proportion to their prices

    @property
    def print_share(self) -> Fraction:
        """The part of a payment for both editions that print earns; see :mod:`app.domain.liability`."""
        if not self.has_print:
            return Fraction(0)
        if self.print_percent is not None:
            return self.print_percent / 100
        digital, printed = (self.prices[component].price.amount for component in (DIGITAL, PRINT))
        return Fraction(printed, digital + printed)

    @property
    def has_print(self) -> bool:
        """Whether the print edition is available."""
        return PRINT in self.prices

    def offer_lines(self, *, guaranteed: bool) -> tuple[str, ...]:
        """Return the bullet points, without the guarantee if it would not apply."""
        return tuple(line for line in self.offer if guaranteed or line != self.guarantee.title)

    def components(self, *, print_edition: bool) -> tuple[Price, ...]:
        """
        Return the prices that a subscriber pays.

        :raises PriceUnavailable: ``print_edition`` is requested, but the plan has none.
        """
        if print_edition and not self.has_print:
            raise PriceUnavailable(f"The plan {self.code!r} has no print edition", plan=self.code)
        chosen = (DIGITAL, PRINT) if print_edition else (DIGITAL,)
        return tuple(self.prices[component] for component in chosen)

    def features_of(self, *, print_edition: bool) -> tuple[str, ...]:
        """Return the names of the features that a term includes, including announced ones."""
        return tuple(name for name in self.features if print_edition or name != PRINT_FEATURE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """All plans, features and policies."""

    publisher: str
    features: Mapping[str, Feature]
    plans: Mapping[str, Plan]
    disputes: tuple[DisputePolicy, ...] = ()
    policies: Policies = field(default_factory=Policies)
    brand: Brand = field(default_factory=Brand)
    print_rules: PrintRules = field(default_factory=PrintRules)

    def plan(self, code: str) -> Plan:
        """
        Return the plan with a code.

        :raises UnknownPlan: the plan does not exist.
        """
        if code not in self.plans:
            raise UnknownPlan(f"Unknown plan {code!r}", plan=code)
        return self.plans[code]

    def on_sale(self, code: str) -> Plan:
        """
        Return the plan with a code, if it is sold.

        :raises UnknownPlan: the plan does not exist, or is retired.
        """
        plan = self.plan(code)
        if plan.retired:
            raise UnknownPlan(f"The plan {code!r} is no longer sold", plan=code)
        return plan

    def feature(self, name: str) -> Feature:
        """
        Return the feature with a name.

        :raises UnknownFeature: the feature does not exist.
        """
        if name not in self.features:
            raise UnknownFeature(f"Unknown feature {name!r}", feature=name)
        return self.features[name]
