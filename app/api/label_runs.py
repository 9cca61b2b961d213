"""``/v1/issues/{number}/label-run``: who gets a copy of an issue, and at which address."""

from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import ConfigDict, Field

from app.api.deps import Circulation, Ctx, Now, OptionalIdempotencyKey
from app.api.issues import Number
from app.api.models import ApiModel
from app.api.openapi import MAY_HAVE_KEY, Described
from app.api.problems import problems
from app.context import Context
from app.db.engine.session import new_id
from app.domain.callers import Reader
from app.domain.errors import NotFound
from app.domain.label_runs import (
    MAIN,
    AlreadyFrozen,
    CopiesBeingDerived,
    Counts,
    CutoffNotReached,
    LabelRun,
    NotFrozen,
    NothingToAdd,
    Preview,
)
from app.services import idempotency, label_runs
from app.services.idempotency import KeyInUse, KeyInvalid, KeyRequired, KeyReused

router = APIRouter(prefix="/v1/issues", tags=["issues"], route_class=Described)
KEYS = (KeyRequired, KeyInvalid, KeyReused, KeyInUse)


class LabelRunIn(ApiModel):
    """Whether to freeze, or only to show what would be frozen."""

    model_config = ConfigDict(extra="forbid")

    dry_run: bool = Field(
        default=False,
        strict=True,
        description="Change nothing. Without it, the request freezes and needs an Idempotency-Key.",
        examples=[True],
    )


class BandOut(ApiModel):
    """The copies to a country, at a postage band of the catalogue."""

    model_config = ConfigDict(from_attributes=True)

    country: str = Field(examples=["US"])
    band: str = Field(examples=["domestic"])
    copies: int = Field(examples=[912])


class CountsOut(ApiModel):
    """How many copies, and the sum of the column ``control`` of the file."""

    copies: int = Field(examples=[912])
    control_sum: int = Field(examples=[455_123_042])
    bands: list[BandOut]
    new: int = Field(description="The first copies of their subscriptions.", examples=[31])
    renewed: int = Field(description="The first copies of a new term.", examples=[12])
    changed: int = Field(description="Another address than for the last issue.", examples=[7])
    last_issue: int = Field(description="Nothing is owed after it.", examples=[15])
    grace: int = Field(default=0, description="Sent after the expire, while the renewal is awaited.", examples=[3])

    @classmethod
    def of(cls, counts: Counts) -> "CountsOut":
        """Return the body for the counts of a run."""
        return cls(
            copies=counts.copies,
            control_sum=counts.control_sum,
            bands=[BandOut.model_validate(one) for one in counts.bands],
            **counts.flags,
        )


class DifferencesOut(ApiModel):
    """The run compared with that of the issue before. For each difference, up to 20 subscriptions are named."""

    previous: int | None = Field(description="The issue before; null if none has a run.", examples=[6])
    joined: int = Field(examples=[31])
    left: int = Field(examples=[4])
    moved: int = Field(examples=[7])
    samples: dict[str, list[str]] = Field(examples=[{"joined": ["scr_0c5e"]}])


class LeftOutOut(ApiModel):
    """Copies that are owed and not on the run. A supplement adds them once nothing is in the way."""

    model_config = ConfigDict(from_attributes=True)

    no_address: int = Field(examples=[2])
    unusable_address: int = Field(examples=[1])
    refund_in_progress: int = Field(examples=[0])
    payment_disputed: int = Field(examples=[0])
    not_updated: int = Field(
        description="Subscriptions to which a change of the calendar couldn't be applied. The worker's log says why.",
        examples=[0],
    )


class PreviewOut(ApiModel):
    """What would be frozen."""

    issue: int = Field(examples=[7])
    number: int = Field(description="0, or the number of the supplement.", examples=[0])
    status: Literal["preview"] = Field(examples=["preview"])
    as_of: datetime = Field(examples=["2026-05-29T05:00:00Z"])
    mail_date: date = Field(examples=["2026-06-09"])
    counts: CountsOut
    differences: DifferencesOut
    left_out: LeftOutOut

    @classmethod
    def of(cls, found: Preview) -> "PreviewOut":
        """Return the body for a preview."""
        compared = found.differences
        return cls(
            issue=found.issue.number,
            number=found.number,
            status="preview",
            as_of=found.as_of.astimezone(UTC),
            mail_date=found.mail_date,
            counts=CountsOut.of(found.counts),
            differences=DifferencesOut(
                previous=compared.previous,
                joined=compared.joined,
                left=compared.left,
                moved=compared.moved,
                samples={name: list(ids) for name, ids in compared.samples.items()},
            ),
            left_out=LeftOutOut.model_validate(found.left_out),
        )


class LabelRunOut(ApiModel):
    """A frozen run: of the issue (number 0), or a supplement to it."""

    id: str = Field(examples=["lbl_0c5e"])
    issue: int = Field(examples=[7])
    number: int = Field(description="0, or the number of the supplement.", examples=[0])
    status: Literal["frozen"] = Field(examples=["frozen"])
    as_of: datetime = Field(description="The time of the addresses.", examples=["2026-05-29T05:00:00Z"])
    mail_date: date = Field(examples=["2026-06-09"])
    frozen_at: datetime = Field(examples=["2026-05-29T14:03:00Z"])
    frozen_by: str = Field(examples=["staff:circulation-1"])
    counts: CountsOut
    repeatable: bool = Field(
        description="Whether the file is still the same, byte for byte: nobody on it was erased.", examples=[True]
    )
    erased: int = Field(description="Labels without an address, because their reader was erased.", examples=[0])

    @classmethod
    def of(cls, run: LabelRun) -> "LabelRunOut":
        """Return the body for a run."""
        return cls(
            id=run.id,
            issue=run.issue_number,
            number=run.number,
            status="frozen",
            as_of=run.as_of.astimezone(UTC),
            mail_date=run.mail_date,
            frozen_at=run.frozen_at.astimezone(UTC),
            frozen_by=run.frozen_by,
            counts=CountsOut.of(run.counts),
            repeatable=run.is_repeatable,
            erased=run.erased,
        )


class LabelRunsOut(ApiModel):
    """The runs of an issue."""

    data: list[LabelRunOut] = Field(description="The run, then its supplements. Empty: nothing is frozen yet.")


CREATED: dict[int | str, dict[str, Any]] = {201: {"model": LabelRunOut, "description": "The labels are frozen"}}
CSV: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The labels, in the order of the post office",
        "content": {
            "text/csv": {"schema": {"type": "string"}, "example": "position,keyline,name\r\n1,#…,Ada Invented"}
        },
    }
}


@router.get("/{number}/label-run", responses=problems(NotFound))
async def show_label_runs(number: Number, _: Circulation, ctx: Ctx) -> LabelRunsOut:
    """Retrieve the label run of an issue, and its supplements."""
    return LabelRunsOut(data=[LabelRunOut.of(run) for run in await label_runs.of_issue(ctx, number)])


@router.post(
    "/{number}/label-run",
    response_model=PreviewOut,
    openapi_extra=MAY_HAVE_KEY,
    responses=CREATED | problems(NotFound, CutoffNotReached, AlreadyFrozen, CopiesBeingDerived, *KEYS),
)
async def freeze_labels(
    number: Number,
    body: LabelRunIn,
    request: Request,
    agent: Circulation,
    ctx: Ctx,
    now: Now,
    key: OptionalIdempotencyKey = None,
) -> Response:
    """Freeze the labels of an issue after its cut-off, or preview them with ``dry_run``."""
    return await _run(ctx, number, body, request, agent, key, supplement=False, now=now)


@router.post(
    "/{number}/label-run/supplements",
    response_model=PreviewOut,
    openapi_extra=MAY_HAVE_KEY,
    responses=CREATED | problems(NotFound, CutoffNotReached, NotFrozen, NothingToAdd, CopiesBeingDerived, *KEYS),
)
async def add_label_supplement(
    number: Number,
    body: LabelRunIn,
    request: Request,
    agent: Circulation,
    ctx: Ctx,
    now: Now,
    key: OptionalIdempotencyKey = None,
) -> Response:
    """Freeze a supplement: copies that are owed and not on the run, such as after a late payment."""
    return await _run(ctx, number, body, request, agent, key, supplement=True, now=now)


async def _run(
    ctx: Context,
    number: int,
    body: LabelRunIn,
    request: Request,
    agent: Reader,
    key: str | None,
    *,
    supplement: bool,
    now: datetime,
) -> Response:
    if key is not None:
        idempotency.check_key(key)
    if body.dry_run:
        found = await label_runs.preview(ctx, number, supplement=supplement, now=now)
        return JSONResponse(PreviewOut.of(found).model_dump(mode="json"))

    async def freeze(run_id: str) -> tuple[int, dict[str, Any]]:
        run = await label_runs.freeze(ctx, number, run_id=run_id, supplement=supplement, by=agent.actor, now=now)
        return 201, LabelRunOut.of(run).model_dump(mode="json")

    kept = await idempotency.once(
        ctx,
        caller=agent.actor,
        route=f"{request.method} {request.url.path}",
        key=idempotency.check_key(key),
        body=await request.body(),
        new_object_id=new_id("lbl"),
        work=freeze,
    )
    return JSONResponse(kept.body, kept.status)


@router.get("/{number}/label-run.csv", response_class=Response, responses=CSV | problems(NotFound))
async def download_labels(
    number: Number,
    agent: Circulation,
    ctx: Ctx,
    supplement: Annotated[
        int, Query(ge=MAIN, le=100_000, description="The number of a supplement; 0: the run.")
    ] = MAIN,
) -> StreamingResponse:
    """Download the labels of a frozen run, as CSV in the order of the post office. Every download is recorded."""
    run, parts = await label_runs.csv(ctx, number, supplement, by=agent.actor)
    name = f"issue-{number}" + (f"-supplement-{run.number}" if run.number else "")
    return StreamingResponse(
        parts,
        media_type="text/csv; charset=utf-8",
        headers={
            "Content-Disposition": f'attachment; filename="labels-{name}.csv"',
            "X-Newsstand-Copies": str(run.counts.copies),
            "X-Newsstand-Control-Sum": str(run.counts.control_sum),
            "X-Newsstand-Erased": str(run.erased),
        },
    )
