"""A flight that looks twice, from the camera's full frame to carriers on ``tracks``."""

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("vision_msgs")

from vision_msgs.msg import Detection2DArray

from tests.support.fixtures import problems, run_to_end, wait_for
from tests.support.looks_twice import HEIGHT, WIDTH, build_looks_twice, full_picture
from windhover.errors import BackendError
from windhover.second_look.runner import SecondLook
from windhover_bringup.runtime.composed import Pipeline
from windhover_bringup.runtime.config import Config
from windhover_client.tracks import read_tracks
from windhover_ros import qos

FRAMES = 15


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {kind: build_looks_twice(folder / kind, kind) for kind in ("rgb", "rgbt")}


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    """A person who walks and carries something, as both cameras see it."""
    folder = tmp_path_factory.mktemp("footage")
    for camera in ("rgb", "thermal"):
        (folder / camera).mkdir()
    for index in range(FRAMES):
        full = full_picture(moved=2 * index)
        cv2.imwrite(str(folder / "rgb" / f"{index:03d}.png"), full)
        thermal = np.full((HEIGHT, WIDTH), 40, np.uint8)
        cv2.imwrite(str(folder / "thermal" / f"{index:03d}.png"), thermal)
    return folder


@pytest.fixture
def flown(ros, bundles, footage):
    """Flies the footage to its end; gives the pipeline and each frame's results."""
    built = []

    def fly(kind="rgb", tracker=None, before=lambda pipeline: None, **detector):
        values = {"model": str(bundles[kind]), "backend": "cpu", **detector}
        tracking = {"carriers.weapon_labels": ["vehicle"], "carriers.link_seconds": 0.1}
        config = (
            Config()
            .with_values("bringup", overlay=False, monitor=False)
            .with_values("detector", **values)
            .with_values("tracker", **tracking, **(tracker or {}))
            .with_values("rgb_camera", source=str(footage / "rgb"), rate=0.0, detect_width=WIDTH)
            .with_values("thermal_camera", source=str(footage / "thermal"), rate=0.0)
        )
        pipeline = Pipeline(config)
        built.append(pipeline)
        before(pipeline)
        return pipeline, run_to_end(pipeline)

    yield fly
    for pipeline in built:
        pipeline.close()


def carried(pipeline, tracks):
    """Label of each carried track and of its carrier's, by the pipeline's labels."""
    labels = dict(zip(tracks.track_ids.tolist(), tracks.class_ids.tolist(), strict=True))
    rows = np.flatnonzero(tracks.carrier_ids).tolist()
    return [
        (pipeline.labels[tracks.class_ids[row]], pipeline.labels[labels[tracks.carrier_ids[row]]])
        for row in rows
    ]


@pytest.mark.parametrize("kind", ["rgb", "rgbt"])
def test_what_is_carried_is_tracked_with_its_carrier(flown, kind):
    detected = []
    pipeline, seen = flown(
        kind,
        before=lambda pipeline: pipeline.detector.on_result(lambda *args: detected.append(args[0])),
    )
    assert len(seen) == FRAMES
    full = detected[-1].full
    assert (full.width, full.height) == (4 * WIDTH, 4 * HEIGHT)
    frame, detections, tracks = seen[-1]
    assert (frame.width, frame.height) == (WIDTH, HEIGHT)
    # Who records or draws may hold frames for long: not the full ones.
    assert frame.full is None
    assert sorted(pipeline.labels[i] for i in detections.class_ids) == ["person", "vehicle"]
    assert carried(pipeline, tracks) == [("vehicle", "person")]
    # The whole of the link's evidence is that person's: it was found in no other's chip.
    assert tracks.carrier_scores.max() == 1.0
    assert np.isnan(tracks.armed).all()
    values = pipeline.detector.health.report().values
    assert values["second_look"] == "on"
    assert int(values["looks"]) == FRAMES
    assert values["chips_dropped"] == "0"
    assert float(values["second_look_p50_ms"]) > 0.0


def test_carriers_reach_a_mission_node(nodes, flown):
    got = nodes.listener(Detection2DArray, "tracks", qos.result())
    flown(
        tracker={"report_armed": True},
        before=lambda pipeline: wait_for(
            lambda: pipeline.tracker.count_subscribers("tracks"), "discovery"
        ),
    )
    wait_for(lambda: got and got[-1].detections, "tracks")
    wait_for(lambda: any(_carried(message) for message in got), "a carrier")
    message = next(message for message in reversed(got) if _carried(message))
    update = read_tracks(message)
    (weapon,) = _carried(message)
    person = update.by_id(weapon.carried_by)
    assert person.label == "person"
    assert person.armed > 0.5
    assert weapon.armed is None
    # Whoever takes the best result still finds a person.
    for one in message.detections:
        assert one.results[0].hypothesis.score == max(r.hypothesis.score for r in one.results)


def _carried(message):
    return [track for track in read_tracks(message).tracks if track.carried_by is not None]


def test_looks_beyond_the_budget_are_dropped_and_counted(flown):
    pipeline, seen = flown(**{"second_look.budget_ms": 1e-6, "second_look.every": 5})
    values = pipeline.detector.health.report().values
    assert int(values["looks"]) == FRAMES // 5
    assert int(values["chips_dropped"]) > 0
    assert all(len(tracks) for _, _, tracks in seen)


def test_a_second_graph_that_fails_takes_no_frame_along(flown, monkeypatch):
    def fail(*_):
        raise BackendError("the second graph did not run")

    monkeypatch.setattr(SecondLook, "look", fail)
    pipeline, seen = flown()
    assert len(seen) == FRAMES
    assert all(tracks.class_ids.tolist() == [0] for _, _, tracks in seen)
    report = pipeline.detector.health.report()
    assert report.values["second_look"] == "failed: the second graph did not run"
    assert "the second look failed, the first stands alone" in " ".join(report.values.values())
    assert pipeline.detector.health.counter("frames_refused") == 0


def test_a_second_graph_that_cannot_be_opened_is_named(flown, bundles, tmp_path):
    import shutil

    folder = tmp_path / "twice"
    shutil.copytree(bundles["rgb"], folder)
    (folder / "chips" / "float.onnx").write_bytes(b"no graph")
    pipeline, seen = flown(model=str(folder))
    assert len(seen) == FRAMES
    values = pipeline.detector.health.report().values
    assert values["second_look"].startswith("off: ")
    assert "float.onnx" in values["second_look"]
    assert "looks" not in values


def test_it_can_be_switched_off(flown):
    pipeline, seen = flown(**{"second_look.enabled": False})
    assert all(tracks.class_ids.tolist() == [0] for _, _, tracks in seen)
    values = pipeline.detector.health.report().values
    assert values["second_look"] == "off: second_look.enabled is false"
    # A busy machine may have others.
    assert not [text for text in problems(pipeline.detector) if "look" in text]
