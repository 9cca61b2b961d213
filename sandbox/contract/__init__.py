"""
Validation against the SDK's types.

The SDK is generated from Stripe's API description, so it defines the parameters and the response of each route.
`routes` reads that table from the SDK's source, `requests` validates and converts parameters, and `responses` validates
what the sandbox sends. Only this package uses the SDK's dynamic types.
"""
