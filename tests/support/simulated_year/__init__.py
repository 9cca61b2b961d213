"""
A year of a magazine: readers with lives of their own, weather between Stripe and us, and an oracle that knows neither.

The oracle reads Stripe's books alone and says what must be true of each reader; it shares no line with the service's rules,
so a rule that is wrong in the service is a difference here. Everything random comes from one seed.
"""
