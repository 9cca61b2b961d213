"""
Slow Ferry: an invented magazine, as any publisher's own site might be.

It knows articles and readers, and nothing about money: no rule of access, no price and no Stripe is written here.
What it sells, who may read what and why, and every change to a subscription come from Newsstand's REST API, asked
at the moment they are needed. That makes it the shortest example of what integrating the service takes.
"""
