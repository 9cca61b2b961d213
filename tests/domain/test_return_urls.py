"""Allowed return URLs."""

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
def test_an_allowed_host_is_accepted_over_https_or_on_loopback(url: str) -> None:
    check(url, HOSTS, field="success_url")


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("http://magazine.example.com/", id="not encrypted"),
        pytest.param("https://evil.example.net/", id="other host"),
        pytest.param("https://magazine.example.com.evil.example.net/", id="host with an allowed prefix"),
        pytest.param("https://magazine.example.com@evil.example.net/", id="allowed host as user name"),
        pytest.param("https://evil.example.net\\@magazine.example.com/", id="backslash as a slash"),
        pytest.param("https://magazine.example.com:8443/", id="other port"),
        pytest.param("https://shop.example.com/", id="default port of a host with another port"),
        pytest.param("//magazine.example.com/", id="no scheme"),
        pytest.param("javascript:alert(1)//magazine.example.com", id="JavaScript URL"),
        pytest.param("https://magazine.example.com/\r\nSet-Cookie: x", id="line break"),
        pytest.param("https://[::1", id="no URL"),
        pytest.param("https://magazine.example.com:99999/", id="invalid port"),
        pytest.param("/welcome", id="path only"),
        pytest.param("", id="nothing"),
    ],
)
def test_other_return_urls_are_rejected(url: str) -> None:
    with pytest.raises(ReturnUrlNotAllowed):
        check(url, HOSTS, field="success_url")
