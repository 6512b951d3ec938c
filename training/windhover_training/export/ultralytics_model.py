"""A model that was trained elsewhere, as a core graph with labels: Ultralytics' .pt and ONNX."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from windhover.errors import ConfigError, DataError

from .graph import shape_of
from .onnx_heads import (
    DEFAULT_SIDE,
    class_names,
    cut_at_heads,
    read_onnx,
    reverse_colours,
    select_classes,
)


@dataclass(frozen=True)
class UltralyticsModel:
    """A float detector ready to be quantised.

    Attributes:
        core: as :func:`.graph.export_core` makes it, for B, G, R.
        labels: of its classes, in order.
        origin: what the file says of itself: file, format, and description, version, date
            and licence where they are noted.
    """

    core: onnx.ModelProto
    labels: list[str]
    origin: dict[str, str]


def read_ultralytics(
    path: Path, labels: Sequence[str], size: tuple[int, int] | None = None
) -> UltralyticsModel:
    """Read a detector of Ultralytics' YOLOv8, YOLO11 or YOLO26.

    Args:
        path: checkpoint (``.pt``; unpickling runs code in it, so give one that you trust) or
            exported graph (``.onnx``).
        labels: classes to keep, in this order, each ``NAME`` or ``NAME=LABEL``; empty for all.
            For a file that does not name its classes: one name for each of them.
        size: height and width of the input, multiples of 32; by default what the file was
            trained or exported for.

    Raises:
        ConfigError: the model is no such detector, or has no such class.
        DataError: the file can't be read.
    """
    readers = {".pt": _read_checkpoint, ".onnx": _read_graph}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise ConfigError(f"{path}: is neither .pt nor .onnx; give weights or an exported graph")
    core, names, origin = reader(path, size)
    if shape_of(core.graph.input[0])[1] == 3:
        # Ultralytics trains on R, G, B; cameras and bundles have B, G, R.
        core = reverse_colours(core, str(path))
    rows, kept = choose_classes(names, labels, shape_of(core.graph.output[1])[1], str(path))
    if rows != list(range(shape_of(core.graph.output[1])[1])):
        core = select_classes(core, rows)
    return UltralyticsModel(core, kept, {"file": path.name, **origin})


def choose_classes(
    names: Sequence[str] | None, wanted: Sequence[str], count: int, where: str
) -> tuple[list[int], list[str]]:
    """Which classes of a model to keep, and under which labels.

    Args:
        names: of the model's classes; None where the file has none.
        wanted: ``NAME`` or ``NAME=LABEL``; empty for all.
        count: classes of the model.
        where: file name, for messages.

    Returns:
        Rows of the score outputs, and their labels.

    Raises:
        ConfigError: a name is unknown, stands twice, or there are not enough of them.
    """
    if names is None or len(names) != count:
        if len(wanted) != count:
            raise ConfigError(
                f"{where}: does not name its {count} classes; give all of them in their order "
                f"with --labels ({len(wanted)} given)"
            )
        names, wanted = list(wanted), []
    pairs = [name.partition("=") for name in wanted or names]
    rows, labels = [], []
    for name, _, label in pairs:
        if name.strip() not in names:
            raise ConfigError(
                f"{where}: has no class {name.strip()!r}; it has {', '.join(names[:80])}"
            )
        rows.append(list(names).index(name.strip()))
        labels.append((label or name).strip())
    twice = sorted({label for label in labels if labels.count(label) > 1 or not label})
    if twice or len(set(rows)) < len(rows):
        raise ConfigError(f"--labels: {', '.join(twice) or 'a class'} stands twice")
    return rows, labels


_Read = tuple[onnx.ModelProto, "list[str] | None", "dict[str, str]"]


def _read_graph(path: Path, size: tuple[int, int] | None) -> _Read:
    model = read_onnx(path)
    noted = {entry.key: entry.value for entry in model.metadata_props}
    kept = ("description", "version", "date", "license")
    origin = {"format": "ONNX", **{key: noted[key] for key in kept if key in noted}}
    return cut_at_heads(model, size, str(path)), class_names(model), origin


def _read_checkpoint(path: Path, size: tuple[int, int] | None) -> _Read:
    from .. import compat  # noqa: F401  (must come before ultralytics)

    from ultralytics.nn.modules.head import Detect  # isort: skip
    from ultralytics.nn.tasks import DetectionModel, load_checkpoint  # isort: skip

    from ..engine.model import is_ultralytics, read_checkpoint
    from .graph import export_core

    if not is_ultralytics(path):  # says in one line what is wrong with a file that is none
        raise DataError(
            f"{path}: holds no model of Ultralytics; for best.pt of windhover-train use "
            "'windhover-train export onnx'"
        )
    model: Any = load_checkpoint(str(path))[0]
    state = read_checkpoint(path)
    head = model.model[-1]
    if not isinstance(model, DetectionModel) or type(head) is not Detect:
        task = getattr(model, "task", type(head).__name__)
        raise ConfigError(f"{path}: is a model for {task!r}; only detectors can be used")
    trained = _trained_side(state)
    height, width = size or (trained, trained)
    if height % 32 or width % 32:
        raise ConfigError(f"--size {width}x{height}: both sides must be multiples of 32")
    channels = int(next(model.parameters()).shape[1])
    core = export_core(model.float().eval(), height, width, channels)
    names = [str(model.names[key]) for key in sorted(model.names)]
    noted = {key: str(state[key]) for key in ("version", "date", "license") if state.get(key)}
    return core, names, {"format": "PyTorch", **noted}


def _trained_side(state: dict[str, Any]) -> int:
    """Side of the images that an Ultralytics checkpoint was trained on."""
    arguments = state.get("train_args") or {}
    side = arguments.get("imgsz", DEFAULT_SIDE) if isinstance(arguments, dict) else DEFAULT_SIDE
    return side if isinstance(side, int) and side % 32 == 0 else DEFAULT_SIDE
