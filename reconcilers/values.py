"""Values of entries as canonical JSON, made and read once: a plan compares thousands of them and changes few."""

from functools import lru_cache
from typing import Any, Literal

from crds.base import WireModel
from crds.messages import AdminState, PoolAssignment, ServerAssignment, ServerState, ServiceAssignment
from crds.release import Release, canonical_json


def written(model: WireModel) -> str:
    """A value as an entry holds it; defaults are left out."""
    return canonical_json(model.model_dump(mode="json", by_alias=True, exclude_defaults=True)).decode()


@lru_cache(maxsize=65536)
def server_value(state: ServerState | AdminState, address: str, close: bool) -> str:
    """What is asked about a server."""
    return written(ServerAssignment(state=state, address=address, close=close))


@lru_cache(maxsize=64)
def pool_value(driver: str, plain: Literal["ready", "maint"]) -> str:
    """What is asked about a pool; its servers have entries of their own."""
    asked = PoolAssignment(driver=driver, plain=plain)
    return canonical_json(asked.model_dump(mode="json", by_alias=True, exclude={"servers"})).decode()


@lru_cache(maxsize=65536)
def service_of(value: str) -> ServiceAssignment:
    """What is asked of a host about its service."""
    return ServiceAssignment.model_validate_json(value)


@lru_cache(maxsize=65536)
def server_of(value: str) -> ServerAssignment:
    """What is asked about a server."""
    return ServerAssignment.model_validate_json(value)


def service_value(before: str | None, **asked: Any) -> str:
    """What is asked of a host about its service, by field; ``before`` as it is, where it says the same already.

    The fields were checked when they were read: to check them again for each look at each host costs too much.
    """
    if before is not None:
        known = vars(service_of(before))
        if all(_same(known[field], value) for field, value in asked.items()):
            return before
    return written(ServiceAssignment.model_construct(**asked))


def _same(one: object, other: object) -> bool:
    """A release is compared by its digest, which names all that it is and is worked out once."""
    if isinstance(one, Release) and isinstance(other, Release):
        return one.digest == other.digest
    return one is other or one == other
