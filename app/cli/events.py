"""``newsstand events``: the inbox of what Stripe told, looked at and replayed."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from datetime import datetime
from enum import StrEnum
from typing import Annotated, TypeVar

import typer

from app.cli.moments import HELP, moment
from app.cli.startup import opened, operator, started
from app.clock import SystemClock
from app.db.events import StoredEvent
from app.domain.events import BROKEN, STATES, Selection
from app.services import events
from app.settings import Settings

T = TypeVar("T")
Asking = Callable[[Settings], Coroutine[None, None, T]]
State = StrEnum("State", {state: state for state in STATES})  # type: ignore[misc]  # one name for each state

cli = typer.Typer(
    name="events",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="""The inbox: every event that Stripe told of, and what became of it.

\b
received   stored, and waiting for a worker
applied    what it is about was looked at, and is here as it is at Stripe
failed     could not be applied; it is tried again by itself
dead       was tried to the last; somebody has to look why, and replay it
ignored    does not concern us; it says why

\b
    newsstand events list --state dead            what was given up?
    newsstand events show evt_123                 what did it say, and why did it fail?
    newsstand events replay evt_123               once more
    newsstand events replay --state dead          all of them, after a look at how many there are

To replay an event does no harm, whenever it is done: what it is about is fetched afresh.""",
)
States = Annotated[list[State] | None, typer.Option("--state", help="May be given several times.")]
Kind = Annotated[str | None, typer.Option("--type", help="Whole, or its beginning and a star: 'invoice.*'.")]
About = Annotated[str | None, typer.Option("--object", help="The id of what they are about: sub_..., pi_..., in_...")]
Key = Annotated[str | None, typer.Option("--key", help="What is looked at for them: subscription:sub_123.")]
Since = Annotated[str | None, typer.Option("--since", help=f"Received then or later: {HELP}")]
Until = Annotated[str | None, typer.Option("--until", help="Received before: the same forms.")]
AsJson = Annotated[bool, typer.Option("--json", help="For programs: JSON on standard output.")]


@cli.command("list", short_help="What came, and what became of it?")
def list_events(
    state: States = None,
    kind: Kind = None,
    about: About = None,
    key: Key = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 20,
    after: Annotated[str | None, typer.Option(help="Go on after the place that the list before ended with.")] = None,
    as_json: AsJson = False,
) -> None:
    """List events, the newest first.

    \b
    newsstand events list --state failed --state dead
    newsstand events list --object sub_123 --since 3d
    newsstand events list --type 'invoice.*' --json
    """
    wanted = _selection(state, kind, about, key, since, until)
    found = _do(lambda settings: _page(settings, wanted, after, limit))
    if as_json:
        from app.api.events import EventOut  # here, so that the list does not wait for it

        rows = [EventOut.of(event).model_dump(mode="json") for event in found.found]
        typer.echo(json.dumps({"data": rows, "next": found.next}, indent=2))
        return
    for event in found.found:
        typer.echo(_line(event))
    if found.next is not None:
        typer.echo(f"There are more: --after '{found.next}'", err=True)
    if not found.found:
        typer.echo("There are none.", err=True)


@cli.command(short_help="What did one say, and what became of it?")
def show(event_id: Annotated[str, typer.Argument(metavar="EVENT", help="evt_...")], as_json: AsJson = False) -> None:
    """Show one event with what it said, without secrets and links that need no sign-in.

    \b
    newsstand events show evt_123
    """
    from app.api.events import ToldOut

    told = _do(lambda settings: _show(settings, event_id))
    shown = ToldOut.all_of(told).model_dump(mode="json")
    if as_json:
        typer.echo(json.dumps(shown, indent=2))
        return
    for name, value in shown.items():
        if name != "payload":
            typer.echo(f"{name + ':':<14}{'-' if value is None else value}")
    typer.echo(json.dumps(shown["payload"], indent=2))


@cli.command(short_help="Have events looked at once more.")
def replay(
    event_ids: Annotated[
        list[str] | None, typer.Argument(metavar="[EVENT]...", help="evt_...; or none, and a filter")
    ] = None,
    state: States = None,
    kind: Kind = None,
    about: About = None,
    key: Key = None,
    since: Since = None,
    until: Until = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how many there are.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before a filter's events are replayed.")] = False,
) -> None:
    """Have events looked at once more: those that are named, or all that match a filter.

    A filter without a state means those that failed and those that are dead. You are told how many there are, and asked.
    Who replayed what is in the audit log.

    \b
    newsstand events replay evt_123 evt_124
    newsstand events replay --state dead --dry-run
    newsstand events replay --state applied --since 2h --type 'customer.subscription.*' --yes
    """
    wanted = _selection(state, kind, about, key, since, until)
    if event_ids:
        if wanted != Selection():
            raise typer.BadParameter("name events, or give a filter, not both")
        for event_id in event_ids:
            event = _do(lambda settings, one=event_id: _replay_one(settings, one))  # type: ignore[misc]
            typer.echo(f"{event.id} is due again." if event.due_at else f"{event.id} stays ignored: {event.reason}.")
        return
    if wanted == Selection():
        raise typer.BadParameter("name events, or give a filter: --state dead")
    if not wanted.states:
        wanted = _selection([State(one) for one in BROKEN], kind, about, key, since, until)
    there = _do(lambda settings: _count(settings, wanted))
    typer.echo(f"{there} {'event matches' if there == 1 else 'events match'}.")
    if dry_run or there == 0:
        return
    if not yes:
        typer.confirm("Replay?", abort=True)
    done = _do(lambda settings: _replay(settings, wanted))
    typer.echo(f"{done.replayed} {'is' if done.replayed == 1 else 'are'} due again.")
    if done.without_effect:
        typer.echo(f"{done.without_effect} stay ignored: nothing follows from them.")


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
        since=moment(since, now=now, option="--since"),
        until=moment(until, now=now, option="--until"),
    )


def _do(asking: Asking[T]) -> T:
    """Ask the inbox something."""
    with started() as settings:
        return asyncio.run(asking(settings))


async def _page(settings: Settings, wanted: Selection, after: str | None, limit: int) -> events.Page:
    async with opened(settings) as sessions:
        return await events.page(sessions, wanted, after=after, limit=limit)


async def _show(settings: Settings, event_id: str) -> events.Told:
    async with opened(settings) as sessions:
        return await events.show(sessions, event_id)


async def _count(settings: Settings, wanted: Selection) -> int:
    async with opened(settings) as sessions:
        return await events.count(sessions, wanted)


async def _replay_one(settings: Settings, event_id: str) -> StoredEvent:
    async with opened(settings) as sessions:
        return await events.replay_one(sessions, event_id, livemode=settings.livemode, by=operator())


async def _replay(settings: Settings, wanted: Selection) -> events.Replayed:
    async with opened(settings) as sessions:
        return await events.replay(sessions, wanted, livemode=settings.livemode, by=operator())


def _line(event: StoredEvent) -> str:
    why = event.last_error if event.state in BROKEN else event.reason
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
