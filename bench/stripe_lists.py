"""
A fake Stripe with long lists, which takes a while for each page.

Its objects are copies of objects of the local Stripe, each created at another time. ``created`` filters and cursors work as
at Stripe; lists of everything else are empty.
"""

import argparse
import asyncio
import json
import random
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from bench.load_generator import HOST

_NUMBER, _CREATED = "00000000", 1_111_111_111  # placeholders in the text of a template
_DIGITS = re.compile(r"\d{8}$")
_NOT_FOUND = '{"error": {"type": "invalid_request_error", "code": "resource_missing", "message": "No such object"}}'


class Copies:
    """Copies of an object, with other IDs and another time of creation."""

    def __init__(self, template: Mapping[str, Any], ids: Sequence[str] = ()) -> None:
        """:param ids: the IDs in the template that differ in each copy, unless their number is 00000000 already."""
        text = json.dumps({**template, "created": _CREATED})
        for one in ids:
            text = text.replace(one, copied_id(one, 0))
        self._parts = re.split(f"({_NUMBER}|{_CREATED})", text)

    def copy(self, number: int, created: int) -> str:
        """Return a copy as JSON."""
        values = {_NUMBER: f"{number:08d}", str(_CREATED): str(created)}
        return "".join(values.get(part, part) for part in self._parts)


def creation_times(size: int, *, until: int) -> list[int]:
    """
    Return the times at which a magazine's subscriptions were created: half in five years, half in the month of its launch.

    :param until: the newest, in seconds since 1970.
    """
    chance, years, month = random.Random(5), 5 * 365 * 86_400, 30 * 86_400
    return sorted(until - (chance.randrange(years) if n % 2 else years - chance.randrange(month)) for n in range(size))


def copied_id(template_id: str, number: int) -> str:
    """Return the ID of a copy."""
    return f"{template_id.partition('_')[0]}_{number:08d}"


@dataclass(frozen=True)
class StripeLists:
    """
    The lists. The objects of each are numbered in the order in which they were created.

    :param copies: the objects of each list, by path.
    :param created: the time of each object, in seconds since 1970, oldest first.
    :param latency: seconds for each page.
    :param at_once: no page of a list but the first is answered until so many are requested at the same time.
    """

    copies: Mapping[str, Copies]
    created: Sequence[int]
    latency: float
    at_once: int = 1
    calls: Counter[str] = field(default_factory=Counter)  # by path
    together: Counter[str] = field(default_factory=Counter)  # the most calls at one time, by path
    _running: Counter[str] = field(default_factory=Counter)
    _more: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def answer(self, target: str) -> tuple[int, str]:
        """Return the status and the body for a GET request."""
        parts = urlsplit(target)
        path, query = parts.path, dict(parse_qsl(parts.query))
        parent, _, name = path.rpartition("/")
        self.calls[path if parent not in self.copies else f"{parent}/{{id}}"] += 1
        if parent in self.copies:
            number = int(found[0]) if (found := _DIGITS.search(name)) else len(self.created)
            if number >= len(self.created):
                return 404, _NOT_FOUND
            return 200, self.copies[parent].copy(number, self.created[number])
        if path not in self.copies:
            return 200, json.dumps({"object": "list", "url": path, "has_more": False, "data": []})
        self._running[path] += 1
        self.together[path] = max(self.together[path], self._running[path])
        if self.calls[path] > 1:
            async with self._more:
                self._more.notify_all()
                await self._more.wait_for(lambda: self.together[path] >= self.at_once)
        await asyncio.sleep(self.latency)
        self._running[path] -= 1
        return 200, self._page(path, query)

    def _page(self, path: str, query: Mapping[str, str]) -> str:
        first = bisect_left(self.created, int(query.get("created[gte]", 0)))
        end = bisect_left(self.created, int(query["created[lt]"])) if "created[lt]" in query else len(self.created)
        if after := _DIGITS.search(query.get("starting_after", "")):
            end = min(end, int(after[0]))
        numbers = range(end - 1, max(first - 1, end - 1 - int(query.get("limit", 10))), -1)
        objects = ", ".join(self.copies[path].copy(number, self.created[number]) for number in numbers)
        has_more = json.dumps(end - len(numbers) > first)
        return f'{{"object": "list", "url": "{path}", "has_more": {has_more}, "data": [{objects}]}}'

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                status, body = await self.answer(head.split(b" ", 2)[1].decode())
                content = body.encode()
                lines = (f"HTTP/1.1 {status} -", "Content-Type: application/json", f"Content-Length: {len(content)}")
                writer.write("\r\n".join((*lines, "", "")).encode() + content)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    @asynccontextmanager
    async def served(self, port: int = 0) -> AsyncIterator[str]:
        """Serve the lists, and yield the URL."""
        server = await asyncio.start_server(self._connection, HOST, port)
        try:
            yield f"http://{HOST}:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()


async def _serve(port: int, lists: StripeLists) -> None:
    async with lists.served(port):
        await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.stripe_lists", description="A fake Stripe with long lists.")
    parser.add_argument("--port", type=int, required=True, help="port to listen on")
    parser.add_argument(
        "--templates", type=Path, required=True, help="JSON file with an object for the path of each list"
    )
    parser.add_argument("--size", type=int, required=True, help="objects in each list")
    parser.add_argument("--until", type=int, required=True, help="when the newest was created, in seconds since 1970")
    parser.add_argument("--latency", type=float, default=1.0, help="seconds for each page (default: 1)")
    options = parser.parse_args()
    templates = json.loads(options.templates.read_text())
    served = {path: Copies(template) for path, template in templates.items()}
    created = creation_times(options.size, until=options.until)
    asyncio.run(_serve(options.port, StripeLists(served, created, options.latency)))
