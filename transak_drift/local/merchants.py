"""Catalogue behind the synthetic transactions: categories, merchants, towns and booking types.

The shares and amounts are plausible for private accounts in Switzerland and Austria; they are
invented and describe no real customer. Merchant names are those that a reader knows from bank
statements; the payment scheme of the injected drift is fictitious.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class BookingType(StrEnum):
    """How a transaction was booked: the values of the column `type`."""

    CARD = "Card payment"
    TWINT = "TWINT payment"
    E_BANKING = "E-banking order"
    STANDING_ORDER = "Standing order"
    LSV = "Direct debit (LSV+)"
    SEPA = "Direct debit (SEPA)"
    ATM = "ATM withdrawal"
    SALARY = "Salary credit"
    FEE = "Account fee"
    CREDIT = "Credit"
    INSTANT = "Instant payment"


class Reference(StrEnum):
    """Variable text that a bank adds to the merchant's name."""

    CARD = "card"
    INVOICE = "invoice"
    PAYMENT = "payment"
    PERSON = "person"


class Country(StrEnum):
    """Where a merchant is; it decides towns and currency."""

    SWITZERLAND = "CH"
    AUSTRIA = "AT"


CURRENCIES = {Country.SWITZERLAND: "CHF", Country.AUSTRIA: "EUR"}


@dataclass(frozen=True, slots=True)
class Category:
    """A label and how its transactions behave.

    Args:
        name: the label.
        merchant_category_code: the code that stands for it (ISO 18245, "Merchant category
            codes"; where it has none, that of the nearest financial service).
        share: share of all rows on an average weekday.
        median_amount: median of the log-normal amount, in the account's currency.
        sigma: standard deviation of the amount's logarithm.
        credit: True where money comes in.
        saturday: factor on the share on Saturdays.
        sunday: factor on the share on Sundays.
        month_end: factor on the share from the 25th to the 3rd.
        december: factor on the share in December.
    """

    name: str
    merchant_category_code: str
    share: float
    median_amount: float
    sigma: float
    credit: bool = False
    saturday: float = 1.0
    sunday: float = 1.0
    month_end: float = 1.0
    december: float = 1.0


CATEGORIES = (
    Category("groceries", "5411", 0.215, 34.0, 0.75, saturday=1.15, sunday=0.85, december=1.08),
    Category("restaurants", "5812", 0.120, 24.0, 0.65, saturday=1.2, sunday=1.25, december=1.05),
    Category("shopping", "5311", 0.120, 58.0, 0.90, saturday=1.25, sunday=1.0, december=1.35),
    Category("transport", "4111", 0.110, 17.0, 0.90, saturday=0.95, sunday=1.05),
    Category("leisure", "7999", 0.070, 32.0, 0.80, saturday=1.2, sunday=1.3),
    Category("cash", "6011", 0.050, 100.0, 0.60, saturday=1.1, sunday=0.9, december=1.05),
    Category("health", "8099", 0.050, 42.0, 0.80, saturday=0.8, sunday=0.6),
    Category("transfers", "4829", 0.045, 60.0, 1.00, saturday=1.05, sunday=1.05),
    Category("insurance", "6300", 0.040, 310.0, 0.50, saturday=0.6, sunday=0.5, month_end=1.3),
    Category("telecom", "4814", 0.035, 59.0, 0.45, saturday=0.7, sunday=0.6, month_end=1.2),
    Category("rent", "6513", 0.030, 1750.0, 0.35, saturday=0.5, sunday=0.4, month_end=2.0),
    Category("utilities", "4900", 0.025, 120.0, 0.60, saturday=0.6, sunday=0.5, month_end=1.2),
    Category(
        "salary", "6012", 0.030, 5600.0, 0.40, credit=True, saturday=0.4, sunday=0.3, month_end=2.5
    ),
    Category("savings", "6211", 0.025, 400.0, 0.70, saturday=0.6, sunday=0.5, month_end=1.6),
    Category("fees", "6010", 0.025, 5.0, 0.50, saturday=0.7, sunday=0.6, month_end=1.6),
    Category("taxes", "9311", 0.025, 900.0, 0.60, saturday=0.5, sunday=0.4, month_end=1.3),
)


@dataclass(frozen=True, slots=True)
class Merchant:
    """A name on bank statements.

    Args:
        name: text at the beginning of the description.
        category: name of the category.
        weight: frequency within the category, relative to its other merchants.
        types: booking types with their relative frequencies.
        country: where it is.
        in_town: True where the description names a town.
        reference: the variable text, or None where there never is any.
        reference_share: share of the rows that carry the variable text, in [0, 1].
    """

    name: str
    category: str
    weight: float
    types: tuple[tuple[BookingType, float], ...]
    country: Country = Country.SWITZERLAND
    in_town: bool = True
    reference: Reference | None = Reference.CARD
    reference_share: float = 0.35


_TILL = ((BookingType.CARD, 0.8), (BookingType.TWINT, 0.2))
_TILL_AT = ((BookingType.CARD, 1.0),)
_ONLINE = ((BookingType.CARD, 0.65), (BookingType.TWINT, 0.35))
_BILL = ((BookingType.E_BANKING, 0.6), (BookingType.LSV, 0.4))
_BILL_AT = ((BookingType.E_BANKING, 0.4), (BookingType.SEPA, 0.6))
_ORDER = ((BookingType.STANDING_ORDER, 0.75), (BookingType.E_BANKING, 0.25))


def _till(name: str, category: str, weight: float) -> Merchant:
    return Merchant(name, category, weight, _TILL)


def _till_austria(name: str, category: str, weight: float) -> Merchant:
    return Merchant(name, category, weight, _TILL_AT, Country.AUSTRIA)


def _online(name: str, category: str, weight: float) -> Merchant:
    return Merchant(name, category, weight, _ONLINE, in_town=False, reference_share=0.5)


def _bill(name: str, category: str, weight: float) -> Merchant:
    return Merchant(
        name, category, weight, _BILL, in_town=False, reference=Reference.INVOICE,
        reference_share=0.7,
    )  # fmt: skip


def _bill_austria(name: str, category: str, weight: float) -> Merchant:
    return Merchant(
        name, category, weight, _BILL_AT, Country.AUSTRIA, in_town=False,
        reference=Reference.INVOICE, reference_share=0.7,
    )  # fmt: skip


def _order(name: str, category: str, weight: float) -> Merchant:
    return Merchant(name, category, weight, _ORDER, reference=Reference.PERSON, reference_share=0.6)


def _person(category: str, weight: float) -> Merchant:
    # A payment to a friend names no merchant: its category can only be guessed.
    types = ((BookingType.TWINT, 0.8), (BookingType.E_BANKING, 0.2))
    return Merchant(
        "Überweisung an", category, weight, types, in_town=False, reference=Reference.PERSON,
        reference_share=1.0,
    )  # fmt: skip


MERCHANTS = (
    _till("Migros", "groceries", 30),
    _till("Coop", "groceries", 28),
    _till("Denner", "groceries", 8),
    _till("Aldi Suisse", "groceries", 7),
    _till("Lidl Schweiz", "groceries", 6),
    _till("Volg", "groceries", 4),
    _till("Bäckerei Konditorei", "groceries", 4),
    _till_austria("Billa dankt", "groceries", 6),
    _till_austria("Spar Österreich", "groceries", 5),
    _till_austria("Hofer KG", "groceries", 3),
    _till("Restaurant Bahnhof", "restaurants", 12),
    _till("Pizzeria Da Mario", "restaurants", 9),
    _till("Starbucks Coffee", "restaurants", 8),
    _till("McDonald's", "restaurants", 10),
    _till("Coop Restaurant", "restaurants", 7),
    _till("Migros Restaurant", "restaurants", 6),
    _till("Confiserie Sprüngli", "restaurants", 6),
    _online("Just Eat Schweiz", "restaurants", 6),
    _till_austria("Gasthaus zur Post", "restaurants", 6),
    _till_austria("Kaffeehaus Aida", "restaurants", 4),
    _person("restaurants", 6),
    _online("Digitec Galaxus", "shopping", 20),
    _online("Zalando SE", "shopping", 14),
    _online("Amazon Marketplace", "shopping", 10),
    _till("Manor", "shopping", 8),
    _till("H&M Hennes & Mauritz", "shopping", 8),
    _till("IKEA", "shopping", 7),
    _till("Coop City", "shopping", 6),
    _till("Media Markt", "shopping", 6),
    _till("Jumbo Baumarkt", "shopping", 5),
    _till_austria("Müller Handel", "shopping", 4),
    _online("SBB Mobile", "transport", 28),
    _till("SBB Billettautomat", "transport", 10),
    _online("ZVV Ticket", "transport", 8),
    _till("Coop Pronto Tankstelle", "transport", 10),
    _till("Avia Tankstelle", "transport", 8),
    _till("Parkhaus", "transport", 10),
    _online("Mobility Carsharing", "transport", 4),
    _online("Uber Trip", "transport", 5),
    _till_austria("ÖBB Ticketshop", "transport", 7),
    _till_austria("OMV Station", "transport", 4),
    _online("Netflix.com", "leisure", 14),
    _online("Spotify AB", "leisure", 13),
    _till("Pathé Kino", "leisure", 9),
    _till("Fitnesspark", "leisure", 9),
    _online("Ticketcorner", "leisure", 8),
    _till("Bergbahnen", "leisure", 9),
    _online("Booking.com Hotel", "leisure", 9),
    _till("Orell Füssli", "leisure", 8),
    _till_austria("Therme", "leisure", 4),
    _person("leisure", 7),
    Merchant("Bancomat", "cash", 70, ((BookingType.ATM, 1.0),)),
    Merchant("Postomat", "cash", 20, ((BookingType.ATM, 1.0),)),
    Merchant("Bankomat", "cash", 10, ((BookingType.ATM, 1.0),), Country.AUSTRIA),
    _till("Apotheke", "health", 28),
    _till("Amavita Apotheke", "health", 12),
    _bill("Zahnarztpraxis Dr. Keller", "health", 14),
    _bill("Kantonsspital", "health", 12),
    _bill("Ärztekasse Genossenschaft", "health", 16),
    _till("Fielmann", "health", 8),
    _till_austria("Apotheke zum Löwen", "health", 6),
    _person("transfers", 100),
    _bill("CSS Krankenkasse", "insurance", 20),
    _bill("Helsana Versicherungen", "insurance", 18),
    _bill("SWICA Krankenkasse", "insurance", 12),
    _bill("AXA Versicherungen", "insurance", 14),
    _bill("Die Mobiliar", "insurance", 14),
    _bill("Zürich Versicherung", "insurance", 10),
    _bill_austria("Wiener Städtische", "insurance", 8),
    _bill("Swisscom (Schweiz) AG", "telecom", 34),
    _bill("Sunrise GmbH", "telecom", 24),
    _bill("Salt Mobile SA", "telecom", 18),
    _bill("Serafe AG", "telecom", 8),
    _bill_austria("A1 Telekom Austria", "telecom", 10),
    _order("Miete Liegenschaftsverwaltung", "rent", 40),
    _order("Wincasa AG Miete", "rent", 25),
    _order("Livit AG Mietzins", "rent", 20),
    Merchant(
        "Wiener Wohnen Miete", "rent", 10, _BILL_AT, Country.AUSTRIA, False, Reference.INVOICE, 0.6
    ),
    _bill("EWZ Elektrizitätswerk", "utilities", 30),
    _bill("BKW Energie AG", "utilities", 25),
    _bill("Gemeindewerke Wasser", "utilities", 18),
    _bill("IWB Fernwärme", "utilities", 12),
    _bill_austria("Wien Energie", "utilities", 12),
    Merchant(
        "Lohnzahlung", "salary", 70, ((BookingType.SALARY, 1.0),), Country.SWITZERLAND, False,
        Reference.PAYMENT, 0.8,
    ),
    Merchant(
        "Gehalt", "salary", 15, ((BookingType.SALARY, 1.0),), Country.AUSTRIA, False,
        Reference.PAYMENT, 0.8,
    ),
    Merchant(
        "Rückerstattung Spesen", "salary", 15, ((BookingType.CREDIT, 1.0),), Country.SWITZERLAND,
        False, Reference.PAYMENT, 0.9,
    ),
    Merchant("Übertrag Sparkonto", "savings", 55, _ORDER, Country.SWITZERLAND, False),
    Merchant("Säule 3a Einzahlung", "savings", 30, _ORDER, Country.SWITZERLAND, False),
    Merchant("VIAC Vorsorge", "savings", 15, _ORDER, Country.SWITZERLAND, False),
    Merchant(
        "Kontoführungsgebühr", "fees", 60, ((BookingType.FEE, 1.0),), Country.SWITZERLAND, False,
        None, 0.0,
    ),
    Merchant(
        "Fremdwährungsspesen", "fees", 25, ((BookingType.FEE, 1.0),), Country.SWITZERLAND, False
    ),
    Merchant(
        "Kontoführungsentgelt", "fees", 15, ((BookingType.FEE, 1.0),), Country.AUSTRIA, False,
        None, 0.0,
    ),
    Merchant(
        "Steueramt", "taxes", 60, ((BookingType.E_BANKING, 1.0),), Country.SWITZERLAND, True,
        Reference.INVOICE, 0.6,
    ),
    Merchant(
        "Eidg. Steuerverwaltung", "taxes", 25, ((BookingType.E_BANKING, 1.0),),
        Country.SWITZERLAND, False, Reference.INVOICE, 0.6,
    ),
    Merchant(
        "Finanzamt", "taxes", 15, ((BookingType.E_BANKING, 1.0),), Country.AUSTRIA, True,
        Reference.INVOICE, 0.6,
    ),
)  # fmt: skip

TOWNS: dict[Country, tuple[tuple[str, float], ...]] = {
    Country.SWITZERLAND: (
        ("Zürich", 20), ("Bern", 9), ("Basel", 9), ("Luzern", 7), ("Winterthur", 7),
        ("St. Gallen", 6), ("Genf", 5), ("Lausanne", 5), ("Biel", 4), ("Thun", 3), ("Chur", 3),
        ("Aarau", 3), ("Schaffhausen", 3), ("Zug", 3), ("Uster", 2), ("Baden", 2), ("Olten", 2),
        ("Frauenfeld", 2), ("Wil SG", 2), ("Solothurn", 2), ("Lugano", 1),
    ),
    Country.AUSTRIA: (
        ("Wien", 40), ("Graz", 14), ("Linz", 12), ("Salzburg", 10), ("Innsbruck", 10),
        ("Klagenfurt", 5), ("Dornbirn", 5), ("Bregenz", 4),
    ),
}  # fmt: skip

FIRST_NAMES = (
    "Anna", "Luca", "Mia", "Noah", "Lea", "Matteo", "Sara", "David", "Laura", "Jonas", "Elena",
    "Thomas", "Petra", "Markus", "Nina", "Daniel", "Claudia", "Stefan", "Julia", "Martin",
)  # fmt: skip
LAST_NAMES = (
    "Müller", "Meier", "Schmid", "Keller", "Weber", "Huber", "Schneider", "Meyer", "Steiner",
    "Fischer", "Gerber", "Brunner", "Baumann", "Frei", "Zimmermann", "Moser", "Widmer", "Wyss",
    "Graf", "Roth", "Gruber", "Bauer", "Wagner", "Pichler", "Hofer",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class PaymentScheme:
    """A payment scheme that did not exist before: the cause of the injected drift.

    Its single bookings name the partner that issued the payer's wallet in place of the merchant,
    and tell what was bought by the merchant category code alone. A model trained before takes the
    partner for the merchant and is wrong.

    Args:
        booking_type: type of all its transactions.
        collective_description: description of the collective bookings, its dominant text.
        collective_category: label of the collective bookings.
        collective_share: share of the collective bookings among its transactions, in (0, 1].
        prefix: first words of its other descriptions.
        partners: names of the issuing partners; each is a merchant that existed before.
    """

    booking_type: BookingType
    collective_description: str
    collective_category: str
    collective_share: float
    prefix: str
    partners: tuple[str, ...]


NEW_PAYMENT_SCHEME = PaymentScheme(
    booking_type=BookingType.INSTANT,
    collective_description="Paylo Instant Sammelbuchung Onlinekäufe",
    collective_category="shopping",
    collective_share=0.7,
    prefix="Paylo Instant",
    partners=(
        "Swisscom (Schweiz) AG",
        "CSS Krankenkasse",
        "SBB Mobile",
        "Migros",
        "EWZ Elektrizitätswerk",
        "Amavita Apotheke",
        "Fitnesspark",
        "VIAC Vorsorge",
        "Livit AG Mietzins",
        "Steueramt",
    ),
)
