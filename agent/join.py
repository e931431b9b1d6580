"""``drumbeat-agent join``: a machine with an invitation makes its own credentials, and becomes a node.

Nothing secret leaves the machine: not the private key, not the bearer token, not the invitation's secret. The folder is
complete once it holds the controller's keys, which are written last; until then the command can be given again.
"""

import re
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError
from urllib3 import Timeout

from bus.http_client import FAILURES, Client
from bus.in_time import Deadline
from bus.invitations import split_token
from bus.joining import (
    JOIN_PATH,
    MAX_JOIN,
    PROOF_HEADER,
    JoinAnswer,
    JoinRequest,
    prove_answer,
    prove_request,
    same_proof,
)
from bus.keys import (
    CONTROLLER_KEYS_FILE,
    NODE_KEY_FILE,
    TOKEN_FILE,
    SigningKey,
    generate_key,
    generate_token,
    hash_token,
    load_private_key,
    load_token,
    parse_public,
    public_text,
    replace_secret,
)
from crds.base import HostName

_PATIENCE = Timeout(connect=5.0, read=30.0)
_WHOLE = 60.0
"""Seconds for the whole answer."""


class JoinFailed(Exception):
    """The machine is no node now; the text says why, and what to do."""


@dataclass(frozen=True)
class Joining:
    """What an operator says."""

    controller: str
    """The controller's URL."""
    name: str
    token: str
    """Of the invitation: ID.SECRET."""
    credentials: Path
    ca: Path | None = None
    """Trust the certificates of this file only."""


def join(asked: Joining) -> JoinAnswer:
    """Join, and leave the credentials in their folder. Raises JoinFailed and BadKey."""
    invitation, secret = split_token(asked.token)
    _check(asked)
    try:
        asked.credentials.mkdir(parents=True, exist_ok=True, mode=0o700)
        key, token = _own_key(asked.credentials / NODE_KEY_FILE), _own_token(asked.credentials / TOKEN_FILE)
    except OSError as error:
        raise JoinFailed(f"{asked.credentials}: cannot be written: {error.strerror}") from error
    request = JoinRequest(
        invitation=invitation,
        node=asked.name,
        public_key=public_text(key.public_key),
        token_hash=hash_token(token),
    )
    answer = _ask(asked, request.model_dump_json(by_alias=True).encode(), secret)
    if answer.node != asked.name:
        raise JoinFailed(f"the controller answered for node {answer.node!r}; ask for an invitation of {asked.name!r}")
    pinned = "".join(f"{public_text(parse_public(text))}\n" for text in answer.controller_keys)
    replace_secret(asked.credentials / CONTROLLER_KEYS_FILE, pinned.encode())
    return answer


def _check(asked: Joining) -> None:
    if not re.match(r"https?://\S+$", asked.controller):
        raise JoinFailed(f"--controller {asked.controller!r} is no URL; write https://HOST, as in bus: of agent.yaml")
    try:
        TypeAdapter(HostName).validate_python(asked.name)
    except ValidationError as error:
        raise JoinFailed(f"--name {asked.name!r} is not a node's name: {error.errors()[0]['msg']}") from error
    if (asked.credentials / CONTROLLER_KEYS_FILE).exists():
        raise JoinFailed(
            f"{asked.credentials}: holds credentials already; to join anew, stop the agent and remove the folder"
        )


def _own_key(path: Path) -> SigningKey:
    """The key of this machine: made now, or by a try before, so that the same one is offered again."""
    if not path.exists():
        replace_secret(path, generate_key().private_bytes)
    return load_private_key(path)


def _own_token(path: Path) -> str:
    if not path.exists():
        replace_secret(path, generate_token().encode() + b"\n")
    return load_token(path)


def _ask(asked: Joining, body: bytes, secret: str) -> JoinAnswer:
    """The controller's answer, proven to come from whoever issued the invitation. Raises JoinFailed."""
    proof = prove_request(secret, body)
    status, said, answer_proof = _post(asked, body, proof)
    if status != 200:
        text = said[:300].decode(errors="replace").strip()
        raise JoinFailed(f"{asked.controller} answered {status}: {text} Its log says why; the same command tries again")
    if not same_proof(answer_proof, prove_answer(secret, proof, said)):
        raise JoinFailed(
            f"{asked.controller} answered without proof that it knows the invitation: it is not the controller, or "
            "somebody between changed the answer; nothing of it was taken"
        )
    try:
        return JoinAnswer.model_validate_json(said)
    except ValidationError as error:
        raise JoinFailed(f"{asked.controller} gave an answer that this agent does not know: {error}") from error


def _post(asked: Joining, body: bytes, proof: str) -> tuple[int, bytes, str]:
    """Status, body and proof of the answer. Raises JoinFailed."""
    url = f"{asked.controller.rstrip('/')}{JOIN_PATH}"
    headers = {PROOF_HEADER: proof, "Content-Type": "application/json"}
    try:
        client = Client(url, ca=str(asked.ca) if asked.ca else None)
        with (
            closing(client),
            client.request("POST", url, headers, _PATIENCE, body, deadline=Deadline(_WHOLE)) as answer,
        ):
            return answer.status, answer.read(MAX_JOIN + 1), answer.headers.get(PROOF_HEADER, "")
    except FAILURES as error:
        raise JoinFailed(f"{asked.controller} cannot be reached: {error}") from error
