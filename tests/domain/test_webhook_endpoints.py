"""Webhook endpoints: which URLs, secrets and types are accepted."""

import base64
from datetime import timedelta
from ipaddress import IPv4Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.webhook_endpoints import (
    InvalidEndpointUrl,
    InvalidOverlap,
    InvalidSecret,
    PrivateAddress,
    UnknownEventType,
    check_address,
    check_overlap,
    check_secret,
    check_url,
    checked_types,
    compose_secret,
)

OFFICE = (ip_network("10.1.0.0/16"),)


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.com/",
        "ftp://hooks.example.com/",
        "hooks.example.com",
        "https://",
        "https://hooks.example.com:port/",
        "https://ada:secret@hooks.example.com/",  # pragma: allowlist secret
        "https://hooks.example.com/#part",
        "https://hooks.example.com/a b",
        "https://[::1/",
        "https://hööks.example.com/",
        "https://hooks.example.com/" + "x" * 2000,
    ],
)
def test_a_url_that_cannot_be_used_is_refused(url: str) -> None:
    with pytest.raises(InvalidEndpointUrl):
        check_url(url, allowed=())


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254", "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "255.255.255.255", "[::1]", "[::]", "[fe80::1]", "[fd00:ec2::254]", "[fec0::1]", "[ff02::1]",
        "[::ffff:169.254.169.254]", "[64:ff9b::a9fe:a9fe]", "[2002:a9fe:a9fe::1]", "localhost", "metadata.localhost",
        "LOCALHOST.",
    ],
)  # fmt: skip
def test_a_url_with_a_private_address_is_refused(host: str) -> None:
    with pytest.raises(PrivateAddress):
        check_url(f"https://{host}/", allowed=())


@pytest.mark.parametrize("host", ["hooks.example.com", "8.8.8.8", "[2606:4700::1111]"])
def test_a_public_url_is_accepted(host: str) -> None:
    check_url(f"https://{host}:8443/hook?from=newsstand", allowed=())


def test_a_private_network_can_be_allowed_and_no_other() -> None:
    check_url("http://10.1.2.3/hook", allowed=OFFICE)
    with pytest.raises(PrivateAddress):
        check_url("http://10.2.2.3/hook", allowed=OFFICE)


@given(number=st.integers(0, 2**32 - 1))
def test_an_address_is_judged_the_same_however_it_is_written(number: int) -> None:
    plain = IPv4Address(number)

    def is_refused(address: str) -> bool:
        try:
            check_address(ip_address(address), allowed=OFFICE)
        except PrivateAddress:
            return True
        return False

    assert is_refused(f"::ffff:{plain}") == is_refused(str(plain))
    assert is_refused(f"64:ff9b::{plain}") == is_refused(str(plain))


@pytest.mark.parametrize(
    "secret",
    [
        "", "whsec_", "whsec_c2hvcnQ=", "c2VjcmV0IG9mIGEgdGVzdCB0aGF0IGlzIHB1YmxpYw==", "whsec_***",
        compose_secret(b"x" * 23), compose_secret(b"x" * 65),
    ],
)  # fmt: skip
def test_a_short_or_malformed_secret_is_refused(secret: str) -> None:
    with pytest.raises(InvalidSecret):
        check_secret(secret)


def test_a_secret_has_the_form_of_standard_webhooks() -> None:
    check_secret(compose_secret(b"x" * 24))
    assert compose_secret(b"x" * 24) == "whsec_" + base64.b64encode(b"x" * 24).decode()


def test_an_unknown_event_type_is_refused() -> None:
    assert checked_types(["refund.failed", "copy.mailed", "copy.mailed"]) == ["copy.mailed", "refund.failed"]
    with pytest.raises(UnknownEventType):
        checked_types(["subscription.exploded"])


def test_the_overlap_of_two_secrets_is_limited() -> None:
    check_overlap(timedelta(days=30))
    for wrong in (timedelta(days=31), timedelta(seconds=-1)):
        with pytest.raises(InvalidOverlap):
            check_overlap(wrong)
