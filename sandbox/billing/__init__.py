"""
What several nouns share: invoices, the money for them, and the life of a subscription.

`amounts` and `periods` are arithmetic; `discounts` redeems coupons. An invoice is made of `entries`, some of which were
`waiting` for it as invoice items; `invoicing` makes and finalises it; `charging` takes the money, by `intents`, and
`banks` have something to say about that afterwards. `subscribing` begins a subscription, with one of the `trials`
perhaps; `renewals` turns its periods and tries again what failed; `changing` changes its items, worth `prorations`;
`pausing` lets it rest; `endings` ends it.
"""
