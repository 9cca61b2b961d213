"""Constants that are public on purpose: they open nothing but a sandbox on one's own machine."""

from typing import Final

API_VERSION: Final = "2026-10-28.endive"
"""The one version of Stripe's API that the sandbox speaks; the one that the pinned SDK was made for."""

DEFAULT_KEY: Final = "sk_test_sandbox_public"
"""The default account's secret key. Public: it is worth nothing anywhere else."""

DEFAULT_SIGNING_SECRET: Final = "whsec_sandbox_public_do_not_use_live"
"""Signs what is sent to `--forward-to`. Public: a live service must refuse it."""
