"""The fields of a postal address in a form."""

from app.domain.addresses import LONGEST_LINE

MAX_LENGTH = LONGEST_LINE
# The name of each field, its label, and what browsers fill in.
ADDRESS_FIELDS = (
    ("name", "Name", "name"),
    ("line1", "Street and number, or PO box", "address-line1"),
    ("line2", "Apartment, suite or unit (optional)", "address-line2"),
    ("city", "City", "address-level2"),
    ("region", "State or province", "address-level1"),
    ("postal_code", "Postal code", "postal-code"),
    ("country", "Country, as a code of two letters", "country"),
)
