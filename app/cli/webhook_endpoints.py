"""``newsstand webhook-endpoints``: where the publisher's systems receive events."""

import asyncio
from datetime import datetime, timedelta
from typing import Annotated

import typer

from app.cli.startup import command_settings, open_database, operator
from app.cli.times import TIME_FORMATS, parse_duration, parse_time
from app.clock import SystemClock
from app.domain.webhook_deliveries import DeliveryStatus, Replay, WebhookDelivery
from app.domain.webhook_endpoints import WebhookEndpoint
from app.services import webhook_deliveries, webhook_endpoints
from app.settings import Settings

cli = typer.Typer(
    name="webhook-endpoints",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Where the publisher's systems receive events, and the log of their deliveries.",
)
Endpoint = Annotated[str, typer.Argument(help="The endpoint's ID, as shown by `newsstand webhook-endpoints list`.")]
LISTED = 100  # deliveries


@cli.command()
def add(
    url: Annotated[str, typer.Argument(help="Where events are sent, over https.")],
    name: Annotated[str, typer.Option(help="A name that tells people what it is.")] = "unnamed",
    type_: Annotated[
        list[str] | None, typer.Option("--type", help="A type of events that it gets; without any: all. Repeatable.")
    ] = None,
    secret: Annotated[
        str | None, typer.Option(help="A secret that the receiver has already: whsec_ and 24 to 64 bytes in base64.")
    ] = None,
) -> None:
    """Add an endpoint, and print its secret on standard output. It is shown only once.

    \b
    newsstand webhook-endpoints add https://hooks.example.com/newsstand --type entitlements.changed
    """
    with command_settings() as settings:
        made, shown = asyncio.run(_add(settings, url, name, type_ or [], secret))
    typer.echo(f"Added {made.id}.", err=True)
    typer.echo(shown)


@cli.command("list")
def list_endpoints() -> None:
    """List the endpoints with their status."""
    with command_settings() as settings:
        found = asyncio.run(_list(settings))
    for one in found:
        typer.echo(f"{one.id}  {one.status}  {one.url}  {' '.join(one.types) or 'all types'}  {one.name}")
    if not found:
        typer.echo("No webhook endpoints.", err=True)


@cli.command()
def remove(endpoint: Endpoint) -> None:
    """Delete an endpoint. Its pending deliveries are canceled."""
    with command_settings() as settings:
        asyncio.run(_remove(settings, endpoint))


@cli.command()
def rotate(
    endpoint: Endpoint,
    overlap: Annotated[str, typer.Option(help="How long the old secret remains valid, such as 24h.")] = "24h",
) -> None:
    """Replace the secret of an endpoint, and print the new one. Both sign during the overlap."""
    both_for = parse_duration(overlap, option="--overlap")
    if both_for is None:
        raise typer.BadParameter("the old secret must expire", param_hint="--overlap")
    with command_settings() as settings:
        typer.echo(asyncio.run(_rotate(settings, endpoint, both_for)))


@cli.command()
def disable(endpoint: Endpoint) -> None:
    """
    Stop sending events to an endpoint.

    While an endpoint is disabled, new events are not queued for it. Enabling it resumes the deliveries that were pending.
    Replay the events in between.
    """
    with command_settings() as settings:
        asyncio.run(_switch(settings, endpoint, on=False))


@cli.command()
def enable(endpoint: Endpoint) -> None:
    """
    Send events to an endpoint again.

    While an endpoint is disabled, new events are not queued for it. Enabling it resumes the deliveries that were pending.
    Replay the events in between.
    """
    with command_settings() as settings:
        asyncio.run(_switch(settings, endpoint, on=True))


@cli.command()
def test(endpoint: Endpoint) -> None:
    """Send an event of the type webhook.test to an endpoint, and print its ID. A worker must be running."""
    with command_settings() as settings:
        typer.echo(asyncio.run(_test(settings, endpoint)))


@cli.command()
def deliveries(
    endpoint: Endpoint,
    status: Annotated[DeliveryStatus | None, typer.Option(help="Only those with this status.")] = None,
) -> None:
    """List the last 100 deliveries to an endpoint, those of the newest events first."""
    with command_settings() as settings:
        for one in asyncio.run(_deliveries(settings, endpoint, status)):
            typer.echo(_line(one))


@cli.command()
def replay(
    endpoint: Endpoint,
    event: Annotated[str | None, typer.Option(help="The ID of one event.")] = None,
    since: Annotated[str | None, typer.Option(help=f"The beginning of a period: {TIME_FORMATS}")] = None,
    until: Annotated[str | None, typer.Option(help="Its end; without one: now.")] = None,
    type_: Annotated[list[str] | None, typer.Option("--type", help="Only events of this type. Repeatable.")] = None,
    delivered_too: Annotated[
        bool, typer.Option("--delivered-too", help="Send events of the period that were delivered, too.")
    ] = False,
) -> None:
    """Send events to an endpoint again, with the same IDs: one, or those of a period.

    \b
    newsstand webhook-endpoints replay whe_1a2b --event obx_3c4d
    newsstand webhook-endpoints replay whe_1a2b --since 3d --type entitlements.changed
    """
    now = SystemClock().real()
    with command_settings() as settings:
        wanted = Replay(
            event_id=event,
            since=parse_time(since, now=now, option="--since"),
            until=parse_time(until, now=now, option="--until"),
            types=tuple(type_ or ()),
            only_undelivered=not delivered_too,
        )
        queued = asyncio.run(_replay(settings, endpoint, wanted))
    typer.echo(f"Queued: {queued}")


def _line(one: WebhookDelivery) -> str:
    result = one.error or (str(one.status) if one.status is not None else "-")
    tried = _time(one.last_tried_at) if one.last_tried_at else "not tried"
    return f"{one.event_id}  {one.status}  {one.type}  {_time(one.created_at)}  {one.attempts}x  {tried}  {result}"


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}"


async def _add(
    settings: Settings, url: str, name: str, types: list[str], secret: str | None
) -> tuple[WebhookEndpoint, str]:
    async with open_database(settings) as ctx:
        made = await webhook_endpoints.add(ctx, name=name, url=url, types=types, secret=secret, by=operator())
    return made.endpoint, made.secret


async def _list(settings: Settings) -> list[WebhookEndpoint]:
    async with open_database(settings) as ctx:
        return await webhook_endpoints.list_all(ctx)


async def _remove(settings: Settings, endpoint: str) -> None:
    async with open_database(settings) as ctx:
        await webhook_endpoints.remove(ctx, endpoint, by=operator())


async def _rotate(settings: Settings, endpoint: str, overlap: timedelta) -> str:
    async with open_database(settings) as ctx:
        return (await webhook_endpoints.rotate(ctx, endpoint, by=operator(), overlap=overlap)).secret


async def _switch(settings: Settings, endpoint: str, *, on: bool) -> None:
    async with open_database(settings) as ctx:
        await (webhook_endpoints.enable if on else webhook_endpoints.disable)(ctx, endpoint, by=operator())


async def _test(settings: Settings, endpoint: str) -> str:
    async with open_database(settings) as ctx:
        return await webhook_deliveries.send_test(ctx, endpoint, by=operator())


async def _deliveries(settings: Settings, endpoint: str, status: DeliveryStatus | None) -> list[WebhookDelivery]:
    async with open_database(settings) as ctx:
        page = await webhook_deliveries.page(ctx, endpoint, status=status, after=None, limit=LISTED)
    return list(page.items)


async def _replay(settings: Settings, endpoint: str, wanted: Replay) -> int:
    async with open_database(settings) as ctx:
        return await webhook_deliveries.replay(ctx, endpoint, wanted, by=operator())
