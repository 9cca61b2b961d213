"""
A simulated year of print: readers, their copies and their money, beside a model that shares no code with the service.

The model (:mod:`.ledger`, :mod:`.liability`) knows what readers did, what Stripe's invoices say, and the calendar. It goes
through the issues one by one, as a clerk with a card index would.
"""
