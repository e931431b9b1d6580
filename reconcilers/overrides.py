"""What differs on one fleet: an override laid over a service's spec, field by field."""

from collections.abc import Mapping
from typing import Any

from crds.desired import DesiredState
from crds.release import canonical_json
from crds.service import ServiceSpec


def service_on(state: DesiredState, service: str, fleet: str) -> ServiceSpec:
    """The service's spec as it is on one fleet. Raises pydantic's ValidationError if the override makes no spec."""
    spec = state.services[service].spec
    override = spec.fleets.get(fleet)
    if not override:
        return spec
    said = spec.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude={"fleets"})
    return ServiceSpec.model_validate_json(canonical_json(merged(said, override)), by_alias=True, by_name=False)


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``over`` laid on ``base``: mappings are merged field by field, everything else is replaced."""
    result = dict(base)
    for key, value in over.items():
        below = result.get(key)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        result[key] = merged(below, value) if both else value
    return result
