"""What a machine and the controller say to each other when the machine becomes a node.

The machine posts its public key and the hash of the token that it will connect with; the answer holds the keys of
controllers. Both carry an HMAC-SHA256 with the invitation's secret, so that somebody between who has not got the
invitation can neither join nor plant a controller's key, even where TLS is missing. The answer's covers the request's,
so that it answers this request and no other.
"""

import hashlib
import hmac

from pydantic import Field

from bus.keyring import NodeRole
from bus.keys import TokenHash
from crds.base import HostName, WireModel

JOIN_PATH = "/bus/v1/join"
PROOF_HEADER = "Drumbeat-Proof"
MAX_JOIN = 16384
"""Bytes of a request, and of an answer."""

_REQUEST, _ANSWER = b"drumbeat join request v1\n", b"drumbeat join answer v1\n"


class JoinRequest(WireModel):
    """What the machine says."""

    invitation: str = Field(max_length=64, description="the invitation's id")
    node: HostName
    public_key: str = Field(pattern=r"^ed25519:[0-9a-f]{64}$")
    token_hash: TokenHash


class JoinAnswer(WireModel):
    """What the controller says."""

    node: HostName
    roles: list[NodeRole]
    controller_keys: list[str] = Field(min_length=1)


def prove_request(secret: str, body: bytes) -> str:
    """The proof that goes with a request."""
    return _proof(secret, _REQUEST + body)


def prove_answer(secret: str, request_proof: str, body: bytes) -> str:
    """The proof that goes with the answer to a request."""
    return _proof(secret, _ANSWER + request_proof.encode() + b"\n" + body)


def same_proof(said: str, expected: str) -> bool:
    """Whether the proofs are the same, in a time that does not tell how much of them is."""
    return hmac.compare_digest(said.encode(), expected.encode())


def _proof(secret: str, content: bytes) -> str:
    return hmac.new(secret.encode(), content, hashlib.sha256).hexdigest()
