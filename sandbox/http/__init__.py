"""HTTP: requests, routing, parameters, pagination, idempotency and rate limits."""
