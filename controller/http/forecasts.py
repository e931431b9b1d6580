"""Forecasts: what would happen if a commit that is not merged were put in force.

The deciding thread is asked only for copies of what it knows, of some hosts at a time; reading the files and working
the forecast out are done beside it, for one commit at a time.
"""

import asyncio
import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request, Response
from pydantic import ValidationError
from starlette.requests import ClientDisconnect

from bus.clock import Clock
from controller.http.asking import Asker
from controller.http.problems import PROBLEMS
from controller.source.entries import FileEntry
from controller.source.problems import errors
from controller.source.reader import read_state
from controller.source.removals import unacknowledged
from controller.supposing import Supposed, changed, gone, suppose
from controller.views.errors import QuestionError
from controller.views.forecasts import (
    ForecastMeta,
    ForecastResource,
    PostedFile,
    SupposedCommit,
    UnchangedTarget,
    forecast_meta,
    forecast_resource,
    unchanged_targets,
)
from controller.views.resources import Problem
from crds.desired import DesiredState
from reconcilers.forecast import Beginnings, Forecast
from reconcilers.target import TargetSpec, targets_of

if TYPE_CHECKING:
    from controller.deciding import Deciding

MAX_BODY = 32 * 1024 * 1024
"""Bytes: the files of some fifty fleets of 5,000 hosts."""
_UPLOAD = 30.0
"""Seconds for a commit to arrive: meanwhile other commits wait."""
SLICE = 500
"""Hosts that the deciding thread is asked about at once: it is held for about 15 ms."""

_FILES = {"type": "object", "additionalProperties": PostedFile.model_json_schema()}
_BODY = {
    "type": "object",
    "required": ["revision", "files"],
    "properties": {"revision": {"type": "string"}, "files": _FILES},
}
_PROBLEMS = PROBLEMS | {
    409: {"model": Problem, "description": "the commit would be refused"},
    413: {"model": Problem, "description": "the files are larger than a controller reads at once"},
}

Specs = Mapping[str, TargetSpec]


class CommitRefused(QuestionError):
    """The controller would not put the commit in force."""

    status = 409


class TooLarge(QuestionError):
    """More than a controller reads at once."""

    status = 413


def forecasts(asker: Asker, clock: Clock) -> APIRouter:
    """The route."""
    router = APIRouter(tags=["forecasts"], responses=_PROBLEMS)
    one_at_a_time = asyncio.Lock()
    body = {"required": True, "content": {"application/json": {"schema": _BODY}}}

    @router.post("/forecasts", response_model=ForecastResource, openapi_extra={"requestBody": body})
    async def foretell(request: Request) -> Response:
        """What would happen if the commit with these files were put in force now. Nothing is changed by asking."""
        async with one_at_a_time:
            raw = await _body(request)
            commit = await asyncio.to_thread(_read, raw)
            content = await _foretell(asker, clock, commit)
        return Response(content, media_type="application/json")

    return router


async def _body(request: Request) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(_UPLOAD):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY:
                    raise TooLarge(
                        f"the files are more than {MAX_BODY // 2**20} MiB", "keep what is no state elsewhere"
                    )
    except TimeoutError as late:
        raise QuestionError(f"the files did not arrive within {_UPLOAD:g}s", "try again") from late
    except ClientDisconnect as gone_away:
        raise QuestionError("the body broke off") from gone_away
    return bytes(body)


@dataclass(frozen=True)
class _Commit:
    """What was posted, as it was read."""

    state: DesiredState
    specs: Specs
    acknowledged: frozenset[str]


def _read(raw: bytes) -> _Commit:
    """The commit, with all that is costly worked out already. Raises QuestionError, CommitRefused."""
    try:
        commit = SupposedCommit.model_validate_json(raw)
        files = {path: _entry(file) for path, file in commit.files.items()}
    except (ValidationError, binascii.Error) as error:
        raise QuestionError("this is no commit's files", "see /openapi.json") from error
    result = read_state(files, commit.revision)
    if result.state is None:
        first = errors(result.problems)[0]
        raise CommitRefused(f"{commit.revision} would be refused: {first}", "'drumbeat lint' says every mistake")
    specs = targets_of(result.state)
    for spec in specs.values():
        _ = spec.fingerprint
    return _Commit(result.state, specs, frozenset(commit.acknowledged))


def _entry(file: PostedFile) -> FileEntry:
    data = None if file.data is None else base64.b64decode(file.data, validate=True)
    return FileEntry(file.kind, data, file.size if data is None else len(data))


async def _foretell(asker: Asker, clock: Clock, commit: _Commit) -> bytes:
    now, specs = clock.now(), commit.specs
    names = await asker.ask(lambda deciding: changed(deciding.world, specs))
    found = list(await asker.ask(lambda deciding: gone(deciding.world, specs)))
    begun = Beginnings()
    for name in names:
        supposed = await _supposed(asker, specs[name])
        found.append(await asyncio.to_thread(supposed.forecast, specs, now, begun))
    meta = await asker.ask(lambda deciding: forecast_meta(deciding, now))
    unchanged = await asker.ask(lambda deciding: unchanged_targets(deciding, specs, names))
    before = await asker.ask(lambda deciding: deciding.revisions.state)
    return await asyncio.to_thread(_written, commit, before, found, unchanged, meta)


async def _supposed(asker: Asker, spec: TargetSpec) -> Supposed:
    """The target as it would stand; one of many hosts is looked at slice by slice, while decisions go on between."""
    hosts = list(spec.hosts)
    slices = [hosts[at : at + SLICE] for at in range(0, len(hosts), SLICE)] or [[]]
    parts = [await asker.ask(partial(_suppose, spec, some)) for some in slices]
    return replace(parts[0], facts={name: facts for part in parts for name, facts in part.facts.items()})


def _suppose(spec: TargetSpec, hosts: list[str], deciding: "Deciding") -> Supposed:
    return suppose(deciding.world, spec, hosts)


def _written(
    commit: _Commit,
    before: DesiredState | None,
    found: Sequence[Forecast],
    unchanged: list[UnchangedTarget],
    meta: ForecastMeta,
) -> bytes:
    too_much = unacknowledged(before, commit.state, commit.acknowledged) if before else []
    written = forecast_resource(commit.state.revision, found, unchanged, meta, too_much)
    return written.model_dump_json(by_alias=True).encode()
