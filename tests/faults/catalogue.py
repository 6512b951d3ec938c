"""All faults, in the order of the table."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.faults import drone, scenarios, surroundings
from tests.faults.scenarios import Outcome

SCENARIOS: Mapping[str, Callable[..., Outcome]] = {
    **scenarios.SCENARIOS,
    **drone.SCENARIOS,
    **surroundings.SCENARIOS,
}
