"""Holds ways to quantise a model against each other, on the CPU and on the HTP emulator.

    python training/tools/quantisation_trade.py --config training/configs/release_thermal_n.yaml \
        --variants training/configs/trade_thermal_n.yaml --out training/workspace/trade

A variant that was measured is not measured again, so that the command can be stopped and
given again. Calibration images are looked at once for all; boxes are counted at the thresholds
of the released bundle that the config names as its checkpoint. Sizes are of int8.dlc.
The time is an estimate from published figures of YOLO11n on this chip (w8a8 1.6 ms, w8a16
4.2 ms at 640x640) scaled by MACs: nothing here was measured on a device.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import onnx
import typer
import yaml

from windhover.files import write_atomic, write_json
from windhover.inference.build import add_to_bundle
from windhover.model import Bundle, Role
from windhover_evaluation.fidelity.variants import (
    Variant,
    evaluate_fidelity,
    sample_images,
    variant_names,
)
from windhover_evaluation.speed.estimate import estimate_bundle, with_shapes
from windhover_training.config import QuantisationConfig, ReleaseConfig, load_config
from windhover_training.data.readers.pictures import KINDS
from windhover_training.evaluate.score import grouped_truth
from windhover_training.export.bundle import ExportedGraphs, calibration_images, write
from windhover_training.export.graph import finish_float, load_core, shape_of
from windhover_training.export.quantise import look, output_quantisation, quantise
from windhover_training.export.ranges import Histogram

HEADING = ["", "mAP50 lost, CPU (by class)", "mAP50 lost, HTP emulator (by class)", "same boxes",
           "their IoU", "least SQNR dB", "int8.dlc MB", "likely ms"]  # fmt: skip


def main(
    config: Annotated[Path, typer.Option(help="release config, YAML")],
    variants: Annotated[Path, typer.Option(help="name -> calibration settings, YAML")],
    out: Annotated[Path, typer.Option(help="folder for the variants' bundles and the table")],
    frames: Annotated[int, typer.Option(min=1, help="images, evenly from the first set")] = 150,
    on_htp: Annotated[int, typer.Option(min=1, help="images on the HTP emulator")] = 24,
) -> None:
    """Measure each variant and write ``trade.md``."""
    settings = load_config(config, ReleaseConfig)
    rows: list[dict[str, Any]] = []
    core, labels = load_core(settings.checkpoint, settings.height, settings.width)
    found: dict[str, Histogram] = {}
    for index, (name, changes) in enumerate(yaml.safe_load(variants.read_text()).items()):
        folder = out / f"{index:02d}"
        if not (folder / "row.json").is_file():
            if "bundle" not in changes and not found:
                found = _look(settings, core)
            bundle = _bundle(settings, changes, folder, core, labels, found)
            cpu = _measure(settings, bundle, folder / "cpu", frames, "cpu")
            htp = _measure(settings, bundle, folder / "htp", on_htp, "dlc")
            write_json(folder / "row.json", _row(name, bundle, cpu, htp))
        rows.append(json.loads((folder / "row.json").read_text()))
        lines = [HEADING, ["---"] * len(HEADING), *(row["cells"] for row in rows)]
        write_atomic(out / "trade.md", "".join(f"| {' | '.join(cells)} |\n" for cells in lines))
        typer.echo(rows[-1]["cells"])


def _look(settings: ReleaseConfig, core: onnx.ModelProto) -> dict[str, Histogram]:
    channels = KINDS[shape_of(core.graph.input[0])[1]]
    c = settings.calibration
    return look(core, calibration_images(c, channels, settings.height, settings.width))


def _bundle(
    settings: ReleaseConfig,
    changes: dict[str, Any],
    folder: Path,
    core: onnx.ModelProto,
    labels: list[str],
    found: dict[str, Histogram],
) -> Bundle:
    if "bundle" in changes:
        path = Path(changes["bundle"]) / "int8.onnx"
        quantised = onnx.load(path)
    else:
        values = {**settings.calibration.model_dump(), **changes}
        quantised = quantise(core, [], QuantisationConfig.model_validate(values), found)
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(finish_float(core), folder / "float.onnx")
    onnx.save(quantised, folder / "int8.onnx")
    limits = Bundle.load(settings.checkpoint).thresholds.model_dump()
    channels = KINDS[shape_of(core.graph.input[0])[1]]
    reg_max = shape_of(core.graph.output[0])[1] // 4
    exported = ExportedGraphs(labels, channels, output_quantisation(quantised), reg_max)
    write(settings, folder, exported, limits, {})
    return add_to_bundle(folder)


def _measure(
    settings: ReleaseConfig, bundle: Bundle, folder: Path, frames: int, backend: str
) -> list[Variant]:
    scored = next(iter(settings.scores.values()))
    truth = sample_images(grouped_truth(scored.truth, bundle.labels), frames)
    return evaluate_fidelity(bundle, truth, scored.pictures, variant_names(backend), folder)


def _row(name: str, bundle: Bundle, cpu: list[Variant], htp: list[Variant]) -> dict[str, Any]:
    near = cpu[-1].fidelity
    assert near is not None
    dlc = bundle.file(Role.INT8_DLC)
    assert dlc is not None
    boxes = f"{100 * near.matched / near.reference_count:.1f} %"
    size, noise = f"{dlc.stat().st_size / 1e6:.2f}", f"{cpu[-1].min_sqnr_db:.1f}"
    cells = [name, _loss(*cpu), _loss(*htp), boxes, f"{near.mean_iou:.3f}", noise, size]
    cells.append(_likely(bundle))
    classes = {
        each.name: {c.label: [c.ap50, c.at_threshold.recall] for c in each.scores.classes}
        for each in (*cpu, htp[-1])
    }
    return {"cells": cells, "classes": classes}


def _loss(reference: Variant, other: Variant) -> str:
    loss = 100 * (other.scores.map50 - reference.scores.map50)
    parts = [
        f"{100 * (mine.ap50 - exact.ap50):+.1f}"
        for mine, exact in zip(other.scores.classes, reference.scores.classes, strict=True)
    ]
    return f"{loss:+.1f} ({' / '.join(parts)})"


def _likely(bundle: Bundle) -> str:
    """Published times scaled by MACs, by the share of them that runs at 16 bits."""
    scaled = estimate_bundle(bundle).scaled_ms
    path = bundle.file(Role.INT8_ONNX)
    assert path is not None
    share = _wide_share(onnx.load(path))
    return f"{scaled['w8a8'] + share * (scaled['w8a16'] - scaled['w8a8']):.1f}"


def _wide_share(model: onnx.ModelProto) -> float:
    """Share of the convolutions' work whose input has 16 bits."""
    graph = with_shapes(model).graph
    wide = {t.name for t in graph.initializer if t.data_type == onnx.TensorProto.UINT16}
    makers = {name: node for node in graph.node for name in node.output}
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in graph.value_info}
    sizes = {t.name: list(t.dims) for t in graph.initializer}
    total = sixteen = 0.0
    for node in graph.node:
        if node.op_type != "Conv":
            continue
        kernel = sizes[makers[node.input[1]].input[0]]
        _, _, height, width = shapes[node.output[0]]
        work = float(kernel[0] * kernel[1] * kernel[2] * kernel[3] * height * width)
        total += work
        source = makers.get(node.input[0])
        if source is not None and source.op_type == "DequantizeLinear" and source.input[2] in wide:
            sixteen += work
    return sixteen / total


if __name__ == "__main__":
    typer.run(main)
