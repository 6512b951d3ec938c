"""From a checkpoint to a judged bundle, end to end on a tiny set."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the training environment: make train-env")

import numpy as np
import torch
import yaml

from windhover.errors import ConfigError, DataError
from windhover.model import Bundle, write_bundle
from windhover.model.bundle import file_sha256
from windhover_sim.blob_bundle import build_blob_bundle
from windhover_training.cli import main
from windhover_training.config import ModelSpec, ReleaseConfig
from windhover_training.engine.model import build_model, save_weights
from windhover_training.evaluate.stress import RECIPES
from windhover_training.export.layers import compare_layers
from windhover_training.runs import Run

pytestmark = pytest.mark.train_env

LABELS = ["person", "vehicle", "two-wheeler"]
TINY = Path(__file__).parent / "tiny11.yaml"


@pytest.fixture
def config(tiny: Path, convert, tmp_path: Path) -> Path:
    """A release config over an untrained model and a tiny converted set."""
    convert(tiny, tmp_path / "data", {"test": ["day-60m-00100"]})
    torch.manual_seed(0)
    spec = ModelSpec(model=str(TINY), labels=LABELS, channels=1)
    model = build_model(spec.model, spec.channels, len(spec.labels))
    checkpoint = save_weights(Run(tmp_path / "run"), model, spec)
    text = dict.fromkeys(("summary", "use", "split", "training", "measured", "licence"), "as it is")
    values = {
        "name": "tiny",
        "version": "0",
        "checkpoint": str(checkpoint),
        "height": 128,
        "width": 160,
        "calibration": {"data": [str(tmp_path / "data")], "images": 2},
        "scores": {"held-out": [str(tmp_path / "data"), "test"]},
        "thresholds_on": [{"data": str(tmp_path / "data"), "split": "test"}],
        "least_precision": {"person": 0.5},
        "quiet_on": [{"data": str(tmp_path / "data"), "split": "test"}],
        "htp_frames": 1,
        "jobs": 2,
        "provenance": {**text, "data": ["none"], "limits": ["all"]},
    }
    path = tmp_path / "release.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def test_a_release_is_written_judged_and_not_ready(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime_qnn", reason="no HTP emulator: make train-env installs it")
    values = yaml.safe_load(config.read_text())
    people = {"data": str(tmp_path / "data"), "split": "test", "labelled": ["person"]}
    config.write_text(yaml.safe_dump(values | {"scores": {**values["scores"], "people": people}}))
    arguments = ["--config", str(config), "--out", str(tmp_path / "bundle")]
    assert main(["release", *arguments, "--report", str(tmp_path / "report")]) == 0
    assert "not ready" in capsys.readouterr().out
    bundle = Bundle.load(tmp_path / "bundle")
    assert {role.value for role in bundle.files} == {
        "float_onnx", "int8_onnx", "int8_dlc", "qcs8550_bin",
    }  # fmt: skip
    assert "at least person 0.5; quiet: raised until anything" in bundle.provenance["thresholds"]
    judged = bundle.provenance["checklist"]
    assert judged["status"] == "not ready"
    assert {item["status"] for item in judged["items"]} >= {"pass", "not measured"}
    rows = bundle.provenance["fidelity"]["sets"]["held-out"]
    assert [title.split(",")[0] for title in rows] == ["float.onnx", "int8.onnx", "int8.dlc"]
    card = (tmp_path / "bundle/README.md").read_text()
    assert "at most 1% of the images of data/test" in card
    assert set(bundle.operating_points) == {"balanced", "quiet"}
    quiet = bundle.thresholds_at("quiet").score_vector(bundle.labels)
    pairs = zip(bundle.thresholds.score_vector(bundle.labels), quiet, strict=True)
    assert all(low <= high for low, high in pairs)
    assert "| operating point | person | vehicle | two-wheeler | empty frames" in card
    scored = bundle.provenance["metrics"]["held-out"]["int8"]
    assert scored["points"]["quiet"].keys() == scored["all"].keys()
    people = bundle.provenance["metrics"]["people"]["int8"]
    assert "vehicle" in scored["all"]
    assert "vehicle" in scored["day"]
    assert [list(people[key]) for key in ("all", "day")] == [["person"], ["images", "person"]]
    assert people["points"]["balanced"].keys() == {"person"}
    assert "## Release checklist: not ready" in card
    assert "int8.dlc, HTP emulator on x86_64" in card
    assert (tmp_path / "report/verify.md").read_text().startswith("### held-out")

    # What is there is replaced on request only.
    again = ["verify", "--config", str(config), "--out", str(bundle.root), "--backends", "cpu"]
    again += ["--frames", "1", "--report", str(tmp_path / "report")]
    before = (tmp_path / "report/verify.json").read_text()
    assert main(again) == 2
    assert "give --force to replace it, or another --report" in capsys.readouterr().err
    assert main(["release", *arguments[:3], str(tmp_path / "other"), *again[-2:]]) == 2
    assert (tmp_path / "report/verify.json").read_text() == before
    assert not (tmp_path / "other").exists()
    assert main([*again, "--force"]) == 0
    assert "int8.dlc" not in (tmp_path / "report/verify.json").read_text()

    # The layers' figures are of these two graphs and no others.
    image = np.random.default_rng(0).integers(0, 256, (1, 128, 160, 1), np.uint8)
    files = bundle.root / "float.onnx", bundle.root / "int8.onnx"
    layers = compare_layers(*files, [image])
    assert [each.sqnr_db for each in layers] == sorted(each.sqnr_db for each in layers)
    assert any("model.0" in each.name for each in layers)
    with pytest.raises(ConfigError, match="no inner tensors named"):
        compare_layers(files[0], files[0], [image])

    # The same weights at another size, under another name.
    wide = ["--set", "name=wide", "--set", "width=192", "--out", str(tmp_path / "wide")]
    assert main(["export", "onnx", "--config", str(config), *wide]) == 0
    other = Bundle.load(tmp_path / "wide")
    assert (other.name, other.input.hw) == ("wide", (128, 192))

    # A released bundle can be quantised again from its float.onnx.
    again = yaml.safe_load(config.read_text())
    config.write_text(yaml.safe_dump({**again, "checkpoint": str(bundle.root)}))
    assert main(["export", "onnx", "--config", str(config), "--out", str(tmp_path / "new")]) == 0
    build = ["export", "dlc", "--out", str(tmp_path / "new")]
    assert main(build) == 0
    assert "qcs8550.bin" in capsys.readouterr().out
    before = (tmp_path / "new/bundle.yaml").read_text()
    assert main(build) == 2
    assert "has qcs8550.bin already; give --force" in capsys.readouterr().err
    assert (tmp_path / "new/bundle.yaml").read_text() == before
    assert main([*build, "--force"]) == 0
    assert Bundle.load(tmp_path / "new").labels == tuple(LABELS)


def test_the_graphs_and_the_second_look_of_a_release_can_be_kept(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Thresholds are chosen again; what is signed and flown otherwise stays to the byte."""
    pytest.importorskip("onnxruntime_qnn", reason="no HTP emulator: make train-env installs it")
    first = tmp_path / "first"
    assert main(["export", "onnx", "--config", str(config), "--out", str(first)]) == 0
    second = build_blob_bundle(first / "second_look", channels="rgb", height=160, width=160)
    manifest = Bundle.load(first).model_dump(mode="json", exclude={"format", "files"})
    manifest["second_look"] = {
        "bundle": "second_look", "sha256": file_sha256(second.root / "bundle.yaml"), "span_m": 2.9,
        "look_at": ["person"],
    }  # fmt: skip
    write_bundle(first, manifest)
    out = tmp_path / "second"
    given = ["release", "--config", str(config), "--out", str(out), "--keep", str(first)]
    given += ["--report", str(tmp_path / "report")]
    assert main(given) == 2
    assert "has no scores of held-out; leave --keep out" in capsys.readouterr().err
    scores = {"images": 1, "all": {"person": {"boxes": 3, "ap50": 0.5, "ap50_95": 0.25,
                                              "precision": 0.9, "recall": 0.1}}}  # fmt: skip
    manifest["provenance"] = {"metrics": {"held-out": {"float": scores, "int8": scores}}}
    write_bundle(first, manifest)
    values = yaml.safe_load(config.read_text())
    config.write_text(yaml.safe_dump({**values, "htp_frames": 0, "version": "0.0.1"}))
    assert main(given) == 0
    before, after = Bundle.load(first), Bundle.load(out)
    assert after.files == before.files
    assert after.second_look == before.second_look
    assert after.load_second_look() is not None
    assert (after.version, set(after.operating_points)) == ("0.0.1", {"balanced", "quiet"})
    assert after.head == before.head
    # AP is that of the kept graphs; precision and recall are of the new thresholds.
    held = after.provenance["metrics"]["held-out"]
    assert held["float"]["all"] == {"person": {"boxes": 3, "ap50": 0.5, "ap50_95": 0.25}}
    assert set(held["int8"]["points"]["quiet"]) == {"person"}


def test_quiet_is_added_to_a_bundle_that_lacks_it(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, place = tmp_path / "bundle", f"{tmp_path / 'data'}:test"
    assert main(["export", "onnx", "--config", str(config), "--out", str(folder)]) == 0
    before = Bundle.load(folder)
    assert before.point_names == ("balanced",)
    # So low that an untrained network finds something in each picture.
    manifest = before.model_dump(mode="json", by_alias=True, exclude={"files", "format"})
    manifest["thresholds"] |= {"score": 0.0001, "per_class": {}}
    write_bundle(folder, manifest)
    options = ["--empty", place, "--alarms", "0.01", "--count-on", place, "--version", "2"]
    assert main(["export", "quiet", str(folder), *options]) == 0
    after = Bundle.load(folder)
    assert (after.version, after.point_names) == ("2", ("balanced", "quiet"))
    images = len(json.loads((tmp_path / "data/truth/test.json").read_text())["images"])
    assert images > 0
    assert after.thresholds.score_vector(after.labels) == (0.0001,) * 3
    assert min(after.thresholds_at("quiet").score_vector(after.labels)) > 0.0001
    assert "quiet: person" in capsys.readouterr().out
    assert main(["export", "quiet", str(folder), "--empty", f"{place}:person,dog"]) == 2
    assert "no label dog" in capsys.readouterr().err
    assert main(["export", "quiet", str(folder), "--empty", "data"]) == 2
    assert "FOLDER:SPLIT" in capsys.readouterr().err
    assert Bundle.load(folder).digest == after.digest


def test_missing_figures_are_named_before_any_work(config: Path, tmp_path: Path) -> None:
    from windhover_training.config import load_config
    from windhover_training.phases.release import release

    settings = load_config(config, ReleaseConfig)
    with pytest.raises(DataError, match=r"none\.json: can't be read"):
        release(settings, tmp_path / "b", tmp_path / "r", profile=tmp_path / "none.json")
    (tmp_path / "half.json").write_text(json.dumps({"a": 1})[:-1])
    broken = settings.model_copy(update={"tracking": tmp_path / "half.json"})
    with pytest.raises(DataError, match=r"half\.json: can't be read"):
        release(broken, tmp_path / "b", tmp_path / "r")
    assert not (tmp_path / "b").exists()


def test_a_bundle_of_another_size_is_refused(config: Path, tmp_path: Path, capsys) -> None:
    values = yaml.safe_load(config.read_text())
    out = ["--out", str(tmp_path / "b")]
    assert main(["export", "onnx", "--config", str(config), *out]) == 0
    config.write_text(yaml.safe_dump({**values, "checkpoint": str(tmp_path / "b"), "height": 96}))
    assert main(["export", "onnx", "--config", str(config), *out, "--force"]) == 2
    assert "is for 160x128 images and 160x96 are asked for" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["export", "onnx"], ["release"]])
def test_an_earlier_bundle_is_only_replaced_on_request_and_nothing_else_ever(
    command: list[str], config: Path, tmp_path: Path, capsys
) -> None:
    there = tmp_path / "there"
    there.mkdir()
    (there / "bundle.yaml").write_text("an earlier one")
    arguments = [*command, "--config", str(config), "--out"]
    assert main([*arguments, str(there)]) == 2
    assert "exists already; give --force to replace it" in capsys.readouterr().err
    assert (there / "bundle.yaml").read_text() == "an earlier one"
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters/mine.txt").touch()
    assert main([*arguments, str(tmp_path / "letters"), "--force"]) == 2
    assert "was not made by this command" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "letters").iterdir()] == ["mine.txt"]


def test_a_bundle_that_is_replaced_is_whole(config: Path, tmp_path: Path) -> None:
    out = ["--config", str(config), "--out", str(tmp_path / "b")]
    assert main(["export", "onnx", *out]) == 0
    (tmp_path / "b/int8.dlc").touch()
    assert main(["export", "onnx", *out, "--force"]) == 0
    assert {path.name for path in (tmp_path / "b").iterdir()} == {
        "bundle.yaml", "float.onnx", "int8.onnx",
    }  # fmt: skip
    assert [path.name for path in tmp_path.glob(".b*")] == []


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("shape", [(60, 80), (60, 80, 4)])
def test_stress_changes_a_picture_the_same_way_each_time(name: str, shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(1).integers(0, 200, shape, np.uint8)
    boxes = np.array([[10, 10, 30, 40], [-5, 50, 20, 70]], np.float32)
    first, second = (RECIPES[name](image, boxes, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert first.shape == image.shape
    assert first.dtype == np.uint8
    assert (first != image).any()


def test_occlusion_covers_a_quarter_and_nothing_else() -> None:
    image = np.random.default_rng(1).integers(0, 200, (60, 80), np.uint8)
    box = np.array([[10, 10, 30, 50]], np.float32)
    changed = RECIPES["occlusion"](image, box, np.random.default_rng(0)) != image
    assert 0.2 < changed[10:50, 10:30].mean() < 0.27
    changed[10:50, 10:30] = False
    assert not changed.any()
