"""What quantising a bundle costs: float, INT8 on the CPU and the HTP, on the same images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from windhover.errors import ConfigError
from windhover.files import write_atomic, write_json
from windhover.model import Bundle, Role
from windhover_evaluation.fidelity.variants import (
    Variant,
    evaluate_fidelity,
    fidelity_table,
    sample_images,
)

from ..config import ReleaseConfig
from ..evaluate.score import grouped_truth
from ..export.bundle import calibration_images
from ..export.layers import Layer, compare_layers

#: Images whose inner tensors are compared.
LAYER_IMAGES = 8

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class VerificationReport:
    """What :func:`verify` found.

    Attributes:
        images: name of a data set -> how many of its images were looked at.
        sets: name of a data set -> rows of its table, the float graph first.
        layers: all layers that can be compared, the worst first.
    """

    images: dict[str, int]
    sets: dict[str, list[Variant]]
    layers: list[Layer]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for bundle.yaml."""
        return {
            "images": self.images,
            "sets": {name: _plain(variants) for name, variants in self.sets.items()},
            "worst_layers": [asdict(layer) for layer in self.layers[:10]],
        }


def verify(
    config: ReleaseConfig,
    bundle: Bundle,
    names: Sequence[str],
    frames: int,
    out: Path,
    progress: Progress | None = None,
) -> VerificationReport:
    """Compare a bundle's graphs on every set that the config names, and layer by layer.

    Args:
        config: names the sets, and the images whose inner tensors are compared.
        bundle: to look at.
        names: what to hold against float.onnx, as
            :func:`~windhover_evaluation.fidelity.variants.variant_names` gives them.
        frames: images of each set, evenly from all.
        out: folder for ``verify.md``, ``verify.json`` and the sets' own files.
        progress: called with images done and images in all.

    Raises:
        BackendError: a variant can't be opened, or a run failed.
        ConfigError: the bundle lacks float.onnx or int8.onnx.
        DataError: a set is damaged.
    """
    exact, quantised = bundle.file(Role.FLOAT_ONNX), bundle.file(Role.INT8_ONNX)
    if exact is None or quantised is None:
        raise ConfigError(f"{bundle.root}: has no float.onnx and int8.onnx to compare; export it")
    images, found = {}, {}
    for number, (name, scored) in enumerate(config.scores.items()):
        truth = sample_images(grouped_truth(scored.truth, bundle.labels), frames)
        images[name] = len(truth.images)
        found[name] = evaluate_fidelity(
            bundle, truth, scored.pictures, names, out / f"set_{number}", progress
        )
    seen = calibration_images(config.calibration, bundle.modality, *bundle.input.hw)
    layers = compare_layers(exact, quantised, islice(seen, LAYER_IMAGES))
    result = VerificationReport(images, found, layers)
    write_atomic(out / "verify.md", markdown(result))
    write_json(out / "verify.json", result.as_dict())
    return result


def markdown(result: VerificationReport) -> str:
    """The tables and the ten worst layers as Markdown."""
    lines = []
    for name, variants in result.sets.items():
        heading, *rows = fidelity_table(variants)
        lines += [f"### {name}, {result.images[name]} images", ""]
        lines += [f"| {' | '.join(cells)} |" for cells in (heading, ["---"] * len(heading), *rows)]
        lines += [""]
    lines += ["### Worst layers of int8.onnx", "", "| layer | op | SQNR dB | lost in it dB |"]
    lines += ["|---|---|---:|---:|"]
    lines += [
        f"| `{layer.name}` | {layer.op} | {layer.sqnr_db:.1f} | {layer.drop_db:.1f} |"
        for layer in result.layers[:10]
    ]
    return "\n".join([*lines, ""])


def _plain(variants: Sequence[Variant]) -> dict[str, Any]:
    rows = {}
    for each in variants:
        near = each.fidelity
        rows[each.title] = {
            "map50": round(each.scores.map50, 4),
            "classes": {
                c.label: {
                    "ap50": round(c.ap50, 4),
                    "recall": round(c.at_threshold.recall, 4),
                    "precision": round(c.at_threshold.precision, 4),
                    "boxes": c.truths,
                }
                for c in each.scores.classes
                if c.truths
            },
            **(
                {
                    "same_boxes": [near.matched, near.reference_count],
                    "mean_iou": round(near.mean_iou, 4),
                    "sqnr_db": {k: round(v, 2) for k, v in near.sqnr_db.items()},
                }
                if near
                else {}
            ),
        }
    return rows
