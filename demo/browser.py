"""A minimal browser over HTTP: it keeps cookies, follows redirects, parses pages and submits forms. It runs no scripts."""

import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import httpx2

VOID_TAGS = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
)
HIDDEN_TAGS = frozenset({"script", "style", "template"})


@dataclass(slots=True)
class Element:
    """An element of a page."""

    tag: str
    attributes: dict[str, str]
    children: list["Element | str"] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The visible text, with whitespace collapsed."""
        parts = (c if isinstance(c, str) else c.text for c in self.children if self.tag not in HIDDEN_TAGS)
        return " ".join(" ".join(parts).split())

    def find(self, tag: str | None = None, **attributes: str) -> Iterator["Element"]:
        """Yield the descendants with this tag and these attributes; ``class_`` matches any one of the classes."""
        for child in self.children:
            if isinstance(child, Element):
                if (tag is None or child.tag == tag) and child._matches(attributes):
                    yield child
                yield from child.find(tag, **attributes)

    def _matches(self, wanted: dict[str, str]) -> bool:
        return all(
            value in self.attributes.get("class", "").split()
            if name == "class_"
            else self.attributes.get(name) == value
            for name, value in wanted.items()
        )

    def values(self) -> dict[str, str]:
        """Return the values that a form submits unchanged."""
        values: dict[str, str] = {}
        for element in self.find():
            name, kind = element.attributes.get("name"), element.attributes.get("type", "text")
            if not name or element.tag not in {"input", "textarea", "select"}:
                continue
            if kind in {"radio", "checkbox"} and "checked" not in element.attributes:
                continue
            values[name] = _value(element, kind)
        return values


def _value(element: Element, kind: str) -> str:
    if element.tag == "textarea":
        return element.text
    if element.tag == "select":
        options = list(element.find("option"))
        selected = next((o for o in options if "selected" in o.attributes), options[0] if options else None)
        return selected.attributes.get("value", selected.text) if selected else ""
    return element.attributes.get("value", "on" if kind in {"radio", "checkbox"} else "")


class _TreeBuilder(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.root = Element("document", {})
        self._open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self._open[-1].children.append(element)
        if tag not in VOID_TAGS:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        for depth in range(len(self._open) - 1, 0, -1):
            if self._open[depth].tag == tag:
                del self._open[depth:]
                return

    def handle_data(self, data: str) -> None:
        self._open[-1].children.append(data)


class Page(Element):
    """A parsed response with its URL and status."""

    def __init__(self, response: httpx2.Response) -> None:
        builder = _TreeBuilder()
        builder.feed(response.text)
        super().__init__("document", {}, builder.root.children)
        self.url, self.status, self.location = str(response.url), response.status_code, response.headers.get("location")

    @property
    def title(self) -> str:
        """The text of the title element."""
        return next((element.text for element in self.find("title")), "")

    def resolve(self, href: str) -> str:
        """Return the absolute URL of a link on this page."""
        return urljoin(self.url, href)

    def form(self, action: str = "") -> Element:
        """
        Return the first form whose action contains ``action``.

        :raises LookupError: if there is no such form.
        """
        for form in self.find("form"):
            if action in form.attributes.get("action", ""):
                return form
        wanted = f"form with the action {action}" if action else "form"
        raise LookupError(f"{self.url} ({self.status}, “{self.title}”) has no {wanted}")


@cache
def _certificates() -> ssl.SSLContext:
    """Return the trusted root certificates. Loading them takes 20 ms, so all browsers share them."""
    return ssl.create_default_context()


class Browser:
    """One person's browser. With ``follow=False`` it returns redirects instead of following them."""

    def __init__(self, *, follow: bool = True, transport: httpx2.AsyncBaseTransport | None = None) -> None:
        self._client = httpx2.AsyncClient(
            follow_redirects=follow, trust_env=False, timeout=60.0, verify=_certificates(), transport=transport
        )

    async def __aenter__(self) -> "Browser":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    def cookies(self, name: str) -> list[str]:
        """Return the values of all cookies with this name, from any site."""
        return [cookie.value or "" for cookie in self._client.cookies.jar if cookie.name == name]

    async def open(self, url: str) -> Page:
        """Open a URL."""
        return Page(await self._client.get(url))

    async def submit(self, page: Page, form: Element, **changes: str) -> Page:
        """Submit a form of a page, with some fields changed."""
        target = page.resolve(form.attributes.get("action", ""))
        values = form.values() | changes
        if form.attributes.get("method", "get").lower() == "get":
            return Page(await self._client.get(target, params=values))
        parts = urlsplit(page.url)
        origin = {"Origin": f"{parts.scheme}://{parts.netloc}"}  # browsers send it with every POST
        return Page(await self._client.post(target, data=values, headers=origin))
