"""The SQL for which term a payment within a term belongs to: see :func:`app.domain.progress.term_of`."""

from app.domain.progress import OPENING

_OPENING = ", ".join(f"'{reason}'" for reason in sorted(OPENING))


def is_later(payment: str) -> str:
    """Return the SQL for whether a payment was made within a term, such as for print, unless it opened one."""
    return f"({payment}.print_from IS NOT NULL OR {payment}.billing_reason NOT IN ({_OPENING}))"


def term_of_later(payment: str) -> str:
    """Return the SQL for the invoice of the term of a payment that :func:`is_later` and opened none."""
    return f"""(SELECT own.invoice_id FROM terms own
        WHERE own.subscription_id = {payment}.subscription_id
            AND own.starts_at <= greatest({payment}.paid_at, {payment}.print_from)
        ORDER BY own.starts_at <= coalesce({payment}.print_from, {payment}.paid_at) DESC, own.starts_at DESC,
            own.invoice_id DESC LIMIT 1)"""  # noqa: S608 - names
