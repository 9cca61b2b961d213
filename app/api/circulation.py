"""``/v1/reports/circulation``: the copies of each issue by kind; and ``/v1/issues/{number}/circulation``."""

from datetime import date
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from pydantic import ConfigDict, Field
from starlette.responses import Response

from app.api.deps import Circulation, Ctx, Now, ReportViewer
from app.api.issues import Number
from app.api.models import ApiModel, Day
from app.api.openapi import Described
from app.api.problems import problems
from app.domain.circulation import (
    LARGEST_COUNT,
    EnteredCounts,
    InvalidCirculationPeriod,
    IssueCirculation,
    Statement,
    lines_of,
    parts_of,
)
from app.domain.errors import NotFound
from app.services import circulation

router = APIRouter(prefix="/v1", tags=["reports"], route_class=Described)

Count = Annotated[int, Field(ge=0, le=LARGEST_COUNT, strict=True)]
LabelLine = Literal["15b1", "15b2", "15b4", "15d1", "15d2", "15d3", "16a"]
CSV: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A line for each label",
        "content": {
            "text/csv": {
                "schema": {"type": "string"},
                "example": "issue,run,position,subscription,kind,paid_status,mail,name\r\n"
                "7,lbl_0c5e,1,scr_0c5e,copy,paid,outside_county,Ada Invented",
            }
        },
    }
}


class CirculationIn(ApiModel):
    """The figures of an issue that staff enter."""

    model_config = ConfigDict(extra="forbid")

    press_run: Count = Field(description="The copies that were printed: line 15a.", examples=[1000])
    dealer_sales: Count = Field(default=0, description="Sold outside the mails: line 15b3.", examples=[20])
    single_copies_mailed: Count = Field(
        default=0, description="Sold and mailed at other classes, without a label: part of line 15b4.", examples=[3]
    )
    free_outside_mail: Count = Field(default=0, description="Given away outside the mails: line 15d4.", examples=[15])

    def to_counts(self) -> EnteredCounts:
        """Return the counts."""
        return EnteredCounts(
            press_run=self.press_run,
            dealer_sales=self.dealer_sales,
            single_copies_mailed=self.single_copies_mailed,
            free_outside_mail=self.free_outside_mail,
        )


class IssueCirculationOut(ApiModel):
    """The circulation of an issue by line of PS Form 3526. Percentages are in hundredths of a percent."""

    issue: int = Field(examples=[7])
    mail_date: date = Field(examples=["2026-06-09"])
    entered: bool = Field(description="Whether its press run was entered.", examples=[True])
    lines: dict[str, int] = Field(examples=[{"15a": 1000, "15b1": 912, "15c": 912, "15i": 10_000}])

    @classmethod
    def of(cls, found: IssueCirculation) -> "IssueCirculationOut":
        """Return the body for an issue."""
        return cls(
            issue=found.number,
            mail_date=found.mail_date,
            entered=found.entered is not None,
            lines=lines_of(parts_of(found)),
        )


class LineOut(ApiModel):
    """A line of PS Form 3526."""

    line: str = Field(examples=["15b1"])
    title: str = Field(examples=["Paid: mailed outside the county"])
    average: int = Field(description="Of the issues of the period.", examples=[905])
    nearest: int | None = Field(
        description="Of the issue mailed last in the period. null: it is missing.", examples=[912]
    )
    unit: Literal["copies", "hundredths_of_percent"] = Field(examples=["copies"])


class CirculationOut(ApiModel):
    """The circulation statement of a period."""

    since: date = Field(examples=["2025-10-01"])
    until: date = Field(examples=["2026-09-30"])
    nearest_issue: int | None = Field(
        description="The issue mailed last in the period, until today. null: there is none.", examples=[24]
    )
    missing: list[int] = Field(
        description="Issues that are left out, because their press run is not entered or their labels are not frozen.",
        examples=[[]],
    )
    not_frozen: list[int] = Field(description="Those of them whose labels are not frozen.", examples=[[]])
    lines: list[LineOut]
    issues: list[IssueCirculationOut]

    @classmethod
    def of(cls, found: Statement) -> "CirculationOut":
        """Return the body for a statement."""
        return cls(
            since=found.since,
            until=found.until,
            nearest_issue=found.nearest,
            missing=list(found.missing),
            not_frozen=list(found.not_frozen),
            lines=[
                LineOut(
                    line=one.line,
                    title=one.title,
                    average=one.average,
                    nearest=one.nearest,
                    unit="hundredths_of_percent" if one.is_percentage else "copies",
                )
                for one in found.lines
            ],
            issues=[IssueCirculationOut.of(one) for one in found.issues],
        )


@router.get("/reports/circulation", responses=problems(InvalidCirculationPeriod))
async def show_circulation(
    _: ReportViewer,
    ctx: Ctx,
    now: Now,
    since: Annotated[Day, Query(alias="from", description="The first day.", examples=["2025-10-01"])],
    until: Annotated[Day, Query(alias="to", description="The last day.", examples=["2026-09-30"])],
) -> CirculationOut:
    """Show the circulation statement of the issues that were mailed in a period, in the lines of PS Form 3526."""
    return CirculationOut.of(await circulation.report(ctx, since, until, now=now))


@router.get("/issues/{number}/circulation", responses=problems(NotFound))
async def show_issue_circulation(number: Number, _: ReportViewer, ctx: Ctx) -> IssueCirculationOut:
    """Show the circulation of an issue."""
    return IssueCirculationOut.of(await circulation.of_issue(ctx, number))


@router.put("/issues/{number}/circulation", responses=problems(NotFound))
async def enter_issue_circulation(
    number: Number, body: CirculationIn, person: Circulation, ctx: Ctx, now: Now
) -> IssueCirculationOut:
    """Enter the press run of an issue, and what was sold or given away outside the labels."""
    return IssueCirculationOut.of(await circulation.enter(ctx, number, body.to_counts(), by=person.actor, now=now))


@router.get("/issues/{number}/circulation.csv", response_class=Response, responses=CSV | problems(NotFound))
async def download_issue_circulation(
    number: Number,
    person: Circulation,
    ctx: Ctx,
    line: Annotated[
        LabelLine | None, Query(description="Only the labels of a line; 16a: electronic copies. Default: all labels.")
    ] = None,
    every: Annotated[int, Query(ge=1, le=1_000_000, description="Each n-th label, for an auditor's sample.")] = 1,
) -> StreamingResponse:
    """Download the labels of an issue with the fields that an auditor samples. Every download is recorded."""
    return StreamingResponse(
        await circulation.sample(ctx, number, line=line, every=every, by=person.actor),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="circulation-{number}.csv"'},
    )
