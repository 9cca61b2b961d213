"""Claims of copies that did not reach a reader, or reached them damaged: all of them, and making one."""

from collections.abc import Mapping

from starlette.responses import Response

from app.console.access_control import form_route, page_route
from app.console.csrf import check_reader
from app.console.form_fields import InvalidForm
from app.console.issues import issue_number
from app.console.request import ConsoleRequest
from app.console.state import CONSOLE
from app.db.engine.session import new_id
from app.domain.callers import Role
from app.domain.claims import ClaimResolution, ClaimSelection, ClaimStatus, CopySentElsewhere, WantedClaim
from app.domain.issues import LARGEST_NUMBER
from app.domain.reasons import ClaimReason
from app.domain.sent_copies import SentCopy
from app.services import addresses, claims, idempotency, issues, sent_copies, support

REASONS = {str(reason): reason.label for reason in ClaimReason}
RESOLUTIONS: dict[str, str] = {ClaimResolution.RESEND: "Send it again", ClaimResolution.EXTEND: "Extend the term"}
ON_THE_LABEL = "label"  # in the form: the copy was expected where it was sent
LONGEST_NOTE = 500  # characters
PAGE_SIZE = 50


async def show(request: ConsoleRequest) -> Response:
    """Show the form: what happened to the copy, and what to do about it."""
    found = await support.subscription(request.ctx, request.path_param("subscription"), viewer=request.viewer)
    issue = await issues.get(request.ctx, issue_number(request))
    sent = await _sent(request, found.subscription.id, issue.number)
    return request.render(
        "claim_copy.html",
        found=found,
        issue=issue,
        reasons=REASONS,
        expected_at=await _expected_at(request, found.subscriber.id, sent),
        longest=LONGEST_NOTE,
        key=request.idempotency_key(),
    )


async def claim(request: ConsoleRequest) -> Response:
    """Claim a copy for a reader. A form that is sent twice counts once."""
    ctx, number = request.ctx, issue_number(request)
    found = await support.subscription(ctx, request.path_param("subscription"), viewer=request.viewer)
    await check_reader(request, found.subscriber.id)
    sent = await _sent(request, found.subscription.id, number)
    places = await _expected_at(request, found.subscriber.id, sent)
    with request.fields() as fields:
        expected = fields.choice("address", places)
        reason, resolution = fields.choice("reason", REASONS), fields.choice("resolution", RESOLUTIONS)
        note = fields.text("note", max_length=LONGEST_NOTE)
    wanted = WantedClaim(
        issue_number=number,
        reason=reason,
        resolution=ClaimResolution(resolution),
        note=note or None,
        address_id=expected if expected != ON_THE_LABEL else sent.address_id if sent is not None else None,
    )

    async def work(claim_id: str) -> tuple[int, dict[str, str]]:
        try:
            made = await claims.make(
                ctx, found.subscription.id, wanted, claim_id=claim_id, by=request.staff.actor, now=request.now
            )
        except CopySentElsewhere as error:
            raise InvalidForm(f"{error}.", field="address") from None
        awaits = made.status == ClaimStatus.AWAITING_APPROVAL
        return 202 if awaits else 201, {"claim": made.id}

    answer = await idempotency.once(
        ctx,
        caller=request.staff.actor,
        route=f"POST {CONSOLE}/subscriptions/{found.subscription.id}/issues/{number}/claim",
        key=idempotency.check_key(request.text("key", max_length=100)),
        body=f"{reason} {resolution} {expected} {note}".encode(),
        new_object_id=new_id("clm"),
        work=work,
    )
    if answer.status == 202:
        return request.redirect(f"/approvals/{answer.body['claim']}")
    done = (
        "A replacement goes out with the next supplement." if resolution == ClaimResolution.RESEND else "Issues added."
    )
    return request.redirect(f"/readers/{found.subscriber.id}", flash=f"Copy of issue {number} claimed. {done}")


async def _sent(request: ConsoleRequest, subscription_id: str, number: int) -> SentCopy | None:
    """Return the copy of an issue that was sent for a subscription, if there is one."""
    sent = await sent_copies.of_subscription(request.ctx, subscription_id)
    return next((one for one in sent if one.issue_number == number and not one.extra), None)


async def _expected_at(request: ConsoleRequest, subscriber_id: str, sent: SentCopy | None) -> Mapping[str, str]:
    """Return where the reader may have expected the copy: at an address of theirs, or at the one on the label."""
    book = await addresses.of_subscriber(request.ctx, subscriber_id, viewer=request.viewer, now=request.now)
    kept = [*([book.permanent] if book.permanent is not None else []), *book.temporary]
    on_the_label = ", ".join(sent.lines) if sent is not None else ""
    return {
        **{one.id: ", ".join(one.checked.lines) for one in kept},
        ON_THE_LABEL: f"The address on the label: {on_the_label}" if on_the_label else "The address on the label",
    }


async def show_all(request: ConsoleRequest) -> Response:
    """List the claims of all readers, the newest first."""
    filters = {"issue": request.query("issue", max_length=10), "waiting": request.query("waiting", max_length=3)}
    number = request.ctx.localization.parse_number(filters["issue"])
    wanted = ClaimSelection(
        issue_number=number if number is not None and 0 < number <= LARGEST_NUMBER else None,
        awaiting_approval=filters["waiting"] == "yes",
    )
    after = request.query("after", max_length=100) or None
    page = await claims.page(request.ctx, wanted, viewer=request.viewer, after=after, limit=PAGE_SIZE)
    owners = sorted({one.subscriber_id for one in page.items})
    return request.render(
        "claims.html",
        page=page,
        readers=await support.subscribers_by_id(request.ctx, owners, viewer=request.viewer) if owners else {},
        filters=filters,
        is_filtered=wanted != ClaimSelection(),
        reasons=REASONS,
        resolutions=RESOLUTIONS,
    )


CLAIM = "/subscriptions/{subscription}/issues/{number}/claim"
ROUTES = [
    page_route("/claims", show_all, role=Role.CIRCULATION),
    page_route(CLAIM, show, role=Role.SUPPORT, recent_sign_in=True),
    form_route(CLAIM, claim, role=Role.SUPPORT, recent_sign_in=True, shown_by=show),
]
