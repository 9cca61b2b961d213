"""What proves consents and declarations."""

from app.db import consents, declarations
from app.domain.consents import Consent
from app.domain.declarations import Channel, Declaration, DeclarationKind
from bench.scale.subject import NOW, Subject, query


async def _consent(s: Subject) -> None:
    consent = Consent(
        id="cns_new", checkout_id=s.id("chk"), subscriber_id=s.reader, agreed_at=NOW, shown={}, digest="new"
    )
    await consents.save(s.session, consent)


def _declared(s: Subject, declaration_id: str) -> Declaration:
    return Declaration(
        id=declaration_id,
        kind=DeclarationKind.CANCELLATION,
        channel=Channel.READER,
        received_at=NOW,
        subscriber_id=s.reader,
        subscription_id=s.id("scr"),
    )


async def _declaration(s: Subject) -> None:
    await declarations.insert(s.session, _declared(s, "dcl_new"))


async def _outcome(s: Subject) -> None:
    await declarations.set_outcome(s.session, _declared(s, s.id("dcl")))


EVIDENCE = (
    query("consents.save", _consent),
    query("consents.of_subscriber", lambda s: consents.of_subscriber(s.session, s.reader)),
    query("declarations.insert", _declaration),
    query("declarations.by_id", lambda s: declarations.by_id(s.session, s.id("dcl"))),
    query("declarations.withdrawal_from", lambda s: declarations.withdrawal_from(s.session, s.id("scr"))),
    query("declarations.of_subscriber", lambda s: declarations.of_subscriber(s.session, s.reader)),
    query("declarations.newest_cancellation", lambda s: declarations.newest_cancellation(s.session, s.id("scr"))),
    query("declarations.set_outcome", _outcome),
    query("declarations.revoke_notice", lambda s: declarations.revoke_notice(s.session, s.id("scr"))),
    query("declarations.settle", lambda s: declarations.settle(s.session, s.id("dcl"), by="staff:agent-1", now=NOW)),
)
