"""What the phases of a sweep share."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from app.context import Context
from app.db.reconciliation import Sweep
from app.domain.reconciliation import SweepKind, next_phase
from app.services.reconciliation.import_preview import ImportPreview


@dataclass(frozen=True, slots=True, kw_only=True)
class Importing:
    """How the reader of an imported customer is found."""

    subs: Mapping[str, str] = field(default_factory=dict)  # customer to ``sub``, from the publisher's file
    metadata_key: str = "newsstand_sub"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The arguments of each phase."""

    ctx: Context
    now: datetime  # policy time
    since: datetime | None
    importing: Importing
    preview: ImportPreview


def is_preview(sweep: Sweep) -> bool:
    """Return whether a sweep only shows what an import would do."""
    return sweep.kind == SweepKind.IMPORT and sweep.dry_run


def next_position(sweep: Sweep, following: str | None) -> tuple[str, dict[str, object]]:
    """Return the phase and the cursor after a page."""
    if following is None:
        return next_phase(sweep.kind, sweep.phase), {}
    return sweep.phase, {"after": following}
