"""Where a reader may be sent back to."""

import pytest

from app.domain.return_urls import ReturnUrlNotAllowed, check

HOSTS = ("magazine.example.com", "127.0.0.1:8080", "shop.example.com:8443")


@pytest.mark.parametrize(
    "url",
    [
        "https://magazine.example.com/welcome?session_id={CHECKOUT_SESSION_ID}",
        "https://MAGAZINE.example.com",
        "https://magazine.example.com:443/",
        "http://127.0.0.1:8080/welcome",
        "https://shop.example.com:8443/",
    ],
)
def test_an_allowed_host_over_https_or_on_this_machine(url: str) -> None:
    check(url, HOSTS, field="success_url")


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("http://magazine.example.com/", id="not encrypted"),
        pytest.param("https://evil.example.net/", id="another host"),
        pytest.param("https://magazine.example.com.evil.example.net/", id="a host that begins like it"),
        pytest.param("https://magazine.example.com@evil.example.net/", id="a user name that looks like it"),
        pytest.param(
            "https://evil.example.net\\@magazine.example.com/", id="a backslash that browsers take for a slash"
        ),
        pytest.param("https://magazine.example.com:8443/", id="another port"),
        pytest.param("https://shop.example.com/", id="the usual port of a host that has another"),
        pytest.param("//magazine.example.com/", id="no scheme"),
        pytest.param("javascript:alert(1)//magazine.example.com", id="a script"),
        pytest.param("https://magazine.example.com/\r\nSet-Cookie: x", id="a header in it"),
        pytest.param("https://[::1", id="no address at all"),
        pytest.param("https://magazine.example.com:99999/", id="no port at all"),
        pytest.param("/welcome", id="a path"),
        pytest.param("", id="nothing"),
    ],
)
def test_anything_else_is_refused(url: str) -> None:
    with pytest.raises(ReturnUrlNotAllowed):
        check(url, HOSTS, field="success_url")
