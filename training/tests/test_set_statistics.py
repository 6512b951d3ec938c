"""Statistics of a set: sizes as the network sees them, and the advice that follows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from windhover.errors import DataError
from windhover_training.cli import main
from windhover_training.data.describe.stats import advise, describe, measure
from windhover_training.data.readers.dataset import ConvertedSet
from windhover_training.data.readers.records import LabelledFrame

LABELS = ("person", "weapon", "vehicle")


def a_frame(boxes: list[tuple[int, float, float]], wh=(1280, 720), **known) -> LabelledFrame:
    return LabelledFrame(
        name="x",
        flight="f",
        source="made up",
        images={"rgb": Path("x.jpg")},
        width=wh[0],
        height=wh[1],
        boxes=np.array([(1.0, 1.0, w, h) for _, w, h in boxes]).reshape(-1, 4),
        class_ids=np.array([c for c, _, _ in boxes], np.int64),
        tracks=np.full(len(boxes), -1),
        **known,
    )


def a_set(*frames: LabelledFrame, labels=LABELS) -> ConvertedSet:
    return ConvertedSet(Path("set"), labels, {"train": list(frames[:-1]), "test": [frames[-1]]})


def test_sizes_are_those_after_the_letterbox() -> None:
    one = a_frame([(0, 20, 40), (2, 100, 100), (-1, 500, 500)], altitude=40.0, time_of_day="day")
    two = a_frame([(1, 30, 10)], wh=(640, 512), time_of_day="night")
    found = describe(measure([a_set(one, two, a_frame([]))]), (640, 640))
    assert found["frames"] == 3
    assert found["frames_without_object"] == 1
    assert found["objects"] == 3  # a region that is ignored is no object
    person = found["classes"]["person"]
    assert person["width_px"]["p50"] == 10  # half of 20: 1280 becomes 640
    assert person["side_px"]["p50"] == pytest.approx(np.sqrt(200))
    assert person["share_below_px"] == {"8": 0, "16": 1, "32": 1}
    assert found["classes"]["weapon"]["width_px"]["p50"] == 30
    assert found["light"]["night"] == {"frames": 1, "objects": {"weapon": 1}}
    assert list(found["altitude"]) == ["30-50 m", "unknown"]
    assert found["altitude_m"] == [40, 40]
    assert found["splits"]["test"]["frames"] == 1


@pytest.mark.parametrize(
    ("side", "choice"),
    [
        (40, ("640x640", "P3")),  # 20 px at 640: two cells of stride 8
        (20, ("640x640", "P2")),  # 10 px: two cells of stride 4
        (12, ("960x960", "P2")),  # 6 px is too small for either, 9 px is not
        (9, ("1280x1280", "P2")),
        (4, None),
    ],
)
def test_the_cheapest_choice_that_resolves_small_objects_is_advised(side, choice) -> None:
    frames = [a_frame([(0, side, side), (1, side, side), (2, 300, 300)]) for _ in range(3)]
    advice = advise(measure([a_set(*frames)]))
    found = advice["choice"]
    # Where nothing helps, the best is the cheapest.
    assert advice["best"]["head"] == ("P3" if side in (40, 4) else "P2")
    assert (found and (found["input"], found["head"])) == choice
    assert set(advice["choices"][0]["resolved"]) == {"person", "weapon"}
    costs = [row["cost"] for row in advice["choices"]]
    assert costs == sorted(costs)


def test_tiles_are_weighed_only_where_a_frame_is_larger_than_one() -> None:
    small = advise(measure([a_set(*[a_frame([(0, 9, 9)], wh=(640, 512))] * 2)]))
    large = advise(measure([a_set(*[a_frame([(0, 9, 9)], wh=(1920, 1080))] * 2)]))
    assert not any("tiles" in row["input"] for row in small["choices"])
    assert [r["cost"] for r in large["choices"] if "tiles" in r["input"]] == [6, 9]


def test_sets_without_objects_or_of_other_labels_are_refused() -> None:
    with pytest.raises(DataError, match="no object"):
        measure([a_set(a_frame([]), a_frame([(-1, 9, 9)]))])
    one = a_set(a_frame([(0, 9, 9)]), a_frame([]))
    other = a_set(a_frame([(0, 9, 9)]), a_frame([]), labels=("car",))
    with pytest.raises(DataError, match="labels differ"):
        measure([one, other])


def test_the_command_writes_json_and_plots(
    tiny: Path, convert, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    convert(tiny, tmp_path / "set", {"test": ["day-60m-00100"]})
    out = tmp_path / "stats"
    options = ["--out", str(out), "--input-size", "160x128"]
    assert main(["data", "stats", str(tmp_path / "set"), *options]) == 0
    found = json.loads((out / "stats.json").read_text())
    assert found["classes"]["person"]["width_px"]["p50"] == 10
    for name in ("sides", "altitude", "counts"):
        assert (out / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert "two-wheeler" in capsys.readouterr().out
    assert main(["data", "stats", str(tmp_path), "--out", str(out), "--force"]) == 2
    assert "truth" in capsys.readouterr().err
    assert main(["data", "stats", str(tmp_path / "set"), "--input-size", "wide"]) == 2
