"""Faults of the drone's own parts: RGB at 4K, and the second look."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.faults.chain import Chain, wait
from tests.faults.injected import RGB_SIZE, RGB_URI
from tests.faults.observer import Observer
from tests.faults.scenarios import AFTER_S, Outcome, frames_lost
from tests.support.looks_twice import WIDTH, build_looks_twice

SIZE = f"{RGB_SIZE[0]}x{RGB_SIZE[1]}"


def _drone(
    folder: Path, faults: dict[str, Any], channels: str, second_look: Mapping[str, Any]
) -> Chain:
    """A model that looks twice, at RGB in 4K that is reduced once."""
    model = folder / "twice"
    build_looks_twice(model, "rgbt" if channels == "rgbt" else "rgb")
    sections = {
        "rgb_camera": {"source": RGB_URI, "detect_width": WIDTH},
        "detector": {f"second_look.{name}": value for name, value in second_look.items()},
    }
    return Chain(folder, model, faults, sections)


def rgb_4k_unplugged(folder: Path, _model: Path, length_s: float = 3.0) -> Outcome:
    """Of two cameras the one that leads is gone for a while."""
    faults = {"unplug": [AFTER_S, length_s], "faulty": "rgb"}
    with Observer() as watch, _drone(folder, faults, "rgbt", {"budget_ms": 0.0}) as chain:
        gone_s = chain.event("unplugged")
        said = _told(watch, "rgb_camera", "camera went away", "is not there")
        there_s = chain.event("first frame") + AFTER_S + length_s
        back_s = watch.back_s(there_s)
        lost = frames_lost(watch, gone_s, there_s + back_s)
        looks = _number(watch, "looks")
        wait(lambda: _number(watch, "looks") > looks, "second looks again")
        watch.flowing()
        return Outcome(
            lost,
            back_s,
            not chain.crashed,
            f"{SIZE} NV12 beside thermal; {said}; then both looks again",
        )


def second_look_fails(folder: Path, _model: Path, length_s: float = 3.0) -> Outcome:
    """The second network fails again and again, while the first goes on."""
    faults = {"second_fails": [AFTER_S, length_s]}
    with Observer() as watch, _drone(folder, faults, "rgb", {"budget_ms": 0.0}) as chain:
        begins_s = chain.event("second look fails")
        said = _told(watch, "detector", "the second look failed, the first stands alone")
        ends_s = chain.event("first frame") + AFTER_S + length_s
        time.sleep(max(0.0, ends_s - time.monotonic()))
        lost = frames_lost(watch, begins_s, ends_s)
        alone = watch.count(begins_s, ends_s)
        wait(lambda: _value(watch, "second_look") == "on", "the second look again")
        failures = len(chain.events("second look fails"))
        watch.flowing()
        intact = not chain.crashed and alone > 0
        note = f"{failures} failures, {alone} frames by the first look; {said}; then both looks"
        return Outcome(lost, None, intact, note)


def chip_budget_exceeded(folder: Path, _model: Path, frames: int = 40) -> Outcome:
    """From then on a batch of chips takes longer than its budget."""
    faults = {"second_slow": [AFTER_S, 1e9]}
    budget = {"budget_ms": 100.0, "every": 5}
    with Observer() as watch, _drone(folder, faults, "rgb", budget) as chain:
        begins_s = chain.event("second look is slow")
        watch.flowing(frames)
        ends_s = time.monotonic()
        lost = frames_lost(watch, begins_s, ends_s)
        count = watch.count(begins_s, ends_s)
        runs = len([at for at in chain.events("second look is slow") if at < ends_s])
        # Every fifth frame, and one more at the start, when its time is not known.
        intact = not chain.crashed and runs <= 2 + count / 4
        note = f"a run takes 150 ms, the budget is 100: {runs} runs in {count} frames, one in five"
        return Outcome(lost, None, intact, f"{note} asked")


def _value(watch: Observer, name: str) -> str:
    return watch.diagnostics.get("detector", {}).get(name, "")


def _number(watch: Observer, name: str) -> int:
    return int(_value(watch, name) or 0)


def _told(watch: Observer, node: str, *texts: str) -> str:
    """Wait until one of the texts is in a node's diagnostics; what was said."""

    watch.wait(lambda: any(node in watch.saying(text) for text in texts), f"{node}: {texts[0]}")
    return f"reported by {node}"


SCENARIOS: Mapping[str, Callable[..., Outcome]] = {
    "RGB at 4K unplugged 3 s": rgb_4k_unplugged,
    "second look fails 3 s": second_look_fails,
    "chip budget exceeded": chip_budget_exceeded,
}
