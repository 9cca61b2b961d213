"""The page that explains the keyboard. The keys are in static/console.js, and in ``data-shortcut`` in the templates."""

from starlette.responses import Response

from app.console.access_control import ANY_ROLE, page_route
from app.console.request import ConsoleRequest

SHORTCUTS = (  # where, and each key with what it does
    ("On every page", (("/", "Search readers"), ("?", "Show this page"))),
    (
        "In the search results",
        (
            ("↓", "Go to the first or next result"),
            ("↑", "Go to the previous result, or back to the search"),
            ("Enter", "Open the result"),
            ("Esc", "Close the results"),
        ),
    ),
    (
        "On a reader’s page, where the action is possible",
        (
            ("r", "Refund the latest payment that can be refunded"),
            ("c", "Cancel the subscription"),
            ("u", "Undo a scheduled cancellation: resume the subscription"),
            ("e", "Extend the subscription"),
            ("g", "Give complimentary access"),
            ("a", "Change the postal address"),
        ),
    ),
    (
        "On the pages about issues",
        (
            ("n", "Add an issue to the calendar"),
            ("m", "Change the issue"),
            ("l", "Preview and freeze the label run, or a supplement"),
        ),
    ),
)


async def show(request: ConsoleRequest) -> Response:
    """Show the keyboard shortcuts."""
    return request.render("keyboard.html", shortcuts=SHORTCUTS)


ROUTES = [page_route("/keyboard", show, role=ANY_ROLE)]
