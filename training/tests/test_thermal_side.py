"""A network for both cameras that takes the thermal backbone of one for thermal alone."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the training environment: make train-env")

import numpy as np
import torch
from pydantic import ValidationError

from windhover.errors import DataError
from windhover_training.engine.fusion import RgbtModel
from windhover_training.engine.learner import layer_rate, parameter_groups
from windhover_training.engine.thermal_side import keep_blank, take_thermal_side
from windhover_training.engine.warm_start import read_weights, warm_start
from windhover_training.export.bundle import write_float
from windhover_training.export.graph import Heads, export_core
from windhover_training.fusion_config import FusionConfig
from windhover_training.training_config import LayerRates

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


def seen(rgb: bool, size: int = SIZE) -> torch.Tensor:
    """A picture of one camera, the other blank."""
    x = torch.zeros(1, 4, size, size)
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


def with_own_layers() -> tuple[RgbtModel, RgbtModel]:
    """A network, and the same with a thermal backbone of its own up to P4."""
    plain = network(("p3",))
    model = RgbtModel("yolo11n.yaml", 4, "cbam", ("p3",), None, "p4").eval()
    weights = folded(plain)
    warm_start(plain, weights, range(4))
    warm_start(model, weights, range(4))
    return plain, model


def folded(model: RgbtModel) -> dict[str, np.ndarray]:
    """Weights as a released bundle has them."""
    heads = Heads(model).model
    return {name: value.numpy() for name, value in heads.state_dict().items()}


def behind(model: RgbtModel, rgb: bool) -> torch.Tensor:
    """What layer 7 takes, behind all that is merged and added, off the border."""
    taken = []
    hook = model.model[7].register_forward_pre_hook(lambda _, inputs: taken.append(inputs[0]))
    with torch.no_grad():
        model.neck(seen(rgb, 2 * SIZE))
    hook.remove()
    return taken[0][..., 8:-8, 8:-8]


def learn(model: RgbtModel) -> None:
    """Change what learns while the rest is frozen: the thermal backbone and what adds it."""
    torch.manual_seed(3)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if name.startswith("addition."):
                value.normal_(0, 1)
            elif name.endswith("conv.weight") and name.startswith(("thermal.", "model.2.")):
                value.add_(0.5 * value.std() * torch.randn_like(value))


def test_layers_of_its_own_change_nothing_before_they_have_learnt() -> None:
    plain, model = with_own_layers()
    x = torch.rand(1, 4, SIZE, SIZE)
    with torch.no_grad():
        for one, other in zip(plain.neck(x), model.neck(x), strict=True):
            assert torch.equal(one, other)


@pytest.mark.parametrize("settled", [False, True], ids=["in training", "exported"])
def test_rgb_is_as_it_was_however_the_thermal_side_learns(settled: bool) -> None:
    plain, model = with_own_layers()
    learn(model)
    after = Heads(model).model if settled else model
    rgb, thermal = (behind(plain, rgb=own) for own in (True, False))

    def change(of: RgbtModel, was: torch.Tensor, rgb: bool) -> float:
        return float((behind(of, rgb) - was).abs().mean() / was.abs().mean())

    assert change(after, rgb, rgb=True) < 0.01
    assert change(after, thermal, rgb=False) > 0.1
    model.settled = True  # nothing is made up for
    assert change(model, rgb, rgb=True) > 0.1


def test_a_bundle_with_a_thermal_level_is_gone_on_from(tmp_path: Path) -> None:
    _, model = with_own_layers()
    learn(model)
    core = export_core(model, SIZE, SIZE, 4)
    bundle = write_float(core, ["a", "b", "c", "d"], tmp_path)
    again = RgbtModel("yolo11n.yaml", 4, "cbam", ("p3",), None, "p4").eval()
    warm_start(again, read_weights(bundle.root / "float.onnx"), range(4))
    x = torch.rand(1, 4, SIZE, SIZE)
    with torch.no_grad():
        for one, other in zip(Heads(model).model.neck(x), again.neck(x), strict=True):
            torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)


def test_a_blank_picture_is_made_up_for_once() -> None:
    plain, model = with_own_layers()
    learn(model)
    before = model.merges["4"].mix.bias.clone()
    keep_blank(model, plain)
    torch.testing.assert_close(model.merges["4"].mix.bias, before, atol=1e-5, rtol=1e-4)


def test_only_the_thermal_side_learns_where_the_rest_is_frozen() -> None:
    _, model = with_own_layers()
    rates = LayerRates(backbone=0.5, colour=0, shared=0, head=0, merge=0, addition=1)
    groups = parameter_groups(model, 0.01, layer_rate(model, rates))
    assert {group["share"] for group in groups} == {0.5, 1.0}
    learnt = {name.split(".")[0] for name, p in model.named_parameters() if p.requires_grad}
    assert learnt == {"model", "thermal", "addition"}
    deepest = [int(n.split(".")[1]) for n, p in model.named_parameters()
               if p.requires_grad and n.startswith("model.")]  # fmt: skip
    assert max(deepest) == model.meets[0]


@pytest.mark.parametrize(
    "other",
    [{"fusion": "early"}, {"levels": ["p2", "p3"]}, {"levels": ["p4"]}, {"keep_statistics": False}],
)
def test_a_thermal_level_is_behind_one_merge(other: dict[str, object]) -> None:
    given = {"name": "a", "labels": ["person"], "data": "d", "class_weights": [1.0]}
    own = given | {"thermal_level": "p4", "keep_statistics": True}
    assert FusionConfig.model_validate(own).spec.thermal_level == "p4"
    with pytest.raises(ValidationError, match="thermal_level needs"):
        FusionConfig.model_validate(own | other)


def test_thermal_layers_behind_the_merge_are_not_left_out_in_silence() -> None:
    weights = read_weights(Path(__file__).parents[2] / "models/rgbt-n/float.onnx")
    with pytest.raises(DataError, match="set thermal_level to p4"):
        warm_start(RgbtModel("yolo11n.yaml", 4, "cbam", ("p3",)), weights, range(4))
