"""What differs on one fleet: a Service's ``spec.fleets.FLEET`` laid over its spec, field by field."""

import json
from collections.abc import Mapping
from typing import Any

from crds.desired import DesiredState
from crds.service import Rollout, ServiceSpec


def service_on(state: DesiredState, service: str, fleet: str) -> ServiceSpec:
    """The service's spec as it holds on the fleet; its ``fleets`` are empty.

    Raises KeyError for an unknown service, pydantic.ValidationError for an override that the reader would refuse.
    """
    spec = state.services[service].spec
    if fleet not in spec.fleets:
        return spec.model_copy(update={"fleets": {}})
    written = spec.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude={"fleets"})
    return ServiceSpec.model_validate_json(
        json.dumps(overlay(written, spec.fleets[fleet])), by_alias=True, by_name=False
    )


def overlay(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with every field that ``over`` has: mappings are merged, anything else, lists too, is replaced."""
    return {**base, **{key: _laid_over(base.get(key), value) for key, value in over.items()}}


def _laid_over(base: Any, over: Any) -> Any:
    if isinstance(over, Mapping) and isinstance(base, Mapping):
        return overlay(base, over)
    return over


def with_profile(rollout: Rollout, profile: str | None) -> Rollout:
    """The rollout as a version file's profile has it; its ``profiles`` are empty. Raises KeyError if there is none."""
    chosen = rollout.profiles[profile] if profile else None
    differs = {name: getattr(chosen, name) for name in chosen.model_fields_set} if chosen else {}
    said = {name: value for name, value in differs.items() if value is not None}
    return rollout.model_copy(update={**said, "profiles": {}})
