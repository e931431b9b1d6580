"""Keys, statements and trust documents for tests, and a node's trust in them."""

from dataclasses import dataclass, field
from typing import Any

from agent.trust import NodeTrust
from bus.clock import Clock
from bus.envelope import add_signature, seal
from bus.keys import SigningKey, generate_key, public_text
from bus.trust import Roots
from crds.release import Release
from crds.trust import RELEASE_TYPE, TRUST_TYPE, CommandKind, NamedKey, SignedCommand, Statement, TrustDocument
from tests.support.roles import MemorySteps

TARGET = "api@prod"


def release(version: str = "1", **said: Any) -> Release:
    """A release that simulated drivers can install."""
    return Release(**{"version": version, "url": "sim:", "sha256": "0" * 64, "run": ["run"], **said})


@dataclass
class Signing:
    """Two roots, and people with keys; a trust document in which all of them count."""

    roots: list[SigningKey] = field(default_factory=lambda: [generate_key(), generate_key()])
    people: dict[str, SigningKey] = field(default_factory=lambda: {name: generate_key() for name in ("ci", "qa")})
    threshold: int = 1

    def pinned(self, fleet: str = "prod", threshold: int = 2) -> Roots:
        """What the node is set up with."""
        return Roots(fleet, threshold, tuple(root.public_key for root in self.roots))

    def node(self, clock: Clock, steps: MemorySteps | None = None, **said: Any) -> NodeTrust:
        """A node's trust, which has no trust document yet."""
        return NodeTrust(self.pinned(**said), steps or MemorySteps(), clock)

    def named(self, *names: str) -> list[NamedKey]:
        """Public keys of people, all if none is named."""
        return [NamedKey(name=name, key=public_text(self.people[name].public_key)) for name in names or self.people]

    def document(self, version: int = 1, **said: Any) -> TrustDocument:
        """A trust document, all people's keys in it."""
        fields = {"version": version, "fleets": ["prod"], "threshold": self.threshold, "keys": self.named(), **said}
        return TrustDocument.model_validate(fields)

    def trust(self, version: int = 1, by: list[SigningKey] | None = None, **said: Any) -> str:
        """The same in its envelope, signed by all roots unless said otherwise."""
        return signed(TRUST_TYPE, self.document(version, **said), self.roots if by is None else by)

    def statement(
        self,
        what: Release,
        *by: str,
        commands: dict[CommandKind, list[str]] | None = None,
        secrets: dict[str, str] | None = None,
        check: list[str] | None = None,
        **said: Any,
    ) -> str:
        """A statement on a release, signed by these people; by ci if none is named.

        ``secrets`` and ``check`` are the commands'.
        """
        fields = {
            "service": "api",
            "fleets": ["prod"],
            "version": what.version,
            "release": what.digest,
            "commands": [
                SignedCommand(kind, words, secrets or {}, check or []).digest
                for kind, words in (commands or {}).items()
            ],
            "sequence": 100,
            **said,
        }
        return signed(RELEASE_TYPE, Statement.model_validate(fields), [self.people[name] for name in by or ("ci",)])


def signed(kind: str, said: Statement | TrustDocument, by: list[SigningKey]) -> str:
    """An envelope with these signatures; with none, what one looks like after they were stripped off."""
    payload = said.model_dump_json(by_alias=True).encode()
    envelope = seal(kind, payload, by[0] if by else generate_key())
    for key in by[1:]:
        envelope = add_signature(envelope, key)
    return envelope.decode()
