"""
The SDK's types, run as a contract.

The SDK is generated from Stripe's own API description, so it says for each route which parameters it takes and what
it returns. `routes` reads that table from the SDK's source, `requests` checks and types parameters, `responses`
checks what the sandbox is about to send. Only here does the sandbox touch the SDK's dynamic typing.
"""
