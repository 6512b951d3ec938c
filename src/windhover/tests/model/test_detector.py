"""The detector finds known rectangles, in source pixels, through a real graph."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from windhover.errors import BackendError, BundleError, ConfigError, EncodingError
from windhover.imaging.agc import ToneConfig, ToneMapper
from windhover.model.bundle import Bundle
from windhover.model.detector import Detector, Timings
from windhover.model.manifest import Thresholds
from windhover.types import Detections, Frame
from windhover_sim.blob_bundle import build_blob_bundle

# x1, y1, x2, y2, level: a person at an odd place, a small vehicle, one at each border.
RECTANGLES = [
    (21, 13, 70, 60, 230),
    (300, 200, 317, 213, 140),
    (0, 470, 40, 512, 255),
    (600, 300, 640, 390, 150),
]


def draw(height: int, width: int, rectangles: Sequence[tuple[int, ...]] = RECTANGLES) -> np.ndarray:
    image = np.full((height, width), 60, np.uint8)
    for x1, y1, x2, y2, level in rectangles:
        image[y1:y2, x1:x2] = level
    return image


def expect(found: Detections, rectangles: Sequence[tuple[int, ...]], tolerance: float) -> None:
    """Each rectangle's box and class exactly once, and nothing else."""
    assert len(found) == len(rectangles)
    assert (np.diff(found.scores) <= 0).all()
    order = np.lexsort((found.boxes[:, 1], found.boxes[:, 0].round()))
    wanted = sorted(rectangles)
    np.testing.assert_allclose(found.boxes[order], [r[:4] for r in wanted], rtol=0, atol=tolerance)
    assert found.class_ids[order].tolist() == [0 if r[4] >= 200 else 1 for r in wanted]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    build_blob_bundle(folder / "thermal")
    build_blob_bundle(folder / "thermal26", family="yolo26", quantised=True)
    build_blob_bundle(folder / "rgb", channels="rgb", height=384, width=640)
    build_blob_bundle(folder / "rgbt", channels="rgbt", height=512, width=640)
    return folder


@pytest.fixture(scope="module")
def thermal(models: Path) -> Detector:
    return Detector.open(models / "thermal", "cpu", threads=1)


@pytest.fixture(scope="module")
def rgb(models: Path) -> Detector:
    return Detector.open(models / "rgb", threads=1)


def test_exact_boxes_at_the_input_size(thermal: Detector) -> None:
    expect(thermal.detect(Frame(draw(512, 640), "mono8", 0)), RECTANGLES, 1e-3)
    assert thermal.labels == ("person", "vehicle")


def test_empty_image_gives_empty_detections(thermal: Detector) -> None:
    found = thermal.detect(Frame(np.full((512, 640), 60, np.uint8), "mono8", 0))
    assert len(found) == 0
    assert found.boxes.shape == (0, 4)


def test_results_of_one_frame_survive_the_next(thermal: Detector) -> None:
    first = thermal.detect(Frame(draw(512, 640), "mono8", 0))
    boxes = first.boxes.copy()
    thermal.detect(Frame(draw(512, 640, [(100, 100, 130, 130, 255)]), "mono8", 1))
    np.testing.assert_array_equal(first.boxes, boxes)


def test_boxes_are_in_source_pixels_whatever_the_size(thermal: Detector) -> None:
    # Twice the input, with bars left and right, then bars above and below; the
    # sizes change from frame to frame. Half an input pixel is the edge's blur.
    tall = [(40, 300, 120, 420, 220), (300, 60, 380, 120, 140)]
    wide = [(400, 100, 470, 180, 220), (1200, 500, 1260, 620, 140)]
    for _ in range(2):
        expect(thermal.detect(Frame(draw(1024, 600, tall), "mono8", 0)), tall, 1.01)
        expect(thermal.detect(Frame(draw(720, 1280, wide), "mono8", 0)), wide, 1.01)
        expect(thermal.detect(Frame(draw(512, 640), "mono8", 0)), RECTANGLES, 1e-3)


def test_upscaled_source_gives_sub_pixel_boxes(thermal: Detector) -> None:
    small = [(10, 20, 40, 50, 230), (100, 60, 130, 80, 150)]
    found = thermal.detect(Frame(draw(128, 160, small), "mono8", 0))
    expect(found, small, 0.26)
    assert (found.boxes != found.boxes.round()).any()


def test_a_thermal_model_takes_raw_counts_and_grey(thermal: Detector) -> None:
    grey = draw(512, 640)
    counts = 7000 + 12 * grey.astype(np.uint16)
    # Tone mapping spreads 60..255 over 0..255, where 230 and 255 are persons.
    bright = [r for r in RECTANGLES if r[4] >= 200]
    for image, encoding in (
        (np.dstack((grey,) * 3), "bgr8"),
        (np.dstack((grey,) * 3), "rgb8"),
        (grey[:, :, None], "mono8"),
    ):
        expect(thermal.detect(Frame(image, encoding, 0)), RECTANGLES, 1e-3)
    raw = thermal.detect(Frame(counts, "mono16", 0))
    persons = raw[raw.class_ids == 0]
    expect(persons, bright, 1e-3)


def test_a_thermal_model_refuses_four_channels(thermal: Detector) -> None:
    """The last one may be alpha: white all over, in which nothing is found."""
    four = np.full((512, 640, 4), 255, np.uint8)
    with pytest.raises(ConfigError, match="gives 8UC4; its fourth channel may be thermal or alpha"):
        thermal.detect(Frame(four, "8UC4", 0))


def test_colour_for_a_thermal_model_is_reported_once(
    models: Path, caplog: pytest.LogCaptureFixture
) -> None:
    grey = np.dstack((draw(512, 640),) * 3)
    colour = grey.copy()
    colour[:, :200] = (40, 160, 90)
    with Detector.open(models / "thermal", threads=1) as detector:
        detector.detect(Frame(grey, "bgr8", 0))
        assert caplog.messages == []
        for _ in range(3):
            detector.detect(Frame(colour, "bgr8", 0, "rgb_camera"))
    assert len(caplog.messages) == 1
    assert "is for thermal images and rgb_camera gives colour" in caplog.messages[0]


def test_an_rgb_model_sees_b_g_r(rgb: Detector) -> None:
    rectangles = [(31, 40, 80, 90, 230), (500, 300, 560, 350, 140)]
    red = draw(384, 640, rectangles)
    ground = np.full_like(red, 250)
    bgr = np.dstack((ground, ground, red))
    expect(rgb.detect(Frame(bgr, "bgr8", 0)), rectangles, 1e-3)
    expect(rgb.detect(Frame(bgr[:, :, ::-1].copy(), "rgb8", 0)), rectangles, 1e-3)
    blue = np.dstack((red, np.zeros_like(red), np.zeros_like(red)))
    assert len(rgb.detect(Frame(blue, "bgr8", 0))) == 0
    expect(rgb.detect(Frame(np.dstack((bgr, ground)), "8UC4", 0)), rectangles, 1e-3)


def test_an_rgbt_model_sees_the_fourth_plane(models: Path) -> None:
    ground = np.full((512, 640, 3), (250, 250, 40), np.uint8)
    image = np.dstack((ground, draw(512, 640)))
    with Detector.open(models / "rgbt", threads=1) as detector:
        expect(detector.detect(Frame(image, "8UC4", 0)), RECTANGLES, 1e-3)
        with pytest.raises(ConfigError, match=r"rgbt is for rgbt images and camera gives bgr8"):
            detector.detect(Frame(ground, "bgr8", 0))


@pytest.mark.parametrize(("encoding", "dtype"), [("mono8", np.uint8), ("mono16", np.uint16)])
def test_an_rgb_model_refuses_thermal(rgb: Detector, encoding: str, dtype: type) -> None:
    frame = Frame(np.zeros((512, 640), dtype), encoding, 0, frame_id="thermal_camera")
    with pytest.raises(ConfigError) as caught:
        rgb.detect(frame)
    message = str(caught.value)
    for part in ("model rgb", "thermal_camera", encoding, "\n"):
        assert (part in message) == (part != "\n")


def test_a_frame_that_does_not_match_its_encoding(thermal: Detector) -> None:
    with pytest.raises(EncodingError, match="nv12"):
        thermal.detect(Frame(np.zeros((64, 64), np.uint8), "nv12", 0))
    with pytest.raises(EncodingError, match="uint16"):
        thermal.detect(Frame(np.zeros((64, 64), np.uint16), "mono8", 0))
    # The detector goes on with the next frame.
    expect(thermal.detect(Frame(draw(512, 640), "mono8", 0)), RECTANGLES, 1e-3)


def test_integer_outputs_of_a_quantised_graph(models: Path) -> None:
    with Detector.open(models / "thermal26", threads=1) as detector:
        assert "int8.onnx" in detector.backend.device
        expect(detector.detect(Frame(draw(512, 640), "mono8", 0)), RECTANGLES, 1.01)
    with Detector.open(models / "thermal26", precision="float", threads=1) as detector:
        assert "float.onnx" in detector.backend.device
        expect(detector.detect(Frame(draw(512, 640), "mono8", 0)), RECTANGLES, 1e-3)


def test_thresholds_given_replace_the_bundles(models: Path) -> None:
    frame = Frame(draw(512, 640), "mono8", 0)
    bundle = Bundle.load(models / "thermal")

    def classes(**thresholds: object) -> list[int]:
        limits = Thresholds.model_validate(thresholds)
        with Detector(bundle, "cpu", thresholds=limits, threads=1) as detector:
            return sorted(detector.detect(frame).class_ids.tolist())

    assert classes() == [0, 0, 1, 1]
    assert classes(max_detections=1) in ([0], [1])
    assert classes(score=0.9999) == []
    assert classes(score=0.9999, per_class={"vehicle": 0.3}) == [1, 1]
    with pytest.raises(ConfigError, match=r"cat; thermal has person, vehicle"):
        classes(per_class={"cat": 0.5})


def test_timings_are_of_the_last_frame(models: Path) -> None:
    with Detector.open(models / "thermal", threads=1) as detector:
        assert detector.timings == Timings(0, 0, 0)
        detector.detect(Frame(draw(512, 640), "mono8", 0))
        timings = detector.timings
    assert min(timings.pre_ns, timings.inference_ns, timings.post_ns) > 0
    stages = (timings.pre_ns, timings.inference_ns, timings.post_ns, timings.second_look_ns)
    assert timings.total_ns == sum(stages)


def test_opening_a_missing_bundle(tmp_path: Path, models: Path) -> None:
    with pytest.raises(BundleError, match="nowhere"):
        Detector.open(tmp_path / "nowhere" / "m")
    with pytest.raises(BackendError, match="no backend 'gpu'"):
        Detector.open(models / "thermal", "gpu")


def test_a_failed_run_is_an_error_and_the_next_may_work(models: Path) -> None:
    bundle = Bundle.load(models / "thermal")
    inner = Detector(bundle, "cpu", threads=1).backend

    class Flaky:
        """A backend whose hardware fails on its first frame."""

        name, device, runs = "cpu", "test", 0

        def run(self, image: NDArray[np.uint8]) -> Sequence[NDArray[np.generic]]:
            self.runs += 1
            if self.runs == 1:
                raise BackendError("the DSP went away; open the backend again")
            return inner.run(image)

        def close(self) -> None:
            inner.close()

    detector = Detector(bundle, Flaky())
    frame = Frame(draw(512, 640), "mono8", 0)
    with pytest.raises(BackendError, match="DSP went away"):
        detector.detect(frame)
    expect(detector.detect(frame), RECTANGLES, 1e-3)
    detector.close()
    with pytest.raises(BackendError, match="closed"):
        detector.detect(frame)


@pytest.mark.parametrize("method", ["percentile", "plateau", "clahe"])
def test_counts_are_tone_mapped_as_the_bundle_says(models: Path, method: str) -> None:
    tone = ToneConfig(method=method, smoothing_s=1.0)  # type: ignore[arg-type]
    bundle = Bundle.load(models / "thermal").model_copy(update={"tone": tone})
    rng = np.random.default_rng(0)
    frames = [
        Frame(rng.normal(7_000 + 40 * n, 9, (512, 640)).astype(np.uint16), "mono16", n * 33_000_000)
        for n in range(3)
    ]
    mapper = ToneMapper(tone)
    with Detector(bundle, "cpu", threads=1) as detector:
        for frame in frames:
            detector.detect(frame)
            expected = mapper.apply(frame.image.view(np.uint16), frame.stamp_ns)
            np.testing.assert_array_equal(detector._input[0, :, :, 0], expected)
