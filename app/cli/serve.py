"""``newsstand serve`` and ``newsstand worker``: the two kinds of processes of the service."""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
from collections.abc import Callable
from functools import partial
from typing import Annotated

import prometheus_client
import structlog
import typer

from app.cli.startup import BAD_SETTINGS, command_settings
from app.db.engine import connection_budget
from app.db.engine.dsn import find_dsn
from app.services import catalogue
from app.settings import Settings

# Seconds. Longer than proxies and load balancers keep an idle connection (usually 60): if the service closed it first, a
# request sent at that moment would be lost.
KEEP_ALIVE = 75
COLLECT_AFTER = 20_000  # new objects
END_SECONDS = 9.0  # for a worker to end by itself; Docker kills what still runs after 10
STARTUP_FAILED = 3  # exit status, as uvicorn's own command has it


def serve(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port to listen on.")] = 8000,
    internal_port: Annotated[
        int | None,
        typer.Option(help="A second port, which serves the metrics, the API reference and the details of /readyz too."),
    ] = None,
    internal_host: Annotated[str, typer.Option(help="The address to listen on with the second port.")] = "127.0.0.1",
    no_worker: Annotated[bool, typer.Option("--no-worker", help="Do not run a worker in this process.")] = False,
) -> None:
    """Serve the API and the console, with a worker in the same process unless --no-worker is given.

    \b
    newsstand serve                                  everything in one process
    newsstand serve --no-worker --host 0.0.0.0       behind a load balancer, with separate workers
    newsstand serve --internal-port 9101             with metrics that the public port need not serve
    """
    import uvicorn

    from app import main  # imported here to keep the other commands fast
    from app.api import health
    from app.cli import draining
    from app.cli.http_protocol import OPTIONS

    with command_settings(service=True) as settings:
        asyncio.run(_check_connections(settings, api=True, worker=not no_worker))
        app = main.application(settings, with_worker=not no_worker)
        tune_garbage_collection()
        server = draining.Server(
            uvicorn.Config(
                app,
                host=host,
                port=port,
                proxy_headers=True,
                **OPTIONS,
                timeout_keep_alive=KEEP_ALIVE,
                timeout_graceful_shutdown=10,
            ),
            drain=partial(health.drain, app),
            delay=settings.drain_delay,
            end_long_polls=partial(health.end_long_polls, app),
        )
        app.state.internal_port = internal_port
        addresses = [(host, port)] + ([(internal_host, internal_port)] if internal_port else [])
        server.run(sockets=[_listen(*address) for address in addresses] if internal_port else None)
        if not server.started:
            raise typer.Exit(STARTUP_FAILED)


def worker(
    metrics_port: Annotated[
        int | None, typer.Option(help="The port for this worker's metrics. Default: not served.")
    ] = None,
    metrics_host: Annotated[str, typer.Option(help="The address for the metrics.")] = "127.0.0.1",
) -> None:
    """Run background jobs: apply events, finish refunds and cancellations. Run as many workers as you need.

    \b
    newsstand worker
    newsstand worker --metrics-port 9100             with metrics for Prometheus
    """
    with command_settings(service=True) as settings, asyncio.Runner(loop_factory=_loop_factory()) as runner:
        metrics = prometheus_client.start_http_server(metrics_port, metrics_host) if metrics_port else None
        try:
            runner.run(_work(settings))
        finally:
            if metrics is not None:
                metrics[0].shutdown()
                metrics[0].server_close()


async def _check_connections(settings: Settings, *, api: bool, worker: bool) -> None:
    """Log how many connections this process may open, and exit if the server does not allow as many."""
    try:
        await connection_budget.check(settings, await find_dsn(settings), api=api, worker=worker)
    except connection_budget.TooManyConnections as too_many:
        typer.echo(f"Newsstand cannot start. {too_many}", err=True)
        raise typer.Exit(BAD_SETTINGS) from None


def _listen(host: str, port: int) -> socket.socket:
    """
    Return a socket that listens on an address.

    With the protocol named, asyncio disables Nagle's algorithm; otherwise each response takes up to 40 ms longer.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        typer.echo(f"Cannot listen on {host}:{port}: {error.strerror}", err=True)
        raise typer.Exit(STARTUP_FAILED) from None
    return listener


def tune_garbage_collection() -> None:
    """
    Exclude the objects that exist now from garbage collection, and look for others less often.

    The objects of the start stay, and scanning them takes 0.1 s. Requests leave hardly any cycles behind; with Python's
    default of 700 objects, a page is interrupted ten times (bench: ``reader_page_vs_queries``).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 20, 20)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's loop factory if it is installed, as uvicorn does."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _work(settings: Settings) -> None:
    from app import main
    from app.jobs import make_worker

    await _check_connections(settings, api=False, worker=True)
    name = connection_budget.application_name(settings, api=False, worker=True)
    async with main.open_context(settings, catalogue.load(settings.catalogue)) as ctx:
        recording = asyncio.create_task(main.record_offers(ctx))
        task = asyncio.create_task(make_worker(ctx, listener_name=name).run())
        tune_garbage_collection()
        loop = asyncio.get_running_loop()

        def end() -> None:
            task.cancel()
            loop.call_later(END_SECONDS, _exit_now)

        for ended in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(ended, end)
        with contextlib.suppress(asyncio.CancelledError):
            await task
        recording.cancel()


def _exit_now() -> None:
    """Exit in spite of something that can't be canceled, such as a query on a silent connection. Leases expire."""
    structlog.get_logger().error("worker_did_not_end", seconds=END_SECONDS)
    logging.shutdown()
    os._exit(1)
