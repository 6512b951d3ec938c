"""Whom the second look takes for armed: by looks, light, height, camera and what is carried.

    python -m bench.armed_people --model rgbt-n [--scenes 60] [--looks 10]

Runs in the training environment, whose held-out scenes these are. People are given, not
found: what the first look misses is :mod:`bench.looks_twice`'s. Each look is a chip that the
renderer draws as the camera would see it, a third of a second after the one before, as the
scheduler's ``every`` makes it; looks add up as they do in flight.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from bench.table import ResultTable, add_out, save
from windhover.model.bundle import Bundle
from windhover.second_look.evidence import CarriedEvidence, LookRates
from windhover.second_look.runner import SecondLook
from windhover.types import FullFrame
from windhover_sim import SCENE_LABELS, Scene
from windhover_sim.scene import ScenePerson
from windhover_training.data.render.chips import SIZE, SPAN_M
from windhover_training.data.render.rgbt_scenes import LEAST_WEAPON_PX, draw_scene, parts
from windhover_training.data.render.thermal_scenes import LEAST_VISIBLE, time_of_day

WIDTHS = (3840, 2560, 1920, 1280)
#: Looks after which a track is judged.
AFTER = (1, 3, 10)
_WEAPON = SCENE_LABELS.index("weapon")
_EVERY_S = 1 / 3
#: A person is called armed from this probability on.
_ARMED = 0.5
_LONG = ("rifle", "shotgun")
#: Columns of the picture by which a weapon's size is judged, as in training.
_REFERENCE = 1280


@dataclass(frozen=True, slots=True)
class Look:
    """One look at one person.

    Attributes:
        track: scene and person.
        width: of the camera, pixels.
        light: ``day``, ``dusk`` or ``night``.
        altitude_m: of the camera.
        armed: whether the person carries a weapon.
        carries: kind of what is carried, ``nothing`` without.
        held: how it is carried.
        weapon_px: longer side of what is seen of the weapon, pixels of the camera; 0 without.
        counts: whether a weapon is large and visible enough to be scored.
        found: whether something was found in the chip.
    """

    track: tuple[int, int]
    width: int
    light: str
    altitude_m: float
    armed: bool
    carries: str
    held: str
    weapon_px: float
    counts: bool
    found: bool


def looks_of_scene(second: SecondLook, seed: int, width: int, looks: int) -> Iterator[Look]:
    """Looks at everybody who is in view of a held-out scene at all of them, in order."""
    part = next(p for p in parts(0) if p.name == "test")
    # The full picture is never drawn, so it need not be held.
    config = replace(draw_scene(seed, part), rgb_size=(SIZE, SIZE))
    scene = Scene(config)
    step = round(_EVERY_S * config.rate_hz)
    first = (config.length - step * (looks - 1)) // 2
    indices = [first + step * number for number in range(looks)]
    seen = [{p.track_id for p in scene.people(i) if _is_seen(scene, i, p)} for i in indices]
    for track_id in sorted(set.intersection(*seen)):
        for index in indices:
            person = next(p for p in scene.people(index) if p.track_id == track_id)
            yield _look(second, scene, index, person, width)


def _is_seen(scene: Scene, index: int, person: ScenePerson) -> bool:
    """Whether a person's middle is in the 16:9 picture, of which the scene's is a square."""
    camera = scene.camera(index, "rgb")
    pixel, depth = camera.project(person.centre[None])
    share = pixel[0] / np.array([camera.intrinsics.width, camera.intrinsics.height])
    tall = abs(share[1] - 0.5) * 16 / 9
    return bool(depth[0] > 0 and 0.02 < share[0] < 0.98 and tall < 0.48)


def _look(second: SecondLook, scene: Scene, index: int, person: ScenePerson, width: int) -> Look:
    pixels, truth, scale = scene.close_up(index, person.centre, SIZE, SPAN_M, width)
    middle, side = np.full((1, 2), SIZE / 2), np.array([float(SIZE)])
    found = second.look(FullFrame(pixels, "bgr8"), middle, side)
    own = (truth.class_ids == _WEAPON) & (truth.carrier_ids == person.track_id)
    visible = truth[own & (truth.visibility >= LEAST_VISIBLE)]
    sides = (visible.boxes[:, 2:] - visible.boxes[:, :2]).max(axis=1, initial=0.0)
    weapon_px = float(sides.max(initial=0.0)) * scale
    config = scene.config
    return Look(
        (config.seed, person.track_id), width, time_of_day(config.hour), config.altitude_m,
        person.armed, person.carries, person.held, weapon_px,
        weapon_px * _REFERENCE / width >= LEAST_WEAPON_PX, len(found) > 0,
    )  # fmt: skip


def measure(second: SecondLook, scenes: int, looks: int) -> list[Look]:
    """All looks: so many with the widest camera, two with each other one."""
    cv2.setNumThreads(1)
    return [
        look
        for seed in range(scenes)
        for width in WIDTHS
        for look in looks_of_scene(second, seed, width, looks if width == WIDTHS[0] else 2)
    ]


def tracks_table(looks: Sequence[Look], rates: LookRates) -> ResultTable:
    """People told armed from others, after so many looks."""
    rows = []
    tracks = _tracks(look for look in looks if look.width == WIDTHS[0])
    for name, takes in _groups().items():
        group = [track for track in tracks if takes(track[0])]
        # A weapon that nobody could see is no miss, nor is who has it unarmed.
        armed = [t for t in group if t[0].armed and _is_long(t) and any(x.counts for x in t)]
        others = [t for t in group if not t[0].armed]
        for count in AFTER:
            right = sum(_is_called(t[:count], rates) for t in armed)
            false = sum(_is_called(t[:count], rates) for t in others)
            called = right + false
            precision = f"{right / called:.3f}" if called else "n/a"
            cells = [_share(right, len(armed)), precision, _share(false, len(others))]
            rows.append([name, str(count), str(len(armed)), str(len(others)), *cells])
    return ResultTable(
        title=f"Armed people told from others by their tracks, {WIDTHS[0]} columns",
        unit="people with rifles and shotguns found, and others taken for armed; INT8",
        columns=[
            "people",
            "looks",
            "armed",
            "others",
            "recall",
            "precision",
            "others called armed",
        ],
        rows=rows,
        notes=[
            "People are given, at most a third of a second between two looks; a track is called "
            f"armed from a probability of {_ARMED} on.",
            "Pistols, which are under 8 px at 1280 columns, are in no row here.",
        ],
    )


def kinds_table(looks: Sequence[Look], rates: LookRates) -> ResultTable:
    """How often something is found on people, by what they carry and how."""
    rows = []
    wide = [look for look in looks if look.width == WIDTHS[0]]
    names: dict[str, Callable[[Look], bool]] = {}
    for kind in sorted({look.carries for look in wide}, key=lambda kind: (kind == "nothing", kind)):
        names[kind] = lambda look, kind=kind: look.carries == kind  # type: ignore[misc]
    for held in sorted({look.held for look in wide if look.carries in _LONG}):
        names[f"rifle or shotgun, {held}"] = lambda look, held=held: (  # type: ignore[misc]
            look.carries in _LONG and look.held == held
        )
    for name, takes in names.items():
        group = [look for look in wide if takes(look)]
        tracks = _tracks(group)
        called = sum(_is_called(track, rates) for track in tracks)
        found = sum(look.found for look in group)
        rows.append(
            [name, str(len(tracks)), _share(found, len(group)), _share(called, len(tracks))]
        )
    return ResultTable(
        title=f"What the second look takes for a weapon, {WIDTHS[0]} columns",
        unit="share of looks that find something, and of people called armed after all looks; INT8",
        columns=["carried", "people", "looks that find", "called armed"],
        rows=rows,
        notes=["People are given. For weapons high is right, for all else low is."],
    )


def cameras_table(looks: Sequence[Look]) -> ResultTable:
    """Which camera for which height: recall of one look against pixels on the weapon."""
    rows = []
    for low, high in ((30, 35), (35, 40), (40, 45), (45, 50)):
        for width in WIDTHS:
            group = [
                look
                for look in looks
                if look.width == width
                and low <= look.altitude_m < high
                and look.carries in _LONG
                and look.counts
            ]
            pixels = f"{np.median([look.weapon_px for look in group]):.0f}" if group else "n/a"
            found = sum(look.found for look in group)
            rows.append(
                [f"{low}-{high} m", str(width), str(len(group)), pixels, _share(found, len(group))]
            )
    return ResultTable(
        title="Which camera for which height",
        unit="recall of rifles and shotguns by one look, 66 degrees wide, INT8",
        columns=["height", "columns", "looks", "median px on the weapon", "recall"],
        rows=rows,
        notes=["People are given. Of the same people, the widest camera has more looks."],
    )


def _groups() -> Mapping[str, Callable[[Look], bool]]:
    return {
        "all": lambda _: True,
        "day": lambda look: look.light == "day",
        "night": lambda look: look.light == "night",
        "30-40 m": lambda look: look.altitude_m < 40,
        "40-50 m": lambda look: look.altitude_m >= 40,
        "rifle, and all others": lambda look: not look.armed or look.carries == "rifle",
        "shotgun, and all others": lambda look: not look.armed or look.carries == "shotgun",
    }


def _tracks(looks: Iterator[Look] | Sequence[Look]) -> list[list[Look]]:
    found: dict[tuple[int, int], list[Look]] = {}
    for look in looks:
        found.setdefault(look.track, []).append(look)
    return list(found.values())


def _is_long(track: Sequence[Look]) -> bool:
    return track[0].carries in _LONG


def _is_called(track: Sequence[Look], rates: LookRates) -> bool:
    evidence = CarriedEvidence(rates)
    stamp_ns = 0
    for number, look in enumerate(track):
        stamp_ns = round(number * _EVERY_S * 1e9)
        evidence.add(look.found, stamp_ns)
    return evidence.probability(stamp_ns) >= _ARMED


def _share(part: int, total: int) -> str:
    return f"{part / total:.3f}" if total else "n/a"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="rgbt-n")
    parser.add_argument("--scenes", type=int, default=60)
    parser.add_argument("--looks", type=int, default=max(AFTER))
    add_out(parser)
    chosen = parser.parse_args(arguments)
    bundle = Bundle.load(chosen.model)
    graph, spec = bundle.load_second_look(), bundle.second_look
    if graph is None or spec is None:
        raise SystemExit(f"{chosen.model} looks once only: it has no second graph")
    second = SecondLook(graph, bundle.labels, "cpu", threads=1)
    looks = measure(second, chosen.scenes, chosen.looks)
    rates = LookRates(find=spec.find_rate, false=spec.false_rate)
    tables = {
        "armed-people": tracks_table(looks, rates),
        "armed-kinds": kinds_table(looks, rates),
        "camera-by-height": cameras_table(looks),
    }
    for table in tables.values():
        print(f"{table.title}\n{table.markdown()}\n")
    save(tables, chosen.out, "bench.armed_people")
    return 0


if __name__ == "__main__":
    sys.exit(main())
