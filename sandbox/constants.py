"""Public constants. The secrets give access to a local sandbox only."""

from typing import Final

API_VERSION: Final = "2026-10-28.endive"
"""The only version of Stripe's API that the sandbox serves: the one the pinned SDK was made for."""

DEFAULT_KEY: Final = "sk_test_sandbox_public"
"""Secret key of the default account. Public: it has no value anywhere else."""

DEFAULT_SIGNING_SECRET: Final = "whsec_sandbox_public_do_not_use_live"
"""Default signing secret of `--forward-to`. Public: a live service must reject it."""
