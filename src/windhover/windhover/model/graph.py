"""Holding an opened graph against what its bundle declares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from windhover.errors import BundleError
from windhover.model.bundle import Bundle
from windhover.model.manifest import OutputSpec


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A graph's input or output as its runtime reports it.

    Attributes:
        name: of the tensor.
        shape: a size that is not fixed is ``None``.
        dtype: NumPy name, ``uint8`` or ``float32``.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str

    def __str__(self) -> str:
        sizes = "x".join("?" if size is None else str(size) for size in self.shape)
        return f"{self.name} {self.dtype} {sizes}"


def check_graph(
    bundle: Bundle, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], file: str = ""
) -> None:
    """Refuse a graph that is not the one the bundle describes.

    Args:
        bundle: the declaration.
        inputs: all inputs of the graph.
        outputs: all outputs of the graph, in any order; outputs that the bundle
            does not name are allowed and left alone.
        file: the graph's file, for the message.

    Raises:
        BundleError: a name, shape or dtype differs; the message has both.
    """
    problem = _input_problem(bundle, inputs) or _output_problem(bundle, outputs)
    if problem:
        what = f"{bundle.root / file}" if file else f"the graph of {bundle.root}"
        raise BundleError(f"{what} does not match bundle.yaml: {problem}; export the bundle again")


def _input_problem(bundle: Bundle, inputs: Sequence[TensorSpec]) -> str | None:
    wanted = TensorSpec(bundle.input.name, bundle.input.shape, bundle.input.dtype)
    if len(inputs) != 1:
        return f"it has {len(inputs)} inputs where one, {wanted}, is declared"
    if inputs[0] != wanted:
        return f"input is {inputs[0]} where {wanted} is declared"
    return None


def _output_problem(bundle: Bundle, outputs: Sequence[TensorSpec]) -> str | None:
    found = {tensor.name: tensor for tensor in outputs}
    for declared in bundle.head.outputs:
        tensor = found.get(declared.name)
        if tensor is None:
            names = ", ".join(found) or "nothing"
            return f"output {declared.name} is declared but the graph gives {names}"
        problem = _tensor_problem(declared, bundle.output_shape(declared), tensor)
        if problem:
            return problem
    return None


def _tensor_problem(declared: OutputSpec, shape: tuple[int, ...], tensor: TensorSpec) -> str | None:
    if tensor.shape != shape:
        wanted = TensorSpec(declared.name, shape, tensor.dtype)
        return f"output is {tensor} where {wanted} is declared"
    if tensor.dtype == "uint8" and declared.scale is None:
        return f"output {declared.name} is uint8 but has no scale and zero_point declared"
    if tensor.dtype not in ("uint8", "float32"):
        return f"output {declared.name} is {tensor.dtype}; only float32 and uint8 can be decoded"
    return None
