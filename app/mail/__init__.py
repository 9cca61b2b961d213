"""
Mail: templates compiled at start-up, messages, and the connection to the mail server.

It knows neither the database nor Stripe. :mod:`app.services.notifications` decides what is sent and records the result.
"""
