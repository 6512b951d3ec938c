"""Motorcycles, bicycles and who rides them, in the truth of each camera."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest

from windhover_sim import Scene, SceneConfig, SceneFrame, SceneTruth

#: Both cameras have one lens, and are nearly at one place.
ALIKE = SceneConfig(
    seed=11,
    altitude_m=18.0,
    pitch_deg=70.0,
    time_of_day="day",
    n_people=0,
    n_armed=0,
    n_motorcycles=12,
    n_cars=0,
    clutter=0.0,
    motion=0.0,
    duration_s=1.0,
    rate_hz=2.0,
    thermal_size=(640, 512),
    rgb_size=(640, 512),
    thermal_hfov_deg=60.0,
    rgb_hfov_deg=60.0,
)
CYCLES = dataclasses.replace(ALIKE, n_motorcycles=0, n_bicycles=12)


@functools.cache
def frame(config: SceneConfig) -> SceneFrame:
    return Scene(config).render(0, "both")


def boxes_by_id(truth: SceneTruth) -> dict[int, np.ndarray]:
    return dict(zip(truth.track_ids.tolist(), truth.amodal, strict=True))


@pytest.mark.parametrize(("config", "name"), [(ALIKE, "two-wheeler"), (CYCLES, "bicycle")])
def test_who_rides_is_a_person_in_rgb_and_part_of_the_box_in_thermal(
    config: SceneConfig, name: str
) -> None:
    rgb, thermal = frame(config).rgb_truth, frame(config).thermal_truth
    assert set(rgb.labels) == {"person", name}
    assert set(thermal.labels) == {"two-wheeler"}
    machines, whole = boxes_by_id(rgb), boxes_by_id(thermal)
    riders = {
        track: (int(carrier), machines[track])
        for track, carrier in zip(rgb.track_ids.tolist(), rgb.carrier_ids.tolist(), strict=True)
        if carrier
    }
    assert len(riders) >= 4
    assert not riders.keys() & whole.keys()
    met = 0
    for carrier, box in riders.values():
        if carrier not in machines or carrier not in whole:
            continue
        met += 1
        low = np.minimum(box[:2], machines[carrier][:2])
        high = np.maximum(box[2:], machines[carrier][2:])
        # The cameras stand a hand apart. A passenger's box may reach further.
        size, joined = whole[carrier][2:] - whole[carrier][:2], high - low
        assert (size >= joined - 1.5).all()
        assert (size <= joined + 8.0).all()
    assert met >= 4


def test_a_machine_is_partly_hidden_by_its_rider_alone() -> None:
    truth = frame(ALIKE).rgb_truth
    ridden = set(truth.carrier_ids.tolist())
    machines = truth[np.array([label == "two-wheeler" for label in truth.labels])]
    inside = (machines.boxes == machines.amodal).all(axis=1)
    shares = {
        track: float(seen)
        for track, seen in zip(machines.track_ids[inside], machines.visibility[inside], strict=True)
    }
    parked = [seen for track, seen in shares.items() if track not in ridden]
    assert all(seen > 0.98 for seen in parked)
    assert all(0.2 < seen < 0.98 for track, seen in shares.items() if track in ridden)


def test_bicycles_leave_all_else_where_it_was() -> None:
    alone = frame(ALIKE).rgb_truth
    among = Scene(dataclasses.replace(ALIKE, n_bicycles=5)).render(0, "rgb").rgb_truth
    before = {tuple(box) for box in alone.amodal.round(3).tolist()}
    assert before <= {tuple(box) for box in among.amodal.round(3).tolist()}
    assert "bicycle" in among.labels
