"""
What several nouns share: amounts, periods, discounts, invoices, charges, renewals and endings.

`amounts` and `periods` are arithmetic; `discounts` redeems coupons; `invoicing` makes and finalises invoices;
`charging` takes the money; `subscribing` begins a subscription, `renewals` turns its periods, `endings` ends it.
"""
