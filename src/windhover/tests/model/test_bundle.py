"""Bundles are refused, in one line that says what to do, unless they are what was released."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from windhover.errors import BundleError, ConfigError
from windhover.imaging.agc import ToneConfig
from windhover.model.bundle import Bundle, file_sha256, write_bundle
from windhover.model.manifest import Role

Edit = Callable[[dict[str, Any]], object]


def manifest() -> dict[str, Any]:
    outputs = [
        {"name": f"{kind}_s{stride}", "stride": stride, "kind": kind}
        for stride in (8, 16, 32)
        for kind in ("box", "score")
    ]
    return {
        "name": "night-n",
        "version": "0.1.0",
        "labels": ["person", "vehicle"],
        "channels": "thermal",
        "input": {"name": "images", "height": 512, "width": 640, "channels": 1},
        "head": {"family": "yolo11", "reg_max": 16, "strides": [8, 16, 32], "outputs": outputs},
        "thresholds": {"score": 0.3, "iou": 0.5, "per_class": {"vehicle": 0.4}},
        "provenance": {"data": ["HIT-UAV (CC BY 4.0)"], "metrics": {"ap50": {"person": 0.6}}},
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "models" / "night-n"
    root.mkdir(parents=True)
    (root / "float.onnx").write_bytes(b"float graph")
    (root / "int8.onnx").write_bytes(b"int8 graph")
    write_bundle(root, manifest())
    return root


def edit(folder: Path, change: Edit) -> None:
    path = folder / "bundle.yaml"
    data = yaml.safe_load(path.read_text())
    change(data)
    path.write_text(yaml.safe_dump(data))


def refusal(folder: Path | str, **kwargs: Any) -> str:
    with pytest.raises(BundleError) as caught:
        Bundle.load(folder, **kwargs)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_written_bundle_is_read_back(folder: Path) -> None:
    bundle = Bundle.load(folder)
    assert (bundle.name, bundle.version, bundle.format) == ("night-n", "0.1.0", 1)
    assert bundle.labels == ("person", "vehicle")
    assert bundle.input.shape == (1, 512, 640, 1)
    assert bundle.input.hw == (512, 640)
    assert [o.name for o in bundle.head.outputs][:2] == ["box_s8", "score_s8"]
    assert bundle.output_shape(bundle.head.outputs[2]) == (1, 32, 40, 64)
    assert bundle.output_shape(bundle.head.outputs[5]) == (1, 16, 20, 2)
    assert bundle.thresholds.score_vector(bundle.labels) == (0.3, 0.4)
    assert bundle.thresholds.max_detections == 300
    assert bundle.provenance["metrics"]["ap50"]["person"] == 0.6
    assert set(bundle.files) == {Role.FLOAT_ONNX, Role.INT8_ONNX}
    assert bundle.file(Role.INT8_ONNX) == folder / "int8.onnx"
    assert bundle.file(Role.INT8_DLC) is None
    spec = bundle.files[Role.FLOAT_ONNX]
    assert spec.sha256 == hashlib.sha256(b"float graph").hexdigest()
    assert spec.bytes == len(b"float graph")


def test_digest_changes_with_any_file(folder: Path) -> None:
    before = Bundle.load(folder).digest
    assert Bundle.load(folder).digest == before
    assert len(before) == 12
    (folder / "int8.onnx").write_bytes(b"another graph")
    assert write_bundle(folder, manifest()).digest != before


def test_found_by_folder_by_manifest_and_by_name(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Bundle.load(folder / "bundle.yaml").root == folder
    assert Bundle.load("night-n", search=[tmp_path, folder.parent]).root == folder
    monkeypatch.chdir(tmp_path)
    assert Bundle.load("night-n").root == Path("models/night-n")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("WINDHOVER_MODELS", f"/nowhere:{folder.parent}")
    assert Bundle.load("night-n").root == folder


def test_a_folder_given_by_environment_wins_over_the_working_one(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "elsewhere" / "night-n"
    other.mkdir(parents=True)
    (other / "float.onnx").write_bytes(b"newer")
    write_bundle(other, manifest())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WINDHOVER_MODELS", str(other.parent))
    assert Bundle.load("night-n").root == other


def test_a_missing_bundle_names_the_folders_searched(tmp_path: Path) -> None:
    message = refusal("day-s", search=[tmp_path / "a", tmp_path / "b"])
    assert "'day-s'" in message
    assert str(tmp_path / "b") in message
    assert "WINDHOVER_MODELS" in message
    assert "no/such/place" in refusal("no/such/place")
    assert "''" in refusal("")


def test_a_folder_or_file_that_is_no_bundle(tmp_path: Path) -> None:
    assert "bundle.yaml" in refusal(tmp_path)
    (tmp_path / "model.pt").write_bytes(b"x")
    assert "model.pt" in refusal(tmp_path / "model.pt")


def test_wrong_hash(folder: Path) -> None:
    (folder / "int8.onnx").write_bytes(b"int8 grapH")
    message = refusal(folder)
    assert "int8.onnx" in message
    assert "SHA-256" in message
    assert "fetch" in message


def test_a_truncated_file_is_found_by_its_size(folder: Path) -> None:
    (folder / "float.onnx").write_bytes(b"float")
    message = refusal(folder)
    assert "5 bytes" in message
    assert "11" in message


def test_missing_file(folder: Path) -> None:
    (folder / "int8.onnx").unlink()
    assert "int8.onnx (int8_onnx) is missing" in refusal(folder)


def test_a_folder_in_place_of_a_file(folder: Path) -> None:
    (folder / "int8.onnx").unlink()
    (folder / "int8.onnx").mkdir()
    assert "int8.onnx (int8_onnx) is missing" in refusal(folder)


@pytest.mark.parametrize("version", [2, 0, None, "1.0", "newest", [1]])
def test_unknown_format_version(folder: Path, version: object) -> None:
    edit(folder, lambda d: d.update(format=version))
    message = refusal(folder)
    assert f"format {version!r}" in message
    assert "reads 1" in message


@pytest.mark.parametrize(
    "path", ["../float.onnx", "/etc/hostname", "a/../../float.onnx", "C:\\float.onnx", "a\\b"]
)
def test_path_that_leaves_the_bundle(folder: Path, path: str) -> None:
    edit(folder, lambda d: d["files"]["float_onnx"].update(path=path))
    assert "inside the bundle" in refusal(folder)


def test_link_that_leaves_the_bundle(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.onnx"
    (folder / "float.onnx").rename(outside)
    (folder / "float.onnx").symlink_to(outside)
    assert "link to outside" in refusal(folder)


def test_linked_folder_inside_the_bundle_does_not_help(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (folder / "float.onnx").rename(tmp_path / "store" / "float.onnx")
    (folder / "sub").symlink_to(tmp_path / "store")
    edit(folder, lambda d: d["files"]["float_onnx"].update(path="sub/float.onnx"))
    assert "link to outside" in refusal(folder)


def test_link_to_the_bundle_itself_is_fine(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to(folder)
    assert Bundle.load(tmp_path / "current").name == "night-n"


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (b"", "no mapping"),
        (b"- 1\n- 2\n", "no mapping"),
        (b"format: 1\nname: [unclosed\n", "line 3"),
        (b"format: 1\nname: \xff\xfe\n", "not readable YAML"),
        (b"format: 1\nname: a\nname: b\n", "'name' appears twice in line 3"),
        (b"format: !!python/object:os.system {}\n", "not readable YAML"),
        (b"\x00\x01", "not readable YAML"),
    ],
)
def test_damaged_yaml(folder: Path, damage: bytes, expected: str) -> None:
    (folder / "bundle.yaml").write_bytes(damage)
    message = refusal(folder)
    assert expected in message
    assert "bundle.yaml" in message


def test_huge_manifest(folder: Path) -> None:
    with (folder / "bundle.yaml").open("wb") as stream:
        stream.truncate(50 << 20)
    assert "too large" in refusal(folder)


BAD_EDITS: list[tuple[str, Edit]] = [
    ("appear more than once", lambda d: d.update(labels=["person", "person"])),
    ("labels.0", lambda d: d.update(labels=[" person", "vehicle"])),
    ("labels", lambda d: d.update(labels=[])),
    ("channels", lambda d: d.update(channels="lidar")),
    ("3 input channels", lambda d: d.update(channels="rgb")),
    ("must divide by every stride", lambda d: d["input"].update(height=500)),
    ("input.layout", lambda d: d["input"].update(layout="nchw")),
    ("input.dtype", lambda d: d["input"].update(dtype="float32")),
    ("reg_max 16 does not go with yolo26", lambda d: d["head"].update(family="yolo26")),
    ("head.family", lambda d: d["head"].update(family="yolo5")),
    ("strides must rise", lambda d: d["head"].update(strides=[16, 8, 32])),
    ("one box and one score", lambda d: d["head"]["outputs"].pop()),
    ("one box and one score", lambda d: d["head"].update(strides=[8, 16])),
    ("names must differ", lambda d: d["head"]["outputs"][0].update(name="score_s8")),
    ("both scale and zero_point", lambda d: d["head"]["outputs"][0].update(scale=0.1)),
    ("zero_point", lambda d: d["head"]["outputs"][0].update(scale=0.1, zero_point=256)),
    ("scale", lambda d: d["head"]["outputs"][0].update(scale=float("nan"), zero_point=2)),
    ("thresholds.score", lambda d: d["thresholds"].update(score=1.5)),
    ("which are not labels", lambda d: d["thresholds"].update(per_class={"dog": 0.2})),
    ("thresholds.max_detections", lambda d: d["thresholds"].update(max_detections=0)),
    ("files", lambda d: d.update(files={})),
    ("files.gpu_engine", lambda d: d["files"].update(gpu_engine={})),
    ("sha256", lambda d: d["files"]["int8_onnx"].update(sha256="F00")),
    ("name", lambda d: d.update(name="a/b")),
    ("confidence", lambda d: d["thresholds"].update(confidence=0.2)),
    ("provenance", lambda d: d.update(provenance="none")),
    ("version", lambda d: d.pop("version")),
]


@pytest.mark.parametrize(("expected", "change"), BAD_EDITS)
def test_an_inconsistent_declaration(folder: Path, expected: str, change: Edit) -> None:
    edit(folder, change)
    message = refusal(folder)
    assert expected in message
    assert str(folder / "bundle.yaml") in message


def test_any_strides_and_several_faults_at_once(folder: Path) -> None:
    outputs = [
        {"name": f"{kind}{stride}", "stride": stride, "kind": kind}
        for kind in ("score", "box")
        for stride in (4, 8)
    ]
    edit(folder, lambda d: d["head"].update(strides=[4, 8], outputs=outputs))
    assert Bundle.load(folder).head.strides == (4, 8)
    edit(folder, lambda d: d.update(name="?", version=""))
    assert "(and 1 more)" in refusal(folder)


def test_manifest_is_read_only(folder: Path) -> None:
    bundle = Bundle.load(folder)
    with pytest.raises(ValueError, match="frozen"):
        bundle.name = "other"  # type: ignore[misc]


def test_writing_refuses_and_leaves_the_old_manifest(folder: Path) -> None:
    before = (folder / "bundle.yaml").read_bytes()
    with pytest.raises(BundleError, match="labels"):
        write_bundle(folder, {**manifest(), "labels": ["a", "a"]})
    with pytest.raises(BundleError, match="plain YAML"):
        write_bundle(folder, {**manifest(), "provenance": {"when": object()}})
    assert (folder / "bundle.yaml").read_bytes() == before


def test_writing_without_any_file(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="files"):
        write_bundle(tmp_path, manifest())


def test_hash_of_a_file_longer_than_a_chunk(tmp_path: Path) -> None:
    data = bytes(range(256)) * 10_000
    (tmp_path / "x").write_bytes(data)
    assert file_sha256(tmp_path / "x") == hashlib.sha256(data).hexdigest()


def test_without_a_tone_it_is_what_such_bundles_were_trained_with(folder: Path) -> None:
    assert Bundle.load(folder).tone == ToneConfig()


def test_a_bundle_may_name_its_tone_curve(folder: Path) -> None:
    edit(folder, lambda data: data.update(tone={"method": "plateau", "smoothing_s": 0.5}))
    assert Bundle.load(folder).tone == ToneConfig(method="plateau", smoothing_s=0.5)


def test_a_tone_curve_that_does_not_exist_is_refused(folder: Path) -> None:
    edit(folder, lambda data: data.update(tone={"method": "magic"}))
    assert "tone.method" in refusal(folder)


@pytest.mark.parametrize("name", ["best.pt", "yolo11n.onnx"])
def test_a_model_file_is_refused_with_the_command_that_makes_a_bundle_of_it(tmp_path, name):
    (tmp_path / name).write_bytes(b"weights")
    with pytest.raises(BundleError, match=f"windhover-train import .*{name} --calibration"):
        Bundle.load(tmp_path / name)


def with_points(scores: dict[str, dict[str, float]]) -> dict[str, Any]:
    return {**manifest(), "operating_points": scores}


BALANCED = {"person": 0.3, "vehicle": 0.4}


def test_operating_points_are_read_and_chosen_by_name(folder: Path) -> None:
    quiet = {"person": 0.6, "vehicle": 0.5}
    bundle = write_bundle(folder, with_points({"quiet": quiet, "balanced": BALANCED}))
    assert bundle.point_names == ("balanced", "quiet")
    assert bundle.thresholds_at() == bundle.thresholds
    found = bundle.thresholds_at("quiet")
    assert found.score_vector(bundle.labels) == (0.6, 0.5)
    assert (found.score, found.iou, found.max_detections) == (0.5, 0.5, 300)
    with pytest.raises(ConfigError, match=r"has no operating point 'loud'; it has balanced, quiet"):
        bundle.thresholds_at("loud")


def test_a_bundle_from_before_operating_points_has_its_own_thresholds(folder: Path) -> None:
    bundle = Bundle.load(folder)
    assert bundle.point_names == ("balanced",)
    assert bundle.thresholds_at("balanced").score_vector(bundle.labels) == (0.3, 0.4)
    with pytest.raises(ConfigError, match="no operating point 'quiet'; it has balanced"):
        bundle.thresholds_at("quiet")


@pytest.mark.parametrize(
    ("points", "problem"),
    [
        ({"balanced": BALANCED, "quiet": {"person": 0.6}}, "quiet must give a score for each"),
        ({"balanced": {**BALANCED, "tree": 0.1}}, "balanced must give a score for each"),
        ({"quiet": BALANCED}, "operating_points must have balanced"),
        ({"balanced": {"person": 0.2, "vehicle": 0.4}}, "thresholds must be those of"),
        ({"balanced": BALANCED, "Quiet!": BALANCED}, "operating_points"),
        ({"balanced": {"person": 1.2, "vehicle": 0.4}}, "operating_points"),
    ],
)
def test_operating_points_that_make_no_sense_are_refused(
    folder: Path, points: dict[str, dict[str, float]], problem: str
) -> None:
    edit(folder, lambda data: data.update(operating_points=points))
    assert problem in refusal(folder)
