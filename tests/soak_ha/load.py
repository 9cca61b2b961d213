"""The load: readers who are checked, webhooks that Stripe repeats until they are accepted, and refunds."""

import asyncio
import itertools
import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import aiohttp
from stripe import WebhookSignature

from tests.soak_ha.site import PRICE, SIGNING_SECRET, Reader, Site

AT_MOST = 400  # requests at the same time; more are counted as left out
REPEAT_SECONDS = 1.0  # between the attempts of a webhook or a refund
GIVE_UP_SECONDS = 240.0
TIME_LIMIT = aiohttp.ClientTimeout(total=30)
# In the proportion of a busy site: mostly checks, then webhooks, pages, the gate.
MIX = {"check": 56, "webhook": 14, "page": 5, "gate": 5}


@dataclass(frozen=True, slots=True)
class Answer:
    """A request and what came of it: its kind, its time in seconds since the load began, and the result."""

    kind: str
    at: float
    seconds: float
    status: int | None  # None: no answer
    words: str = ""


@dataclass
class Record:
    """What the load saw."""

    answers: list[Answer] = field(default_factory=list)
    acknowledged: dict[str, float] = field(default_factory=dict)  # events, with the time of the 200
    refunded: list[Reader] = field(default_factory=list)  # whose refund was accepted
    refused: list[str] = field(default_factory=list)  # paying readers who were told that they have no access
    left_out: int = 0

    def statuses(self) -> dict[str, dict[str, int]]:
        """Return how often each kind of request had each result."""
        found: dict[str, Counter[str]] = {}
        for one in self.answers:
            found.setdefault(one.kind, Counter())[str(one.status or one.words)] += 1
        return {kind: dict(sorted(counts.items())) for kind, counts in sorted(found.items())}

    def reasons(self) -> dict[str, int]:
        """Return how often each reason was given for an error of the server."""
        found = Counter(f"{one.kind} {one.status} {one.words}" for one in self.answers if one.words and one.status)
        return dict(found.most_common(8))

    def longest_gap(self, since: float) -> float:
        """Return the longest time in seconds without an acknowledged event."""
        times = [since, *sorted(at for at in self.acknowledged.values() if at >= since)]
        return max((later - earlier for earlier, later in itertools.pairwise(times)), default=float("inf"))

    def slowest(self, kind: str, share: float) -> float:
        """Return a percentile of the seconds of the answered requests of a kind."""
        seconds = sorted(one.seconds for one in self.answers if one.kind == kind and one.status is not None)
        return seconds[min(len(seconds) - 1, int(len(seconds) * share))] if seconds else float("nan")


class Load:
    """Sends requests at a constant rate, whether they are answered or not."""

    def __init__(
        self, site: Site, readers: Sequence[Reader], refunds: Sequence[Reader], *, rate: float, through: str = "haproxy"
    ) -> None:
        """
        Prepare the load.

        :param readers: who pay, and are never refused.
        :param refunds: who request their guarantee refund.
        :param rate: requests per second.
        :param through: the balancer.
        """
        self.record = Record()
        self._site, self._readers, self._rate = site, readers, rate
        self._url = site.urls[through]
        self._refunds = list(refunds)
        self._next_reader, self._event = itertools.cycle(readers), itertools.count()
        self._began = time.monotonic()
        self._running: set[asyncio.Task[None]] = set()
        self._prefix = f"evt_soak_{time.time_ns()}"

    def now(self) -> float:
        """Return the seconds since the load began."""
        return time.monotonic() - self._began

    async def run(self, stop: asyncio.Event) -> Record:
        """Send requests until ``stop`` is set; then wait until every webhook and refund has been accepted."""
        connector = aiohttp.TCPConnector(limit=AT_MOST)
        async with aiohttp.ClientSession(connector=connector, timeout=TIME_LIMIT) as http:
            due, kinds, refund_at = time.monotonic(), _in_proportion(), time.monotonic() + 1
            while not stop.is_set():
                if self._refunds and time.monotonic() >= refund_at:
                    refund_at = time.monotonic() + 1.5
                    self._start(self._refund(http, self._refunds.pop()))
                if len(self._running) < AT_MOST:
                    kind = next(kinds)
                    self._start(getattr(self, f"_{kind}")(http))
                else:
                    self.record.left_out += 1
                due += 1 / self._rate
                await asyncio.sleep(max(0.0, due - time.monotonic()))
            while self._running:
                await asyncio.wait(self._running)
        return self.record

    def _start(self, work: object) -> None:
        task = asyncio.ensure_future(work)  # type: ignore[call-overload]
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _send(
        self, http: aiohttp.ClientSession, kind: str, method: str, path: str, **options: object
    ) -> tuple[int | None, str]:
        at = self.now()
        try:
            async with http.request(method, f"{self._url}{path}", **options) as answer:  # type: ignore[arg-type]
                text, status = await answer.text(), answer.status
        except (aiohttp.ClientError, TimeoutError, OSError) as failure:
            self.record.answers.append(Answer(kind, at, self.now() - at, None, type(failure).__name__))
            return None, ""
        words = _reason(text) if status >= 500 else ""
        self.record.answers.append(Answer(kind, at, self.now() - at, status, words))
        return status, text

    async def _check(self, http: aiohttp.ClientSession) -> None:
        reader = next(self._next_reader)
        status, text = await self._send(
            http,
            *("check", "POST", "/v1/entitlements/check"),
            json={"subscriber": reader.sub, "feature": "archive"},
            headers={"Authorization": f"Bearer {self._site.api_key}"},
        )
        if (status == 200 and not json.loads(text)["allowed"]) or status in {401, 403, 404, 422}:
            self.record.refused.append(f"check of {reader.sub} at {self.now():.1f} s: {status} {text[:200]}")

    async def _gate(self, http: aiohttp.ClientSession) -> None:
        reader = next(self._next_reader)
        headers = {"Authorization": f"Bearer {reader.token}"}
        status, text = await self._send(http, "gate", "GET", "/v1/gate?feature=archive", headers=headers)
        if status in {401, 403, 404, 422}:
            self.record.refused.append(f"gate for {reader.sub} at {self.now():.1f} s: {status} {text[:200]}")

    async def _page(self, http: aiohttp.ClientSession) -> None:
        headers = {"Authorization": f"Bearer {next(self._next_reader).token}"}
        await self._send(http, "page", "GET", "/v1/me/subscription", headers=headers)

    async def _webhook(self, http: aiohttp.ClientSession) -> None:
        """Deliver an event until it is acknowledged, as Stripe does."""
        event_id, reader = f"{self._prefix}_{next(self._event)}", next(self._next_reader)
        event = {
            "id": event_id,
            "object": "event",
            "type": "customer.subscription.updated",
            "livemode": False,
            "api_version": "2026-10-28.endive",
            "created": int(time.time()),
            "pending_webhooks": 1,
            "request": None,
            "data": {"object": {"id": reader.subscription, "object": "subscription"}},
        }
        body, ends = json.dumps(event), time.monotonic() + GIVE_UP_SECONDS
        while time.monotonic() < ends:
            headers = {
                "Stripe-Signature": WebhookSignature.generate_signature_header(body, SIGNING_SECRET, int(time.time())),
                "Content-Type": "application/json",
            }
            status, _ = await self._send(http, "webhook", "POST", "/webhooks/stripe", data=body, headers=headers)
            if status == 200:
                self.record.acknowledged[event_id] = self.now()
                return
            await asyncio.sleep(REPEAT_SECONDS)

    async def _refund(self, http: aiohttp.ClientSession, reader: Reader) -> None:
        """Request a refund with one key until it is accepted, clicking twice each time."""
        headers = {"Authorization": f"Bearer {reader.token}", "Idempotency-Key": f"refund-{reader.sub}"}
        body = {"expected_amount": {"amount": PRICE, "currency": "usd"}}
        ends = time.monotonic() + GIVE_UP_SECONDS
        while time.monotonic() < ends:
            clicks = [
                self._send(http, "refund", "POST", "/v1/me/refunds", json=body, headers=headers) for _ in range(2)
            ]
            if any(status in {201, 202} for status, _ in await asyncio.gather(*clicks)):
                self.record.refunded.append(reader)
                return
            await asyncio.sleep(REPEAT_SECONDS)


def _reason(text: str) -> str:
    """Return the code and the detail of a problem document, or the text of a balancer's page."""
    try:
        problem = json.loads(text)
        return f"{problem['code']}: {problem.get('detail', '')}"
    except (ValueError, KeyError, TypeError):
        return text[:200]


def _in_proportion() -> Iterator[str]:
    """Yield kinds of requests in the proportions of :data:`MIX`, evenly mixed."""
    owed = dict.fromkeys(MIX, 0.0)
    total = sum(MIX.values())
    while True:
        for kind, share in MIX.items():
            owed[kind] += share / total
        kind = max(owed, key=lambda one: owed[one])
        owed[kind] -= 1
        yield kind
