"""
Slow Ferry: the site of a fictional magazine.

It knows about articles and readers, and contains no prices, access rules or Stripe calls. It gets the plan, every
access decision and every change to a subscription from Newsstand's REST API, so it shows the least code that an
integration needs.
"""
