"""Price migrations: how far each is, whose price changes when, who keeps theirs and why; and stopping one."""

from starlette.responses import Response

from app.console.access_control import form_route, page_route
from app.console.request import ConsoleRequest
from app.domain.callers import Role
from app.domain.pages import BadCursor
from app.domain.price_migrations import UNFINISHED, ChangeStatus
from app.services import price_migrations

PAGE_SIZE = 50


async def show_all(request: ConsoleRequest) -> Response:
    """List the migrations, newest first."""
    after = request.query("after", max_length=100) or None
    try:
        page = await price_migrations.page(request.ctx, after=after, limit=PAGE_SIZE)
    except BadCursor:
        page = await price_migrations.page(request.ctx, limit=PAGE_SIZE)
    return request.render("price_migrations.html", page=page)


async def show(request: ConsoleRequest) -> Response:
    """Show a migration with its subscriptions."""
    migration_id, wanted = request.path_param("migration"), request.query("status", max_length=20)
    status = wanted if wanted in set(ChangeStatus) else None
    found = await price_migrations.progress(request.ctx, migration_id)
    page = await price_migrations.changes(
        request.ctx,
        migration_id,
        status=status,
        after=request.query("after", max_length=100) or None,
        limit=PAGE_SIZE,
    )
    return request.render(
        "price_migration.html",
        found=found,
        migration=found.migration,
        plan=request.ctx.catalogue.plans.get(found.migration.plan),
        may_stop=found.migration.status in UNFINISHED,
        statuses=[str(one) for one in ChangeStatus],
        counts={str(one): found.count(one) for one in ChangeStatus},
        shown=status,
        page=page,
    )


async def stop(request: ConsoleRequest) -> Response:
    """Stop a migration."""
    migration_id = request.path_param("migration")
    await price_migrations.stop(request.ctx, migration_id, by=request.staff.actor, now=request.now)
    return request.redirect(f"/price-migrations/{migration_id}", flash="The migration is stopped.")


MIGRATION = "/price-migrations/{migration}"
ROUTES = [
    page_route("/price-migrations", show_all, role=Role.ADMIN),
    page_route(MIGRATION, show, role=Role.ADMIN),
    form_route(f"{MIGRATION}/stop", stop, role=Role.ADMIN, shown_at=MIGRATION),
]
