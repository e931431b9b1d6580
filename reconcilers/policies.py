"""What a Policy says, in the form in which roots sign it and nodes take it."""

from datetime import datetime

from crds.policy import Policy, PolicyKey
from crds.trust import NamedKey, TrustDocument


def trust_document(policy: Policy, version: int, expires: datetime | None) -> TrustDocument:
    """The policy as a trust document of that version."""
    releases = policy.spec.releases
    return TrustDocument(
        version=version,
        fleets=list(policy.spec.fleets),
        threshold=releases.threshold,
        keys=_named(releases.keys),
        revoked=_named(releases.revoked),
        floors=dict(releases.floors),
        expires=expires,
    )


def _named(keys: list[PolicyKey]) -> list[NamedKey]:
    return [NamedKey(name=each.name, key=each.key) for each in keys]
