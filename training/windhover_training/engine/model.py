"""The detector as a plain torch module, built by Ultralytics."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel
from torch import nn

from windhover.errors import ConfigError, DataError
from windhover.model import Bundle, Role

from .. import compat  # noqa: F401  (must come before ultralytics)

from ultralytics.cfg import get_cfg  # isort: skip
from ultralytics.nn.tasks import DetectionModel  # isort: skip
from ultralytics.utils import LOGGER  # isort: skip

from ..config import ModelSpec
from ..runs import Run
from .architectures import find_architecture, sort_levels
from .place import place
from .warm_start import (
    begin_at_nothing,
    check_head,
    line_up,
    other_width,
    read_weights,
    warm_start,
)

FORMAT_KEYS = {"ema", "config"}
LOGGER.setLevel(logging.WARNING)  # it tells of each model that is built


def build_model(
    architecture: str, channels: int, classes: int, head_classes: int | None = None
) -> DetectionModel:
    """Build an untrained detector.

    Args:
        architecture: Ultralytics model file, such as ``yolo11n.yaml``, or ours with a
            stride-4 level, ``yolo11n-p2.yaml``.
        channels: input channels.
        classes: number of classes.
        head_classes: how many classes the head's hidden layers are made for; by default
            ``classes``.

    Returns:
        The model with the loss gains that ``DetectionModel.loss`` needs; it takes
        ``(B, C, H, W)`` float in 0..1.
    """
    source = find_architecture(architecture)
    model = DetectionModel(source, ch=channels, nc=head_classes or classes, verbose=False)
    make_ready(model, classes, head_classes)
    return model


def make_ready(model: DetectionModel, classes: int, head_classes: int | None) -> None:
    """Give a network that Ultralytics just built loss gains, its levels in order and its classes.

    Args:
        model: changed.
        classes: number of classes.
        head_classes: how many it was built for, if not ``classes``.
    """
    model.args = get_cfg()
    sort_levels(model)
    if head_classes is not None:
        _set_classes(model, classes)


def _set_classes(model: DetectionModel, classes: int) -> None:
    """Give the head other last layers, for ``classes`` classes that it finds nowhere yet."""
    head = model.model[-1]
    for branch in head.cv3:
        branch[-1] = begin_at_nothing(nn.Conv2d(branch[-1].in_channels, classes, 1))
    head.nc = model.nc = classes
    head.no = classes + 4 * head.reg_max
    model.yaml["nc"] = classes
    model.names = {row: str(row) for row in range(classes)}


def build_as(spec: ModelSpec) -> DetectionModel:
    """Build the untrained detector that a training config describes."""
    classes = len(spec.labels)
    if spec.fusion is None:
        return build_model(spec.model, spec.channels, classes, spec.head_classes)
    from .fusion import RgbtModel  # it is built on this module's import order

    return RgbtModel(
        spec.model, classes, spec.fusion, spec.levels, spec.head_classes, spec.thermal_level
    )


def choose_device(name: str) -> torch.device:
    """The device that ``auto``, ``cpu``, ``cuda`` or ``cuda:1`` stands for.

    Where several processes train together, each has a GPU of its own.

    Raises:
        ConfigError: there is no such device on this machine.
    """
    gpus, here = gpu_count(), place()
    if name == "auto":
        name = "cuda" if gpus else "cpu"
    if here.processes > 1 and name.startswith("cuda:"):
        raise ConfigError(f"device {name!r} is one for {here.processes} processes; use cuda")
    if here.processes > 1 and name == "cuda":
        name = f"cuda:{here.local_rank}"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"device {name!r} is none; use auto, cpu, cuda or cuda:0") from error
    if device.type not in {"cpu", "cuda"}:
        raise ConfigError(f"device {name!r} can't be trained on; use auto, cpu, cuda or cuda:0")
    if device.type == "cuda" and (device.index or 0) >= gpus:
        found = ", ".join(f"cuda:{number}" for number in range(gpus)) or "no GPU"
        raise ConfigError(f"device {name!r}: this machine has {found}; use auto or cpu")
    return device


def gpu_count() -> int:
    """How many GPUs torch can use here."""
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def save_weights(
    run: Run, model: torch.nn.Module, config: BaseModel, name: str = "best.pt"
) -> Path:
    """Write averaged weights and what is needed to build their model again.

    Args:
        run: whose folder takes them.
        model: averaged.
        config: of the phase; has what :class:`~..config.ModelSpec` asks for.
        name: of the file.
    """
    weights = {key: value.cpu() for key, value in model.state_dict().items()}
    return run.save({"ema": weights, "config": config.model_dump(mode="json")}, name)


def load_weights(path: Path) -> tuple[DetectionModel, ModelSpec]:
    """Build the model of a finished run, in eval mode.

    Raises:
        DataError: the file is no checkpoint of weights, or they are of another model.
    """
    state = read_checkpoint(path)
    if not state.keys() >= FORMAT_KEYS:
        raise DataError(f"{path} holds no averaged weights; give best.pt or final.pt of a run")
    spec = ModelSpec.model_validate(state["config"])
    model = build_as(spec)
    try:
        model.load_state_dict(state["ema"])
    except RuntimeError as error:
        raise DataError(f"{path}: its weights are not those of {spec.model}; {error}") from error
    return model.eval(), spec


def load_model(source: Path, architecture: str) -> tuple[DetectionModel, ModelSpec]:
    """Build the model of a finished run, or that of a released bundle, in eval mode.

    Args:
        source: ``best.pt`` or ``final.pt`` of a run, or a bundle with a float.onnx.
        architecture: Ultralytics model file; only asked for with a bundle.

    Raises:
        BundleError: the bundle is damaged.
        DataError: the file is no checkpoint, or the bundle's graph is of another model.
    """
    if not source.is_dir():
        return load_weights(source)
    bundle = Bundle.load(source)
    path = bundle.file(Role.FLOAT_ONNX)
    if path is None:
        raise DataError(f"{source}: the bundle has no float.onnx to take weights from")
    labels = list(bundle.labels)
    spec = ModelSpec(model=architecture, labels=labels, channels=bundle.input.channels)
    model, weights = build_as(spec), read_weights(path)
    other = other_width(model, weights)
    if other is not None:
        spec = spec.model_copy(update={"head_classes": other})
        model = build_as(spec)
    warm_start(model, weights, list(range(len(labels))))
    return model.eval(), spec


def is_ultralytics(path: Path) -> bool:
    """Whether a file is an ONNX graph, or a checkpoint that Ultralytics wrote.

    Its ``strip_optimizer`` leaves the model under ``model`` and nothing under ``ema``.

    Raises:
        DataError: the file can't be read or is none.
    """
    if path.suffix.lower() == ".onnx":
        return True
    state = read_checkpoint(path)
    return any(isinstance(state.get(key), torch.nn.Module) for key in ("ema", "model"))


def take_weights(model: DetectionModel, path: Path) -> int:
    """Start a model from a run's weights, or from a checkpoint of Ultralytics.

    Tensors of the same name and shape are taken. A first layer for other channels is taken
    with its mean over them, so that RGB weights start a thermal or an RGBT model. A level that
    the weights lack begins at nothing (:func:`.warm_start.line_up`).

    Args:
        model: changed in place.
        path: ``best.pt`` or ``final.pt`` of a run, or an Ultralytics ``.pt``.

    Returns:
        How many tensors were taken.

    Raises:
        DataError: the file is no checkpoint, or fits so little that it is another model's, or it
            is of a run whose head is wider or narrower on its inside.
    """
    state = read_checkpoint(path)
    source = state["ema"] if state.get("ema") is not None else state.get("model")
    if isinstance(source, torch.nn.Module):
        source = source.float().state_dict()
    if not isinstance(source, dict):
        raise DataError(f"{path} holds no weights; give best.pt of a run or an Ultralytics .pt")
    source = line_up(model, source)
    own = model.state_dict()
    taken = {}
    for name, value in source.items():
        if name not in own:
            continue
        if value.shape == own[name].shape:
            taken[name] = value
        elif value.ndim == 4 and _differs_in_inputs(value.shape, own[name].shape):
            factor = value.shape[1] / own[name].shape[1]
            taken[name] = value.float().mean(1, keepdim=True).expand_as(own[name]) * factor
    if len(taken) < 0.5 * len(own):
        raise DataError(
            f"{path} fits {len(taken)} of the model's {len(own)} tensors; it is of another model"
        )
    if state.keys() >= FORMAT_KEYS:  # what Ultralytics trained on other classes fits in part
        check_head(model, source)
    model.load_state_dict(taken, strict=False)
    return len(taken)


def _differs_in_inputs(a: torch.Size, b: torch.Size) -> bool:
    return a[0] == b[0] and a[2:] == b[2:] and min(a[1], b[1]) >= 1 and max(a[1], b[1]) <= 4


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint, of ours or of Ultralytics, on the CPU.

    Raises:
        DataError: the file can't be read or is none.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=False)
    except OSError as error:
        raise DataError(f"{path}: can't be read ({error.strerror or error})") from error
    except Exception as error:  # whatever unpickling a damaged file raises
        raise DataError(f"{path} is no checkpoint ({type(error).__name__}: {error})") from error
    if not isinstance(state, dict):
        raise DataError(f"{path} is no checkpoint: it holds a {type(state).__name__}")
    return state


def raw_heads(model: DetectionModel, images: torch.Tensor) -> list[torch.Tensor]:
    """Run the model up to its raw heads.

    Args:
        model: in eval mode.
        images: ``(B, C, H, W)`` float in 0..1.

    Returns:
        For each stride, box logits ``(B, 4*reg_max, h, w)`` then class logits
        ``(B, nc, h, w)``, finest first: box_s8, score_s8, box_s16, score_s16, ...
    """
    head = model.model[-1]
    own = getattr(model, "neck", None)
    sources = own(images) if own is not None else _neck(model, images)
    # Of YOLO26's two heads the one that a trained model is used with.
    single = getattr(head, "one2one_cv2", None) is not None
    boxes, scores = (head.one2one_cv2, head.one2one_cv3) if single else (head.cv2, head.cv3)
    outputs = []
    for box, score, source in zip(boxes, scores, sources, strict=True):
        outputs += [box(source), score(source)]
    return outputs


def _neck(model: DetectionModel, images: torch.Tensor) -> list[torch.Tensor]:
    """Feature maps that the head of a plain model takes."""
    saved: list[torch.Tensor | None] = []
    x: torch.Tensor | list[torch.Tensor] = images
    for module in model.model[:-1]:
        if module.f != -1:
            x = (
                saved[module.f]
                if isinstance(module.f, int)
                else [x if j == -1 else saved[j] for j in module.f]
            )
        x = module(x)
        saved.append(x if module.i in model.save else None)
    return [saved[i] for i in model.model[-1].f]
