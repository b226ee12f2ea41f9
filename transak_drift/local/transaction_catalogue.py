"""What the synthetic transactions are made of: `transaction_catalogue.json`, read once.

The shares and amounts are plausible for private accounts in Switzerland and Austria; they are
invented and describe no real customer. Merchant names are those that a reader knows from bank
statements; the payment scheme of the injected drift is fictitious.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import BaseModel

SWITZERLAND, AUSTRIA = "CH", "AT"
Country = Literal["CH", "AT"]


class BookingProfile(BaseModel, frozen=True):
    """How the bookings of a kind of merchant look on a bank statement.

    `types` are the values of that column with their relative frequencies, `reference` a variable
    text after the merchant's name in a share of the rows.
    """

    types: Mapping[str, float]
    country: Country = SWITZERLAND
    in_town: bool = True
    reference: Literal["card", "invoice", "payment", "person"] | None = "card"
    reference_share: float = 0.35


class Merchant(NamedTuple):
    """A name on bank statements; the weight is its frequency within its category."""

    name: str
    booking_profile: str
    weight: float


class Category(BaseModel, frozen=True):
    """A label and how its transactions behave.

    The code is of ISO 18245 (where that has none, the nearest financial service's), `share` that of
    all rows on an average weekday, with factors on it for other days. The amount is log-normal, in
    the account's currency.
    """

    name: str
    merchant_category_code: str
    share: float
    saturday: float = 1.0
    sunday: float = 1.0
    month_end: float = 1.0
    december: float = 1.0
    median_amount: float
    sigma: float
    credit: bool = False
    merchants: tuple[Merchant, ...]


class CountryEntry(BaseModel, frozen=True):
    """The towns of a country with their relative frequencies, and its currency."""

    currency: str
    towns: Mapping[str, float]


class PaymentScheme(BaseModel, frozen=True):
    """A payment scheme that did not exist before: the cause of the injected drift.

    A share of its bookings are collective ones with one description. The others name the partner
    that issued the payer's wallet in place of the merchant, and what was bought by the merchant
    category code alone: a model trained before takes the partner for the merchant and is wrong.
    """

    booking_type: str
    collective_description: str
    collective_category: str
    collective_share: float
    prefix: str
    partners: tuple[str, ...]


class Catalogue(BaseModel, frozen=True):
    """Everything that the generator draws from."""

    booking_profiles: Mapping[str, BookingProfile]
    categories: tuple[Category, ...]
    countries: Mapping[Country, CountryEntry]
    first_names: tuple[str, ...]
    last_names: tuple[str, ...]
    new_payment_scheme: PaymentScheme


@cache
def catalogue() -> Catalogue:
    """Return the catalogue that comes with this package."""
    text = Path(__file__).with_suffix(".json").read_text(encoding="utf-8")
    return Catalogue.model_validate_json(text)
