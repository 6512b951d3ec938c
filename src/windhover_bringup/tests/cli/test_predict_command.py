"""``windhover predict``: pictures in, annotated pictures and labels out."""

import json
import subprocess
import sys

import av
import cv2
import numpy as np
import pytest

from tests.support.fixtures import PERSON_BOX, VEHICLE_BOX, blob_image, with_quiet_point
from windhover.types import Frame
from windhover_bringup.cli import main
from windhover_bringup.prediction.run import COLOUR_MODEL, THERMAL_MODEL, default_model


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for k in range(3):
        cv2.imwrite(str(folder / f"p{k}.png"), blob_image(k))
    cv2.imwrite(str(folder / "empty.png"), np.full((256, 320), 40, np.uint8))
    return folder


def predict(source, model, out, *more):
    return main(["predict", str(source), "--model", str(model), "--out", str(out), *more])


def test_a_folder_gives_pictures_labels_and_a_summary(pictures, blob_bundle, tmp_path, capsys):
    out = tmp_path / "out"
    assert predict(pictures, blob_bundle, out, "--save-conf") == 0
    printed, start = capsys.readouterr()
    rows = dict(line.split(None, 1) for line in start.splitlines())
    assert rows["model"] == "blob 1.0.0, thermal 320x256"
    assert rows["backend"].startswith("cpu: ")
    assert rows["input"] == str(pictures)
    assert rows["next"] == str(out)
    assert "4 frames, 3 with objects: 3 person, 3 vehicle" in printed
    assert "none dropped" in printed
    files = {str(p.relative_to(out)) for p in out.rglob("*.*")}
    assert files == {
        "p0.jpg", "p1.jpg", "p2.jpg", "empty.jpg", "predictions.json",
        "labels/p0.txt", "labels/p1.txt", "labels/p2.txt", "labels/empty.txt",
    }  # fmt: skip
    drawn = cv2.imread(str(out / "p0.jpg"))
    # A legend may stand beside the picture.
    assert drawn.shape[0] >= 256
    assert drawn.shape[1] >= 320
    # Colours, in a picture that had none.
    assert int((drawn.max(axis=2) - drawn.min(axis=2)).max()) > 60
    coco = json.loads((out / "predictions.json").read_text())
    assert [i["file_name"] for i in coco["images"]] == ["empty.png", "p0.png", "p1.png", "p2.png"]
    first = [a for a in coco["annotations"] if a["image_id"] == 2]
    boxes = {a["category_id"]: a["bbox"] for a in first}
    for label, (x1, y1, x2, y2) in ((1, PERSON_BOX), (2, VEHICLE_BOX)):
        np.testing.assert_allclose(boxes[label], [x1, y1, x2 - x1, y2 - y1], atol=2)
    label, *place = (out / "labels" / "p0.txt").read_text().split("\n")[0].split()
    x, y, w, h, score = map(float, place)
    x1, y1, x2, y2 = PERSON_BOX if label == "0" else VEHICLE_BOX
    np.testing.assert_allclose([x * 320, y * 256], [(x1 + x2) / 2, (y1 + y2) / 2], atol=2)
    np.testing.assert_allclose([w * 320, h * 256], [x2 - x1, y2 - y1], atol=2)
    assert 0.5 < score <= 1


def test_classes_and_threshold_choose_what_is_kept(pictures, blob_bundle, tmp_path, capsys):
    assert predict(pictures, blob_bundle, tmp_path / "a", "--classes", "vehicle") == 0
    assert "3 with objects: 3 vehicle;" in capsys.readouterr().out
    assert predict(pictures, blob_bundle, tmp_path / "b", "--classes", "0") == 0
    assert "3 with objects: 3 person;" in capsys.readouterr().out
    assert predict(pictures, blob_bundle, tmp_path / "c", "--conf", "1") == 0
    assert "0 with objects: nothing;" in capsys.readouterr().out


def test_an_operating_point_chooses_the_thresholds(pictures, blob_bundle, tmp_path, capsys):
    quiet = with_quiet_point(blob_bundle, tmp_path / "quiet", {"person": 1.0, "vehicle": 0.25})
    assert predict(pictures, quiet, tmp_path / "a") == 0
    assert "3 person, 3 vehicle" in capsys.readouterr().out
    assert predict(pictures, quiet, tmp_path / "b", "--operating-point", "quiet") == 0
    assert "3 with objects: 3 vehicle;" in capsys.readouterr().out


def test_pictures_become_a_video_too_and_a_video_is_read(pictures, blob_bundle, tmp_path, capsys):
    out = tmp_path / "out"
    assert predict(pictures, blob_bundle, out, "--fps", "5") == 0
    with av.open(str(out / "in.mp4")) as video:
        times = [float(frame.time) for frame in video.decode(video=0)]
    assert times == pytest.approx([0, 0.2, 0.4, 0.6])
    assert predict(out / "in.mp4", blob_bundle, tmp_path / "again", "--save-txt") == 0
    assert (tmp_path / "again" / "in.mp4").is_file()
    assert not list((tmp_path / "again").glob("*.jpg"))
    coco = json.loads((tmp_path / "again" / "predictions.json").read_text())
    assert coco["images"][1]["file_name"] == "in_000002.jpg"
    capsys.readouterr()


def test_a_picture_that_can_not_be_read_is_counted(pictures, blob_bundle, tmp_path, capsys):
    (pictures / "p1.png").write_bytes(b"no picture")
    assert predict(pictures, blob_bundle, tmp_path / "out") == 2
    assert "3 frames, 2 with objects" in (printed := capsys.readouterr().out)
    assert "1 could not be read, the first: image" in printed
    coco = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert [i["file_name"] for i in coco["images"]] == ["empty.png", "p0.png", "p2.png"]


def test_two_pictures_of_one_name_do_not_overwrite_each_other(pictures, blob_bundle, tmp_path):
    cv2.imwrite(str(pictures / "p0.bmp"), blob_image(0))
    assert predict(pictures, blob_bundle, tmp_path / "out") == 0
    assert {p.name for p in (tmp_path / "out").glob("p0*")} == {"p0.bmp.jpg", "p0.png.jpg"}


def test_colour_pictures_for_a_thermal_model_are_warned_of(blob_bundle, tmp_path, capsys):
    picture = np.zeros((64, 96, 3), np.uint8)
    picture[..., 0] = 40
    cv2.imwrite(str(tmp_path / "sky.png"), picture)
    assert predict(tmp_path / "sky.png", blob_bundle, tmp_path / "out") == 0
    assert "the pictures are in colour" in capsys.readouterr().err
    cv2.imwrite(str(tmp_path / "grey.jpg"), cv2.cvtColor(blob_image(0), cv2.COLOR_GRAY2BGR))
    assert predict(tmp_path / "grey.jpg", blob_bundle, tmp_path / "out") == 0
    assert "warning" not in capsys.readouterr().err


def test_a_model_of_both_cameras_takes_the_pictures_of_one(pictures, rgbt_bundle, tmp_path, capsys):
    assert predict(pictures, rgbt_bundle, tmp_path / "thermal") == 0
    assert "3 with objects: 3 person, 3 vehicle" in capsys.readouterr().out
    colour = tmp_path / "colour"
    colour.mkdir()
    for k in range(2):
        picture = np.zeros((256, 320, 3), np.uint8)
        # That model looks at red.
        picture[..., 2] = blob_image(k)
        cv2.imwrite(str(colour / f"{k}.png"), picture)
    assert predict(colour, rgbt_bundle, tmp_path / "rgb") == 0
    printed = capsys.readouterr()
    assert "2 with objects: 2 person, 2 vehicle" in printed.out
    assert "warning" not in printed.err
    # The picture itself is drawn on, not one with a blank camera mixed in.
    drawn = cv2.imread(str(tmp_path / "rgb" / "0.jpg"))
    assert drawn[70, 30, 2] > 200
    assert predict("rgb=a,thermal=b", rgbt_bundle, tmp_path / "two") == 2
    assert "windhover replay rgb=URI,thermal=URI" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("image", "encoding", "model"),
    [
        (np.full((64, 64), 9000, np.uint16), "mono16", THERMAL_MODEL),
        (np.full((64, 64, 3), 90, np.uint8), "bgr8", THERMAL_MODEL),
        (np.full((64, 64, 3), (40, 70, 80), np.uint8), "bgr8", COLOUR_MODEL),
        # A thermal camera's palette: refused by that model, and never taken for a photograph.
        (np.full((64, 64, 3), (10, 60, 250), np.uint8), "bgr8", THERMAL_MODEL),
        (np.full((64, 64, 4), 90, np.uint8), "8UC4", COLOUR_MODEL),
    ],
)
def test_the_model_follows_from_the_pictures(image, encoding, model):
    assert default_model(Frame(image, encoding, 0)) == model
    assert default_model(None) == THERMAL_MODEL


def test_without_out_nothing_is_overwritten(pictures, blob_bundle, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    given = ["predict", str(pictures), "--model", str(blob_bundle)]
    assert main(given) == main(given) == 0
    assert (tmp_path / "out" / "predict_1" / "p0.jpg").is_file()
    assert "wrote out/predict_1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (["--classes", "person,dog"], "no class dog; the model has person, vehicle"),
        (["--conf", "2"], "--conf"),
        (["--operating-point", "quiet"], "no operating point 'quiet'; it has balanced"),
        (["--fps", "0"], "--fps"),
        (["--palette", "plaid"], "palette must be"),
        (["--model", "/nowhere"], "/nowhere"),
    ],
)
def test_mistakes_are_one_line_and_status_2(pictures, blob_bundle, tmp_path, capsys, more, reason):
    assert predict(pictures, blob_bundle, tmp_path / "out", *more) == 2
    error = capsys.readouterr().err
    assert reason in error
    assert error.count("\n") == 1


def test_results_never_replace_the_pictures_themselves(pictures, blob_bundle, capsys):
    before = (pictures / "p0.png").read_bytes()
    assert predict(pictures, blob_bundle, pictures) == 2
    assert "is the folder of the pictures" in capsys.readouterr().err
    assert (pictures / "p0.png").read_bytes() == before
    assert predict(pictures / "p0.png", blob_bundle, pictures) == 2


def test_it_needs_neither_ros_nor_scores(pictures, blob_bundle, tmp_path):
    code = (
        "import sys, json\n"
        "blocked = {'rclpy', 'windhover_evaluation', 'windhover_sim', 'sensor_msgs'}\n"
        "class Blocker:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name.partition('.')[0] in blocked:\n"
        "            raise ImportError(name)\n"
        "sys.meta_path.insert(0, Blocker())\n"
        "from windhover_bringup.cli import main\n"
        f"sys.exit(main({['predict', str(pictures), '--model', str(blob_bundle)]!r}"
        f" + ['--out', {str(tmp_path / 'out')!r}]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "3 with objects" in done.stdout
