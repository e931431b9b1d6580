"""The controller's end of joining: ``POST /bus/v1/join``, for machines that hold an invitation.

Whoever is refused learns that the invitation is not valid, and nothing more; the log says why. An invitation is used
once: its file stays until it expires, so that a node whose answer was lost can ask again with the same key.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

from pydantic import ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from bus.clock import Clock
from bus.invitations import Invitation, Invitations
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
from bus.keyring import DamagedEntry, KeyRing, NodeEntry
from bus.keys import BadKey, PublicKey, public_text

_GUESSES = 5
"""Wrong proofs for one invitation in ``_SPAN`` seconds, after which nothing is compared for a while."""
_SPAN = 60.0
_NOBODY = "0" * 43
"""Stands for the secret of an invitation that is not there, so that both take the same time."""


class _Refusal(Exception):
    """Why somebody may not join: for the log."""

    def __init__(self, why: str, status: int = 403, text: str = "This invitation is not valid.") -> None:
        super().__init__(why)
        self.response = PlainTextResponse(f"{text}\n", status, {"Retry-After": "60"} if status in (429, 503) else None)


class JoinDesk:
    """Its route is part of an ASGI application: ``Starlette(routes=desk.routes())``."""

    def __init__(
        self,
        ring: KeyRing,
        invitations: Invitations,
        controller_keys: Sequence[PublicKey],
        clock: Clock,
        joined: Callable[[JoinAnswer], None],
    ) -> None:
        """``joined`` is told of each node that has joined, and must not block."""
        self._ring, self._invitations, self._clock, self._joined = ring, invitations, clock, joined
        self._controller_keys = [public_text(key) for key in controller_keys]
        self._logger = logging.getLogger("bus.join")
        self._guesses: dict[str, deque[float]] = {}
        self._quiet_until: dict[str, float] = {}

    def routes(self) -> list[Route]:
        """The one route."""
        return [Route(JOIN_PATH, self._join, methods=["POST"])]

    async def _join(self, request: Request) -> Response:
        try:
            body, proof = await _body(request), request.headers.get(PROOF_HEADER, "")
            asked = _parse(body)
            try:
                invitation = self._proven(asked, body, proof)
                answer = await asyncio.to_thread(self._admit, asked)
            except _Refusal as refusal:
                why = str(refusal)
                self._log(asked, why, why if "no such invitation" in why else f"{asked.invitation} {why}")
                raise
            except (BadKey, OSError) as error:
                self._log(asked, f"the folder of keys cannot be used: {error}", "folder")
                raise _Refusal(str(error), 503, "The controller cannot admit nodes now; its log says why.") from error
        except _Refusal as refusal:
            return refusal.response
        said = answer.model_dump_json(by_alias=True).encode()
        return Response(said, 200, {PROOF_HEADER: prove_answer(invitation.secret, proof, said)}, "application/json")

    def _proven(self, asked: JoinRequest, body: bytes, proof: str) -> Invitation:
        invitation = self._invitations.find(asked.invitation)
        if invitation is not None and self._is_guessed_at(asked.invitation):
            raise _Refusal("too many wrong proofs; nothing is compared for a while", 429, "Come back later.")
        expected = prove_request(invitation.secret if invitation else _NOBODY, body)
        if not same_proof(proof, expected) or invitation is None:
            if invitation is None:
                raise _Refusal("there is no such invitation; it may have expired, or been withdrawn")
            self._guesses.setdefault(asked.invitation, deque(maxlen=_GUESSES)).append(self._clock.monotonic())
            raise _Refusal("wrong proof: the token is not this invitation's")
        return invitation

    def _is_guessed_at(self, name: str) -> bool:
        guesses = self._guesses.get(name, deque())
        return len(guesses) == _GUESSES and self._clock.monotonic() - guesses[0] < _SPAN

    def _admit(self, asked: JoinRequest) -> JoinAnswer:
        """Let the node in, while nobody else changes the ring. It waits for that, so a thread of its own does it.

        Raises _Refusal, BadKey and OSError.
        """
        with self._ring.changing():
            invitation = self._invitations.find(asked.invitation)
            if invitation is None:
                raise _Refusal("the invitation was withdrawn a moment ago")
            return self._admit_by(invitation, asked)

    def _admit_by(self, invitation: Invitation, asked: JoinRequest) -> JoinAnswer:
        """Let the node in, once. Raises _Refusal, BadKey and OSError."""
        answer = JoinAnswer(node=invitation.node, roles=invitation.roles, controller_keys=self._controller_keys)
        now = self._clock.now()
        if invitation.expires <= now:
            self._invitations.prune(now)
            raise _Refusal(f"the invitation expired at {invitation.expires:%Y-%m-%d %H:%M:%S} UTC")
        if invitation.node != asked.node:
            raise _Refusal(f"the invitation is for {invitation.node}")
        if invitation.used_by not in ("", asked.public_key):
            raise _Refusal("the invitation was used already, by another key")
        before = self._entry(asked.node)
        has_key = before is not None and before.public_key == asked.public_key
        if has_key and invitation.used_by:
            return answer  # perhaps revoked since: only the answer is given again
        if before is not None and has_key and not before.trusted:
            raise _Refusal("that key was revoked or is disputed; the node must make a new one")
        # Marked first: better an invitation that is lost than one that is used twice.
        self._invitations.save(asked.invitation, invitation.model_copy(update={"used_by": asked.public_key}))
        entry = NodeEntry(public_key=asked.public_key, token_hash=asked.token_hash, roles=invitation.roles)
        self._ring.register(asked.node, entry)
        self._logger.info(
            "node.joined", extra={"node": asked.node, "roles": invitation.roles, "public_key": asked.public_key}
        )
        self._joined(answer)
        return answer

    def _entry(self, node: str) -> NodeEntry | None:
        with suppress(DamagedEntry):  # it is mended by joining anew; one that cannot be read may say: revoked
            return self._ring.entry(node)
        return None

    def _log(self, asked: JoinRequest, why: str, known: str) -> None:
        """Once a minute for each reason and each invitation that exists: strangers must not fill the log."""
        now = self._clock.monotonic()
        if now >= self._quiet_until.get(known, now):
            self._quiet_until[known] = now + _SPAN
            self._logger.warning("join.refused", extra={"node": asked.node, "invitation": asked.invitation, "why": why})


def _parse(body: bytes) -> JoinRequest:
    try:
        return JoinRequest.model_validate_json(body)
    except ValidationError as error:
        raise _Refusal(str(error), 400, "This is not a request to join; use 'drumbeat-agent join'.") from error


async def _body(request: Request) -> bytes:
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_JOIN:
                raise _Refusal("too large", 413, f"At most {MAX_JOIN} bytes are taken.")
    except ClientDisconnect as gone:
        raise _Refusal("broken off", 400, "The body broke off.") from gone
    return bytes(body)
