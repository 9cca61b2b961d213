"""``newsstand events``: list, show and replay the Stripe events in the inbox."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from datetime import datetime
from enum import StrEnum
from typing import Annotated, TypeVar

import typer

from app.cli.startup import command_settings, open_database, operator
from app.cli.times import TIME_FORMATS, parse_time
from app.clock import SystemClock
from app.db.events import StoredEvent
from app.domain.events import REPLAYABLE, EventState, Selection
from app.domain.pages import Page
from app.services import events
from app.settings import Settings

T = TypeVar("T")
Request = Callable[[Settings], Coroutine[None, None, T]]
State = StrEnum("State", {state: state for state in EventState})  # type: ignore[misc]  # one name for each state

cli = typer.Typer(
    name="events",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="""The inbox: every event received from Stripe, and its state.

\b
received   stored, waiting for a worker
applied    the object was fetched from Stripe and saved
failed     could not be applied; will be retried automatically
dead       failed permanently; find the cause, then replay it
ignored    not relevant; the reason is stored

\b
    newsstand events list --state dead            list permanently failed events
    newsstand events show evt_123                 show an event and its last error
    newsstand events replay evt_123               apply an event again
    newsstand events replay --state dead          apply all of them again, after a confirmation

Replaying is always safe: the object's current state is fetched from Stripe.""",
)
States = Annotated[list[State] | None, typer.Option("--state", help="Can be repeated.")]
Kind = Annotated[str | None, typer.Option("--type", help="The exact type, or a prefix and a star: 'invoice.*'.")]
About = Annotated[str | None, typer.Option("--object", help="The ID of the Stripe object: sub_..., pi_..., in_...")]
Key = Annotated[str | None, typer.Option("--key", help="The object that is fetched for them: subscription:sub_123.")]
Since = Annotated[str | None, typer.Option("--since", help=f"Received at or after: {TIME_FORMATS}")]
Until = Annotated[str | None, typer.Option("--until", help="Received before; same formats.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@cli.command("list", short_help="List events and their states.")
def list_events(
    state: States = None,
    kind: Kind = None,
    about: About = None,
    key: Key = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Maximum number of events.")] = 20,
    after: Annotated[str | None, typer.Option(help="The cursor printed at the end of the previous page.")] = None,
    as_json: AsJson = False,
) -> None:
    """List events, newest first.

    \b
    newsstand events list --state failed --state dead
    newsstand events list --object sub_123 --since 3d
    newsstand events list --type 'invoice.*' --json
    """
    wanted = _selection(state, kind, about, key, since, until)
    found = _run(lambda settings: _page(settings, wanted, after, limit))
    if as_json:
        from app.api.events import EventOut  # imported here to keep the list fast

        rows = [EventOut.of(event).model_dump(mode="json") for event in found.items]
        typer.echo(json.dumps({"data": rows, "next": found.next}, indent=2))
        return
    for event in found.items:
        typer.echo(_line(event))
    if found.next is not None:
        typer.echo(f"For the next page: --after '{found.next}'", err=True)
    if not found.items:
        typer.echo("No events.", err=True)


@cli.command(short_help="Show one event.")
def show(event_id: Annotated[str, typer.Argument(metavar="EVENT", help="evt_...")], as_json: AsJson = False) -> None:
    """Show one event with what is stored of its payload: IDs, type, version and times.

    \b
    newsstand events show evt_123
    """
    from app.api.events import EventWithPayloadOut

    found = _run(lambda settings: _show(settings, event_id))
    shown = EventWithPayloadOut.all_of(found).model_dump(mode="json")
    if as_json:
        typer.echo(json.dumps(shown, indent=2))
        return
    for name, value in shown.items():
        if name != "payload":
            typer.echo(f"{name + ':':<14}{'-' if value is None else value}")
    typer.echo(json.dumps(shown["payload"], indent=2))


@cli.command(short_help="Apply events again.")
def replay(
    event_ids: Annotated[
        list[str] | None, typer.Argument(metavar="[EVENT]...", help="evt_...; omit it to use a filter")
    ] = None,
    state: States = None,
    kind: Kind = None,
    about: About = None,
    key: Key = None,
    since: Since = None,
    until: Until = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the number of matching events, and replay none.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Skip the confirmation.")] = False,
) -> None:
    """Apply events again: the given ones, or all that match a filter.

    A filter without --state matches failed and dead events. The command prints how many match and asks for confirmation.
    Replays are recorded in the audit log.

    \b
    newsstand events replay evt_123 evt_124
    newsstand events replay --state dead --dry-run
    newsstand events replay --state applied --since 2h --type 'customer.subscription.*' --yes
    """
    wanted = _selection(state, kind, about, key, since, until)
    if event_ids:
        if wanted != Selection():
            raise typer.BadParameter("specify events or a filter, not both")
        for event_id in event_ids:
            event = _run(lambda settings, one=event_id: _replay_one(settings, one))  # type: ignore[misc]
            typer.echo(f"{event.id} is queued." if event.due_at else f"{event.id} remains ignored: {event.reason}.")
        return
    if wanted == Selection():
        raise typer.BadParameter("specify events, or a filter such as --state dead")
    if not wanted.states:
        wanted = _selection([State(one) for one in REPLAYABLE], kind, about, key, since, until)
    matching = _run(lambda settings: _count(settings, wanted))
    typer.echo(f"{matching} {'event matches' if matching == 1 else 'events match'}.")
    if dry_run or matching == 0:
        return
    if not yes:
        typer.confirm("Replay?", abort=True)
    done = _run(lambda settings: _replay(settings, wanted))
    typer.echo(f"{done.replayed} {'event is' if done.replayed == 1 else 'events are'} queued.")
    if done.without_effect:
        typer.echo(f"{done.without_effect} remain ignored: their type is not used.")


def _selection(
    state: list[State] | None,
    kind: str | None,
    about: str | None,
    key: str | None,
    since: str | None,
    until: str | None,
) -> Selection:
    now = SystemClock().real()
    return Selection(
        states=tuple(one.value for one in state or ()),
        type=kind,
        object_id=about,
        key=key,
        since=parse_time(since, now=now, option="--since"),
        until=parse_time(until, now=now, option="--until"),
    )


def _run(request: Request[T]) -> T:
    """Run a request against the inbox."""
    with command_settings() as settings:
        return asyncio.run(request(settings))


async def _page(settings: Settings, wanted: Selection, after: str | None, limit: int) -> Page[StoredEvent]:
    async with open_database(settings) as ctx:
        return await events.page(ctx, wanted, after=after, limit=limit)


async def _show(settings: Settings, event_id: str) -> events.EventWithPayload:
    async with open_database(settings) as ctx:
        return await events.get(ctx, event_id)


async def _count(settings: Settings, wanted: Selection) -> int:
    async with open_database(settings) as ctx:
        return await events.count(ctx, wanted)


async def _replay_one(settings: Settings, event_id: str) -> StoredEvent:
    async with open_database(settings) as ctx:
        return await events.replay_one(ctx, event_id, by=operator())


async def _replay(settings: Settings, wanted: Selection) -> events.ReplayResult:
    async with open_database(settings) as ctx:
        return await events.replay(ctx, wanted, by=operator())


def _line(event: StoredEvent) -> str:
    why = event.last_error if event.state in REPLAYABLE else event.reason
    return "  ".join(
        part
        for part in (
            _time(event.received_at),
            f"{event.state:<8}",
            event.id,
            event.type,
            event.key or "",
            f"({why})" if why else "",
        )
        if part
    )


def _time(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%SZ")
