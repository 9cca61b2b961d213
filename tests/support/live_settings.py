"""Settings with a live key that are safe, so that a test can make one of them dangerous. Nothing in them is real."""

LIVE = {
    "STRIPE_API_KEY": "sk_live_51real",
    "STRIPE_URL": "https://api.stripe.com",
    "WEBHOOK_SECRETS": "whsec_Vb8qLx2RkTn5WzYc7HdMf3JpGs9KuEa4",  # pragma: allowlist secret
    "OIDC_ISSUER": "https://login.example.com",
    "ALLOWED_HOSTS": "billing.example.com",
    "ALLOWED_RETURN_HOSTS": "magazine.example.com",
}
