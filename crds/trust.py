"""What is signed away from the controller: statements about releases, and whom nodes trust to make them.

Both travel as DSSE envelopes. Nodes pin root keys; roots sign the trust document, its keys sign statements. Source of
the roles: The Update Framework (https://theupdateframework.github.io/specification/latest/), root and targets.
"""

import hashlib
from typing import Annotated, Literal, NamedTuple

from pydantic import AwareDatetime, Field

from crds.base import WireModel
from crds.messages import Count, PrometheusQuery
from crds.probe import Probe
from crds.release import canonical_json

RELEASE_TYPE = "application/vnd.drumbeat.release.v1+json"
TRUST_TYPE = "application/vnd.drumbeat.trust.v1+json"

CommandKind = Literal["probe", "gate", "prometheus", "expand", "contract", "adopt"]
PublicKeyText = Annotated[
    str,
    Field(
        pattern=r"^(ed25519:[0-9a-f]{64}|ssh-ed25519 [A-Za-z0-9+/]+=*( .*)?)$",
        description="an Ed25519 public key: a line such as ssh-keygen writes, or ed25519: and 64 hexadecimal digits",
    ),
]


class Statement(WireModel):
    """That a release of a service may run on some fleets, with these commands around it."""

    service: str
    fleets: list[str] | Literal["all"]
    version: str = Field(description="for people, and for what gates are told; the digest covers it too")
    release: str = Field(description="the release's digest")
    commands: list[str] = Field(
        description="digests of every command of a probe, gate or migration, and of what may be adopted: SignedCommand"
    )
    sequence: Count = Field(description="grows per service: seconds since 1970 when it was signed")


class NamedKey(WireModel):
    """A public key and whose it is."""

    name: str
    key: str


class TrustDocument(WireModel):
    """Whom nodes believe about releases. The newest version wins; an older one is refused."""

    version: Count
    fleets: list[str]
    threshold: Annotated[int, Field(ge=1)] = Field(description="how many different keys must have signed a release")
    keys: list[NamedKey]
    revoked: list[NamedKey] = Field(default_factory=list, description="never believed, wherever else they are named")
    floors: dict[str, Count] = Field(default_factory=dict, description="by service: lower sequences are refused")
    expires: AwareDatetime | None = Field(default=None, description="nothing new is believed after this")


class SignedCommand(NamedTuple):
    """A command around a release, with all that decides what it does there: what it is for, and what it is handed.

    A question to a Prometheus is one too, since it is handed secrets: its words are the address and what is asked.
    An exec probe is handed the secrets of the release, which the release's own digest covers.
    """

    kind: CommandKind
    words: list[str]
    secrets: dict[str, str] = {}
    """Environment variable: name of a secret on the node."""
    check: list[str] = []
    """Of a migration: signed with it, since another's check would have it done twice, or never."""

    @property
    def digest(self) -> str:
        """Names it by its content: a gate's command is no probe's, and with other secrets it is another."""
        said = {name: value for name, value in self._asdict().items() if name != "check" or value}
        return hashlib.sha256(canonical_json(said)).hexdigest()


def prometheus_command(asked: PrometheusQuery, secrets: dict[str, str]) -> SignedCommand:
    """A question to a Prometheus: other words would be another question, or hand the secrets to another address."""
    bounds = ["" if bound is None else repr(bound) for bound in (asked.min, asked.max)]
    words = [asked.url, asked.query, *bounds, asked.samples, repr(asked.fewest), asked.user]
    return SignedCommand("prometheus", words, secrets)


def adopt_commands(adopt: str | None) -> list[SignedCommand]:
    """Which process may be taken for the release's: it is no command, but whoever could change it could pick any."""
    return [SignedCommand("adopt", [adopt])] if adopt is not None else []


def probe_commands(probes: list[Probe]) -> list[SignedCommand]:
    """The commands among a service's probes."""
    return [SignedCommand("probe", probe.exec.command) for probe in probes if probe.exec is not None]
