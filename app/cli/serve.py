"""``newsstand serve`` and ``newsstand worker``: the two processes that make the service."""

import asyncio
import contextlib
import gc
import signal
from collections.abc import Callable
from typing import Annotated

import prometheus_client
import typer

from app.cli.startup import started
from app.services import catalogue
from app.settings import Settings

# Seconds. Longer than proxies and balancers keep a connection that is not used (60 is usual): it must not be us who close
# it, or a request that is on its way just then is lost.
KEPT = 75


def serve(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port to listen on.")] = 8000,
    no_worker: Annotated[bool, typer.Option("--no-worker", help="Run workers apart: newsstand worker.")] = False,
) -> None:
    """Serve the API, with a worker inside unless told otherwise.

    \b
    newsstand serve                                  everything in one process
    newsstand serve --no-worker --host 0.0.0.0       behind a balancer, workers apart
    """
    import uvicorn

    from app import main  # here, so that the quick commands do not wait for it

    with started() as settings:
        app = main.application(settings, with_worker=not no_worker)
        _settle()
        uvicorn.run(
            app,
            host=host,
            port=port,
            log_config=None,
            access_log=False,
            proxy_headers=True,
            timeout_keep_alive=KEPT,
            timeout_graceful_shutdown=10,
        )


def worker(
    metrics_port: Annotated[int | None, typer.Option(help="Serve this worker's metrics on that port.")] = None,
    metrics_host: Annotated[str, typer.Option(help="The address to serve them on.")] = "127.0.0.1",
) -> None:
    """Apply events, finish refunds and cancellations: everything that is due. Run as many as you like.

    \b
    newsstand worker
    newsstand worker --metrics-port 9100             Prometheus reads what it applied, and how late
    """
    with started() as settings, asyncio.Runner(loop_factory=_loop_factory()) as runner:
        metrics = prometheus_client.start_http_server(metrics_port, metrics_host) if metrics_port else None
        try:
            runner.run(_work(settings))
        finally:
            if metrics is not None:
                metrics[0].shutdown()
                metrics[0].server_close()


def _settle() -> None:
    """Have the garbage collector leave alone what is here now, since it stays: a look through it takes 0.1 s."""
    gc.collect()
    gc.freeze()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's, as uvicorn takes it, where there is one."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _work(settings: Settings) -> None:
    from app import main

    async with main.parts(settings, catalogue.load(settings.catalogue)) as built:
        task = asyncio.create_task(built.worker().run())
        _settle()
        loop = asyncio.get_running_loop()
        for ended in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(ended, task.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await task
