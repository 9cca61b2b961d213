"""Copies that did not arrive, or arrived damaged: the reader says so once, and gets another one or an issue more."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from starlette.responses import Response

from app.account import labels
from app.account.access_control import form_route, page_route
from app.account.request import AccountRequest, InvalidForm
from app.db.engine.session import new_id
from app.domain.claims import (
    ClaimResolution,
    ClaimStatus,
    ClaimTooLate,
    CopyAlreadyClaimed,
    CopyNotMailed,
    CopyNotSent,
    CopySentElsewhere,
    NothingToExtend,
    WantedClaim,
)
from app.domain.errors import DomainError, NotFound
from app.domain.issues import LARGEST_NUMBER
from app.domain.reasons import ClaimReason
from app.domain.sent_copies import SentCopy
from app.domain.subscriptions import AlreadyEnded
from app.services import claims, idempotency, sent_copies

REASONS: Mapping[str, str] = {
    ClaimReason.NOT_RECEIVED: "It didn’t arrive",
    ClaimReason.DAMAGED: "It arrived damaged",
    ClaimReason.INCOMPLETE: "Pages are missing or can’t be read",
}
RESOLUTIONS: Mapping[str, str] = {ClaimResolution.RESEND: "another copy", ClaimResolution.EXTEND: "a longer term"}
DONE: Mapping[str, str] = {
    ClaimResolution.RESEND: "We’ll mail you another copy.",
    ClaimResolution.EXTEND: "We added the missed issue to your term.",
}
STATUSES: Mapping[str, str] = {
    ClaimStatus.AWAITING_APPROVAL: "we’re looking at it",
    ClaimStatus.REJECTED: "declined",
    ClaimStatus.GRANTED: "granted",
    ClaimStatus.SENT: "sent",
}
REFUSALS: Mapping[type[DomainError], str] = {
    CopyNotSent: "We didn’t send you No. {}. Choose one of your copies.",
    NotFound: "We didn’t send you No. {}. Choose one of your copies.",
    CopySentElsewhere: "No. {} went to your address before you moved, because its labels were already printed.",
    CopyNotMailed: "No. {} isn’t mailed yet. Report it if it doesn’t arrive.",
    ClaimTooLate: "No. {} was mailed too long ago to be reported here. Please ask us for help.",
    CopyAlreadyClaimed: "You have already reported No. {}. Choose another copy.",
}
LONGEST_NOTE = 500  # characters
SHOWN = 20  # claims


async def show(request: AccountRequest) -> Response:
    """Show the form with the copies that can be claimed, and what became of earlier claims."""
    found = await claims.of_reader(request.ctx, request.sub, after=None, limit=SHOWN)
    return request.render(
        "claims.html",
        copies=await claimable(request),
        reasons=REASONS,
        found=found.items,
        resolutions=RESOLUTIONS,
        statuses=STATUSES,
        entered={"issue": request.query("issue", max_length=10), **request.form},
        longest=LONGEST_NOTE,
        days=claim_days(request),
        key=request.form.get("key") or secrets.token_urlsafe(18),
    )


async def submit(request: AccountRequest) -> Response:
    """Claim a copy. A form that is sent twice counts once."""
    number = request.ctx.localization.parse_number(request.form.get("issue", "")[:20])
    if number is None or not 0 < number <= LARGEST_NUMBER:
        raise InvalidForm("Choose one of your copies.", field="issue")
    wanted = WantedClaim(
        issue_number=number,
        reason=request.choice("reason", REASONS, message="Choose what happened."),
        resolution=ClaimResolution(request.choice("resolution", RESOLUTIONS, message="Choose what we should do.")),
        note=request.text("note", max_length=LONGEST_NOTE) or None,
    )
    ctx = request.ctx

    async def work(claim_id: str) -> tuple[int, dict[str, object]]:
        made = await claims.make_own(ctx, request.sub, wanted, claim_id=claim_id, now=request.now)
        return 201, {"status": str(made.status)}

    with _explained(number):
        answer = await idempotency.once(
            ctx,
            caller=f"reader:{request.sub}",
            route="POST /account/claims",
            key=idempotency.check_key(request.text("key", max_length=100)),
            body=repr(wanted).encode(),
            new_object_id=new_id("clm"),
            work=work,
        )
    is_granted = answer.body["status"] in (ClaimStatus.GRANTED, ClaimStatus.SENT)
    done = DONE[wanted.resolution] if is_granted else "We’re looking into it. You’ll see our decision here."
    return request.redirect("/claims", flash=f"Thank you for telling us about No. {number}. {done}")


@contextmanager
def _explained(number: int) -> Iterator[None]:
    """
    Turn a refusal into the error of the field that causes it.

    :raises InvalidForm: the claim is refused.
    """
    try:
        yield
    except tuple(REFUSALS) as error:
        raise InvalidForm(REFUSALS[type(error)].format(number), field="issue") from None
    except (NothingToExtend, AlreadyEnded) as error:
        raise InvalidForm(labels.error(error), field="resolution") from None


async def claimable(request: AccountRequest) -> Sequence[SentCopy]:
    """Return the reader's copies that can be claimed today, the last issue first: those of earlier subscriptions, too."""
    today, days = request.now.astimezone(request.ctx.rules.zone).date(), claim_days(request)
    sent = await sent_copies.of_reader(request.ctx, request.sub)
    return list({one.issue_number: one for one in sent if one.may_be_claimed(today, days=days)}.values())


def claim_days(request: AccountRequest) -> int:
    """Return for how many days after it was mailed a copy can be claimed."""
    return request.ctx.catalogue.policies.claim_policy(request.now.astimezone(request.ctx.rules.zone).date()).days


ROUTES = [
    page_route("/claims", show),
    form_route("/claims", submit, shown_by=show),
]
