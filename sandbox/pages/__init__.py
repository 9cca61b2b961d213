"""Pages: the hosted checkout, and the dashboard at `/`. Checkout needs no JavaScript and loads nothing from other hosts."""
