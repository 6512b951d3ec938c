"""Motorcycles, scooters and bicycles."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from windhover_sim.climate import Climate
from windhover_sim.two_wheelers import (
    _MACHINES,
    _extrude,
    _Panel,
    make_bicycle,
    make_motorcycle,
    make_panelled_motorcycle,
)
from windhover_sim.vehicles import PartList, RigidBody

CLIMATE = Climate.at(13.0, np.random.default_rng(1))
PANELS = [panel for machine in _MACHINES for panel in machine.panels]


@pytest.mark.parametrize("panel", PANELS, ids=range(len(PANELS)))
def test_a_panel_is_closed_and_looks_outwards(panel: _Panel) -> None:
    parts = PartList()
    _extrude(parts, panel, (20.0, np.zeros(3), 1.0))
    faces = np.array(parts.faces)
    # The area vectors of a closed body sum to nothing; outward ones give its volume.
    fan = np.cross(faces[:, 1:-1] - faces[:, :1], faces[:, 2:] - faces[:, :1]) / 2
    areas = fan.sum(axis=1)
    np.testing.assert_allclose(areas.sum(axis=0), 0, atol=1e-9)
    middle = faces.reshape(-1, 3).mean(axis=0)
    assert ((faces[:, 0] - middle) * areas).sum(axis=1).min() > 0


def test_machines_have_the_size_of_machines() -> None:
    kinds = set()
    for seed in range(40):
        body = make_panelled_motorcycle(np.random.default_rng(seed), CLIMATE, False)
        points = np.concatenate(
            [body.capsules.reshape(-1, 4)[:, :3], body.faces.reshape(-1, 3)], axis=0
        )
        low, high = points.min(axis=0), points.max(axis=0)
        assert 1.5 < high[0] - low[0] < 2.7
        assert 0.5 < high[1] - low[1] < 1.1
        assert low[2] > -0.01
        assert 0.9 < high[2] < 1.6
        assert np.linalg.norm(points - [0, 0, 0.7], axis=1).max() < body.radius
        assert body.riders == 0
        kinds.add(len(body.faces))
    assert len(kinds) >= 3  # of faces: with and without fairing and top case


@pytest.mark.parametrize("make", [make_motorcycle, make_panelled_motorcycle, make_bicycle])
def test_riders_are_named_apart_from_their_machine(
    make: Callable[[np.random.Generator, Climate, bool], RigidBody],
) -> None:
    counts = {make(np.random.default_rng(seed), CLIMATE, True).riders for seed in range(30)}
    assert counts == ({1} if make is make_bicycle else {1, 2})


def test_the_odds_of_machines_sum_to_one() -> None:
    assert sum(machine.odds for machine in _MACHINES) == pytest.approx(1.0)
