"""The signatures of Standard Webhooks: who signed, when, and what a hostile sender tries."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import Webhook

from app.domain.callers import InvalidSignature
from app.gateway.signatures import TOLERANCE, verify_standard

NOW = datetime(2026, 3, 1, 18, tzinfo=UTC)
OURS, OLD, OTHER = ("whsec_" + base64.b64encode(bytes(range(n, n + 32))).decode() for n in (1, 50, 100))
BODY = '{"message_id": "ntf_1"}'


def check(
    *,
    body: bytes = BODY.encode(),
    signed: str = BODY,
    secret: str = OURS,
    at: datetime = NOW,
    message_id: str = "msg_1",
    timestamp: str | None = None,
    signatures: str | None = None,
    secrets: tuple[str, ...] = (OURS, OLD),
) -> None:
    """Verify a report that is signed correctly, except for what is given."""
    verify_standard(
        body,
        message_id=message_id,
        timestamp=str(int(at.timestamp())) if timestamp is None else timestamp,
        signatures=Webhook(secret).sign("msg_1", at, signed) if signatures is None else signatures,
        secrets=secrets,
        now=NOW,
    )


@pytest.mark.parametrize("secret", [OURS, OLD])
@pytest.mark.parametrize("age", [-TOLERANCE, timedelta(0), TOLERANCE])
def test_each_secret_signs_within_the_tolerance(secret: str, age: timedelta) -> None:
    check(secret=secret, at=NOW - age)


def test_one_valid_signature_among_others_is_enough() -> None:
    valid = Webhook(OURS).sign("msg_1", NOW, BODY)
    check(signatures=f"v1,AAAA v2,{valid[3:]}  v1a,= {valid}")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        pytest.param({"secret": OTHER}, "matches none", id="another secret"),
        pytest.param({"signed": BODY + " "}, "matches none", id="another body"),
        pytest.param({"message_id": "msg_2"}, "matches none", id="another ID"),
        pytest.param({"timestamp": "1772388001"}, "matches none", id="another time"),
        pytest.param({"at": NOW - TOLERANCE - timedelta(seconds=1)}, "too old", id="old"),
        pytest.param({"at": NOW + TOLERANCE + timedelta(seconds=1)}, "in the future", id="from the future"),
        pytest.param({"secrets": ()}, "No secret is configured", id="no secret"),
        pytest.param({"body": b"\xff"}, "not UTF-8", id="body that is not UTF-8"),
        *(
            pytest.param({"timestamp": text}, "since 1970", id=f"time {text[:12]!r}")
            for text in ("", "now", "nan", "inf", "-1", "1e9", "1" * 5000, "1772388000.5", "0", "01772388000", "\u0661")
        ),
        *(
            pytest.param({"message_id": text}, "webhook-id", id=f"ID {text[:12]!r}")
            for text in ("", "m" * 256, "a b", "\u00fc", "a\n")
        ),
        *(
            pytest.param({"signatures": text}, "matches none", id=f"signature {text[:12]!r}")
            for text in ("", " ", "v1", "v1,", ",", "v1,!!!", "v1," + "A" * 5000)
        ),
        pytest.param({"signatures": "v1,\u00fc"}, "in ASCII", id="signature that is not ASCII"),
        pytest.param({"signatures": " ".join(["v1,AAAA"] * 500)}, "up to 10", id="500 signatures"),
    ],
)
def test_what_nobody_signed_is_refused(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidSignature, match=said):
        check(**wrong)  # type: ignore[arg-type]
