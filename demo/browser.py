"""A browser without a screen: keeps cookies, follows redirects, reads pages and fills in the forms as they stand."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import httpx2

VOID = frozenset({"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"})
HIDDEN = frozenset({"script", "style", "template"})


@dataclass(slots=True)
class Element:
    """One element of a page."""

    tag: str
    attributes: dict[str, str]
    children: list["Element | str"] = field(default_factory=list)

    @property
    def text(self) -> str:
        """What can be read in it, with single spaces."""
        parts = (c if isinstance(c, str) else c.text for c in self.children if self.tag not in HIDDEN)
        return " ".join(" ".join(parts).split())

    def find(self, tag: str | None = None, **attributes: str) -> Iterator["Element"]:
        """Yield the elements within that have this tag and these attributes (`class_` among its classes)."""
        for child in self.children:
            if isinstance(child, Element):
                if (tag is None or child.tag == tag) and child._has(attributes):
                    yield child
                yield from child.find(tag, **attributes)

    def _has(self, wanted: dict[str, str]) -> bool:
        return all(
            value in self.attributes.get("class", "").split()
            if name == "class_"
            else self.attributes.get(name) == value
            for name, value in wanted.items()
        )

    def values(self) -> dict[str, str]:
        """Return what a form would send if nothing were changed."""
        filled: dict[str, str] = {}
        for element in self.find():
            name, kind = element.attributes.get("name"), element.attributes.get("type", "text")
            if not name or element.tag not in {"input", "textarea", "select"}:
                continue
            if kind in {"radio", "checkbox"} and "checked" not in element.attributes:
                continue
            filled[name] = _value(element, kind)
        return filled


def _value(element: Element, kind: str) -> str:
    if element.tag == "textarea":
        return element.text
    if element.tag == "select":
        options = list(element.find("option"))
        chosen = next((o for o in options if "selected" in o.attributes), options[0] if options else None)
        return chosen.attributes.get("value", chosen.text) if chosen else ""
    return element.attributes.get("value", "on" if kind in {"radio", "checkbox"} else "")


class _Builder(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.root = Element("document", {})
        self._open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self._open[-1].children.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        for depth in range(len(self._open) - 1, 0, -1):
            if self._open[depth].tag == tag:
                del self._open[depth:]
                return

    def handle_data(self, data: str) -> None:
        self._open[-1].children.append(data)


class Page(Element):
    """A page that came back, with where it came from."""

    def __init__(self, response: httpx2.Response) -> None:
        builder = _Builder()
        builder.feed(response.text)
        super().__init__("document", {}, builder.root.children)
        self.url, self.status, self.location = str(response.url), response.status_code, response.headers.get("location")

    @property
    def title(self) -> str:
        """The page's title."""
        return next((element.text for element in self.find("title")), "")

    def resolve(self, href: str) -> str:
        """Return where a link of this page leads."""
        return urljoin(self.url, href)

    def form(self, action: str = "") -> Element:
        """
        Return the first form that is sent to an address containing ``action``.

        :raises LookupError: if there is none.
        """
        for form in self.find("form"):
            if action in form.attributes.get("action", ""):
                return form
        raise LookupError(f"{self.url} ({self.status}, “{self.title}”) has no form for {action or 'anything'}")


class Browser:
    """One person's browser. `follow=False` shows each redirect instead of going along."""

    def __init__(self, *, follow: bool = True) -> None:
        self._client = httpx2.AsyncClient(follow_redirects=follow, trust_env=False, timeout=20.0)

    async def __aenter__(self) -> "Browser":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    def cookies(self, name: str) -> list[str]:
        """Return what is kept under a name, of every site."""
        return [cookie.value or "" for cookie in self._client.cookies.jar if cookie.name == name]

    async def open(self, url: str) -> Page:
        """Go to an address."""
        return Page(await self._client.get(url))

    async def submit(self, page: Page, form: Element, **changes: str) -> Page:
        """Send a form of a page, with some fields filled in."""
        target = page.resolve(form.attributes.get("action", ""))
        filled = form.values() | changes
        if form.attributes.get("method", "get").lower() == "get":
            return Page(await self._client.get(target, params=filled))
        parts = urlsplit(page.url)
        origin = {"Origin": f"{parts.scheme}://{parts.netloc}"}  # as browsers say of what they post
        return Page(await self._client.post(target, data=filled, headers=origin))
