"""A network for both cameras that takes the thermal backbone of one for thermal alone."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="needs the training environment: make train-env")

import numpy as np
import torch
from pydantic import ValidationError

from windhover.errors import DataError
from windhover_training.engine.fusion import RgbtModel
from windhover_training.engine.thermal_side import take_thermal_side
from windhover_training.fusion_config import FusionConfig

pytestmark = pytest.mark.train_env

SIZE = 192
#: Cells that the border reaches, where a black picture gives something else than in its middle.
BORDER = 6


def network(levels: tuple[str, ...]) -> RgbtModel:
    torch.manual_seed(5)
    model = RgbtModel("yolo11n.yaml", 4, "cbam", levels).eval()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.uniform_(1.5, 2.5)
                module.bias.uniform_(-0.3, 0.3)
    return model


def thermal_weights(model: RgbtModel) -> dict[str, np.ndarray]:
    """Another thermal backbone, folded: by name, as a released bundle has it."""
    generator = np.random.default_rng(2)
    found = {}
    for name, value in model.state_dict().items():
        if name.startswith("model.") and name.endswith(".conv.weight"):
            kernel = value.numpy() + generator.normal(0, 0.05, value.shape).astype(np.float32)
            found[name] = kernel
            bias = generator.uniform(-0.5, 0.5, len(kernel)).astype(np.float32)
            found[name.replace(".weight", ".bias")] = bias
    return found


def seen(rgb: bool) -> torch.Tensor:
    """A picture of one camera, the other blank."""
    x = torch.zeros(1, 4, SIZE, SIZE)
    generator = torch.Generator().manual_seed(7)
    own = slice(0, 3) if rgb else slice(3, 4)
    # As bright as what the merge makes up for.
    x[:, own] = 0.35 + 0.2 * torch.rand(x[:, own].shape, generator=generator)
    return x


def finest(model: RgbtModel, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model.neck(x)[0][..., BORDER:-BORDER, BORDER:-BORDER]


def moved(model: RgbtModel, x: torch.Tensor, before: torch.Tensor) -> float:
    return float((finest(model, x) - before).abs().mean() / before.abs().mean())


@pytest.mark.parametrize("levels", [("p3",), ("p2",), ("p2", "p4")], ids="+".join)
def test_rgb_with_thermal_blank_gives_what_it_gave(levels: tuple[str, ...]) -> None:
    model = network(levels)
    biases = {end: merge.mix.bias.data.clone() for end, merge in model.merges.items()}
    rgb, thermal = finest(model, seen(rgb=True)), finest(model, seen(rgb=False))
    take_thermal_side(model, thermal_weights(model))
    as_is = moved(model, seen(rgb=True), rgb)
    assert moved(model, seen(rgb=False), thermal) > 0.03
    for end, bias in biases.items():
        model.merges[end].mix.bias.data = bias
    assert as_is < 0.1 * moved(model, seen(rgb=True), rgb)


def test_layers_up_to_the_merge_are_those_of_the_thermal_network() -> None:
    model = network(("p3",))
    weights = thermal_weights(model)
    before = model.model[5].conv.weight.clone()
    take_thermal_side(model, weights)
    for name in ("model.0.conv.weight", "model.4.cv2.conv.weight"):
        np.testing.assert_array_equal(model.state_dict()[name].numpy(), weights[name])
    assert torch.equal(model.model[5].conv.weight, before)


@pytest.mark.parametrize("broken", ["missing", "narrower"])
def test_weights_of_another_backbone_are_refused(broken: str) -> None:
    model = network(("p3",))
    weights = thermal_weights(model)
    name = "model.3.conv.weight"
    kernel = weights.pop(name)
    if broken == "narrower":
        weights[name] = kernel[:-1]
    with pytest.raises(DataError, match=r"no model\.3 of this shape"):
        take_thermal_side(model, weights)


@pytest.mark.parametrize(
    "other", [{"pretrained": "run/final.pt"}, {"pretrained": None}, {"fusion": "early"}]
)
def test_a_thermal_side_needs_a_released_network_for_both_cameras(other: dict[str, str]) -> None:
    given = {"name": "a", "labels": ["person"], "data": "d", "class_weights": [1.0]}
    both = given | {"pretrained": "float.onnx", "thermal_pretrained": "thermal.onnx"}
    assert FusionConfig.model_validate(both).thermal_pretrained is not None
    with pytest.raises(ValidationError, match="thermal_pretrained needs"):
        FusionConfig.model_validate(both | other)
