"""What a person gets wrong: one line that says what and what to do, exit status 2."""

import json
import shutil

import cv2
import pytest

from tests.support.fixtures import blob_image

pytest.importorskip("rclpy")
pytest.importorskip("vision_msgs")

from windhover.calibration import CameraCalibration, save_calibration
from windhover_bringup.cli import main


@pytest.fixture
def complaint(capfd):
    """Runs the command and gives the one line that it complains with."""

    def run(*args, done_before=""):
        capfd.readouterr()
        status = main([str(arg) for arg in args])
        out, err = capfd.readouterr()
        assert "Traceback" not in out + err
        lines = [line for line in err.splitlines() if line.startswith("error: ")]
        assert (status, len(lines)) == (2, 1), err
        assert done_before in out
        return lines[0]

    return run


@pytest.fixture
def copy(blob_bundle, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(blob_bundle, folder)
    return folder


def truth_file(tmp_path, names):
    path = tmp_path / "truth.json"
    path.write_text(
        json.dumps(
            {
                "images": [{"id": i, "file_name": name} for i, name in enumerate(names)],
                "annotations": [
                    {"id": i, "image_id": i, "category_id": 1, "bbox": [20, 60, 24, 24]}
                    for i, _ in enumerate(names)
                ],
                "categories": [{"id": 1, "name": "person"}],
            }
        )
    )
    return path


def test_images_that_the_model_is_not_for(complaint, blob_folder, tmp_path):
    from windhover_sim.blob_bundle import build_blob_bundle

    build_blob_bundle(tmp_path / "rgb", height=64, width=64, channels="rgb")
    line = complaint("up", "--source", blob_folder, "--model", tmp_path / "rgb", "--rate", 0)
    assert "30 frames could not be used" in line
    assert "is for rgb images" in line


def test_an_empty_folder(complaint, blob_bundle, tmp_path):
    line = complaint("up", "--source", tmp_path, "--model", blob_bundle)
    assert "no images in folder" in line
    assert str(tmp_path) in line


def test_a_folder_that_is_not_there(complaint, blob_bundle, tmp_path):
    line = complaint("up", "--source", tmp_path / "nowhere", "--model", blob_bundle)
    assert "nowhere" in line


def test_a_folder_in_which_nothing_can_be_read(complaint, blob_bundle, tmp_path):
    (tmp_path / "0.jpg").write_bytes(b"")
    (tmp_path / "1.jpg").write_bytes(cv2.imencode(".jpg", blob_image(0))[1].tobytes()[:200])
    line = complaint("up", "--source", tmp_path, "--model", blob_bundle)
    assert "not one readable frame" in line


def test_a_truncated_image_among_good_ones_costs_only_itself(
    complaint, blob_bundle, blob_folder, tmp_path
):
    whole = (blob_folder / "003.png").read_bytes()
    (blob_folder / "003.png").write_bytes(whole[: len(whole) // 2])
    line = complaint(
        "up", "--source", blob_folder, "--model", blob_bundle, "--rate", 0,
        "--out", tmp_path / "out", done_before="29 frames detected and tracked",
    )  # fmt: skip
    assert "1 frame" in line
    assert "003.png" in line
    assert (tmp_path / "out" / "bag" / "metadata.yaml").is_file()
    assert (tmp_path / "out" / "metrics.json").is_file()


def test_a_bundle_that_is_not_what_was_released(complaint, copy, blob_folder):
    (copy / "float.onnx").write_bytes(b"other")
    line = complaint("up", "--source", blob_folder, "--model", copy)
    assert "float.onnx" in line


def test_a_bundle_with_a_file_missing(complaint, copy, blob_folder):
    (copy / "float.onnx").unlink()
    assert "float.onnx" in complaint("up", "--source", blob_folder, "--model", copy)


def test_a_model_that_is_nowhere(complaint, blob_folder):
    assert "nothing-like-it" in complaint(
        "up", "--source", blob_folder, "--model", "nothing-like-it"
    )


def test_a_bag_of_no_bytes(complaint, blob_bundle, tmp_path):
    bag = tmp_path / "empty.mcap"
    bag.write_bytes(b"")
    line = complaint("replay", bag, "--model", blob_bundle, "--out", tmp_path / "out")
    assert "empty.mcap" in line


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (["up", "--backend", "gpu"], "backend"),
        (["up", "--rate", "fast"], "rate"),
        (["up", "--rate", "1000"], "rate"),
        (["up", "--frames", "0"], "frames"),
        (["up", "--wings", "2"], "wings"),
        (["up", "--source", "carrier:pigeon"], "carrier"),
        (["up", "--source", "scene:nowhere"], "nowhere"),
        (["up", "--config", "/nowhere/mine.yaml"], "/nowhere/mine.yaml"),
        (["fly"], "fly"),
        (["track", "--out", "x.txt"], "detections"),
        (["track", "--detections", "/nowhere/det.txt", "--out", "x.txt"], "/nowhere/det.txt"),
        (["replay", "--model", "x", "--out", "y"], "bag"),
        (["bag", "recover", "/nowhere"], "/nowhere"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_options_that_are_wrong_missing_or_unknown(
    complaint, args, reason, blob_bundle, blob_folder
):
    extra = ["--model", blob_bundle] if args[0] == "up" else []
    if args[0] == "up" and "--source" not in args:
        extra += ["--source", blob_folder]
    assert reason in complaint(*args, *extra).lower()


def test_up_without_a_source(complaint, blob_bundle):
    assert "--source" in complaint("up", "--model", blob_bundle)


def test_an_unknown_encoding_in_a_bag_is_named(complaint, blob_bundle, tmp_path):
    from rosbags.rosbag2 import StoragePlugin, Writer
    from rosbags.typesys import Stores, get_typestore

    store = get_typestore(Stores.ROS2_JAZZY)
    image = store.types["sensor_msgs/msg/Image"]
    header = store.types["std_msgs/msg/Header"]
    time = store.types["builtin_interfaces/msg/Time"]
    import numpy as np

    message = image(header(time(1, 0), "cam"), 2, 2, "thermal99", 0, 2, np.zeros(4, np.uint8))
    with Writer(tmp_path / "odd", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection("/image", "sensor_msgs/msg/Image", typestore=store)
        writer.write(connection, 10**9, store.serialize_cdr(message, "sensor_msgs/msg/Image"))
    line = complaint("replay", tmp_path / "odd", "--model", blob_bundle, "--out", tmp_path / "out")
    assert "thermal99" in line or "not one readable frame" in line


class TestEvaluate:
    def test_labels_that_the_model_does_not_have(
        self, complaint, blob_bundle, blob_folder, tmp_path
    ):
        line = complaint(
            "evaluate", "detections", "--model", blob_bundle, "--images", blob_folder,
            "--truth", truth_file(tmp_path, ["000.png"]), "--out", tmp_path / "o",
            "--labels", "person,dog",
        )  # fmt: skip
        assert "person, vehicle" in line

    def test_a_truth_that_is_no_json(self, complaint, blob_bundle, blob_folder, tmp_path):
        path = tmp_path / "truth.json"
        path.write_text("{")
        line = complaint(
            "evaluate", "detections", "--model", blob_bundle, "--images", blob_folder,
            "--truth", path, "--out", tmp_path / "o",
        )  # fmt: skip
        assert "truth.json" in line

    def test_an_image_that_is_missing_counts_and_is_told(
        self, complaint, blob_bundle, blob_folder, tmp_path
    ):
        line = complaint(
            "evaluate", "detections", "--model", blob_bundle, "--images", blob_folder,
            "--truth", truth_file(tmp_path, ["000.png", "missing.png"]), "--out", tmp_path / "o",
            done_before="wrote",
        )  # fmt: skip
        assert "missing.png" in line
        metrics = json.loads((tmp_path / "o" / "metrics.json").read_text())
        assert metrics["images"]["unreadable"][0]["file_name"] == "missing.png"


def test_a_truth_of_another_recording(complaint, blob_bundle, blob_folder, tmp_path):
    line = complaint(
        "replay", blob_folder, "--model", blob_bundle, "--out", tmp_path / "out",
        "--truth", truth_file(tmp_path, ["000.png"]),
    )  # fmt: skip
    assert "1 images" in line
    assert (tmp_path / "out" / "bag" / "metadata.yaml").is_file()


class TestCamera:
    @pytest.fixture
    def config(self, tmp_path):
        def write(**params):
            path = tmp_path / "mine.yaml"
            path.write_text(json.dumps({"/**/thermal_camera": {"ros__parameters": params}}))
            return path

        return write

    @pytest.fixture
    def refused(self, complaint, blob_bundle, blob_folder, config):
        def run(**params):
            return complaint(
                "up", "--source", blob_folder, "--model", blob_bundle, "--rate", 0,
                "--config", config(**params),
            )  # fmt: skip

        return run

    def test_a_calibration_for_another_size(self, refused, tmp_path):
        path = tmp_path / "lens.yaml"
        save_calibration(CameraCalibration.ideal(640, 512, 50.0), path)
        line = refused(calibration_file=str(path))
        assert f"{path} is for 640x512 and the camera gives 320x256" in line

    def test_a_calibration_that_is_malformed(self, refused, tmp_path):
        (tmp_path / "lens.yaml").write_text("camera_matrix: [1, 2]")
        assert "lens.yaml: image_width must be" in refused(
            calibration_file=str(tmp_path / "lens.yaml")
        )

    def test_a_pixel_format_that_does_not_exist(self, refused):
        assert "pixel_format" in refused(pixel_format="raw7")

    def test_more_telemetry_rows_than_fit(self, refused):
        assert "telemetry_rows" in refused(telemetry_rows=99)
