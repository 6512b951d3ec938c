"""ROS parameters declared once, from a pydantic model.

A node's parameters are the fields of one :class:`NodeParams` model: default,
type, range, description and whether they may change while the node runs. From
it come the declared ROS parameters with their descriptors, the checks when one
is set, and the config files; there is no second place where a default is
written.

    class CameraParams(NodeParams):
        rate: float = Field(1.0, ge=0.0, le=100.0, description="playback speed")
        source: str = read_only("", description="where frames come from")

    params = declare(node, CameraParams)      # params.value is a CameraParams
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo
from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.node import Node
from rclpy.parameter import Parameter

from windhover.errors import ConfigError

_TYPES = {
    bool: Parameter.Type.BOOL,
    int: Parameter.Type.INTEGER,
    float: Parameter.Type.DOUBLE,
    str: Parameter.Type.STRING,
}
_ARRAYS = {
    int: Parameter.Type.INTEGER_ARRAY,
    float: Parameter.Type.DOUBLE_ARRAY,
    str: Parameter.Type.STRING_ARRAY,
}


class NodeParams(BaseModel):
    """Base of the parameters of a node; frozen, so a stage can keep one."""

    model_config = ConfigDict(frozen=True, extra="forbid")


M = TypeVar("M", bound=NodeParams)


def read_only(default: Any, **kwargs: Any) -> Any:
    """A pydantic field whose ROS parameter can't change once the node is up.

    Args:
        default: value unless the config says otherwise.
        **kwargs: as for ``pydantic.Field``.

    Returns:
        The field.
    """
    return Field(default, json_schema_extra={"read_only": True}, **kwargs)


@dataclass(frozen=True, slots=True)
class Param:
    """One ROS parameter of a model.

    Attributes:
        field: its pydantic field.
        read_only: whether it, or the model it is nested in, is read-only.
    """

    field: FieldInfo
    read_only: bool


def bounds(field: FieldInfo) -> tuple[float | None, float | None]:
    """Lowest and highest value of a number field, ``None`` where open."""
    low: Any = None
    high: Any = None
    for item in field.metadata:
        if isinstance(item, Ge):
            low = item.ge
        elif isinstance(item, Gt):
            low = item.gt
        elif isinstance(item, Le):
            high = item.le
        elif isinstance(item, Lt):
            high = item.lt
    return low, high


def parameter_type(field: FieldInfo) -> Parameter.Type:
    """The ROS type of a field.

    Raises:
        TypeError: the field's annotation has no ROS parameter type.
    """
    kind: Any = field.annotation
    if typing.get_origin(kind) is typing.Literal:
        kind = type(typing.get_args(kind)[0])
    if typing.get_origin(kind) is list:
        return _ARRAYS[typing.get_args(kind)[0]]
    if isinstance(kind, types.UnionType) or kind not in _TYPES:
        raise TypeError(f"{kind} has no ROS parameter type")
    return _TYPES[kind]


def descriptor(name: str, param: Param) -> ParameterDescriptor:
    """The ROS descriptor of a parameter: type, range, choices, read-only, words."""
    field = param.field
    kind = parameter_type(field)
    result = ParameterDescriptor(
        name=name,
        type=kind.value,
        description=field.description or "",
        read_only=param.read_only,
    )
    if typing.get_origin(field.annotation) is typing.Literal:
        choices = ", ".join(str(choice) for choice in typing.get_args(field.annotation))
        result.additional_constraints = f"one of: {choices}"
    low, high = bounds(field)
    if low is None or high is None:
        return result
    if kind is Parameter.Type.DOUBLE:
        result.floating_point_range = [
            FloatingPointRange(from_value=float(low), to_value=float(high))
        ]
    elif kind is Parameter.Type.INTEGER:
        result.integer_range = [IntegerRange(from_value=int(low), to_value=int(high), step=1)]
    return result


def flat_params(model: type[BaseModel], prefix: str = "", fixed: bool = False) -> dict[str, Param]:
    """Every parameter by name; a nested model's are ``outer.inner``."""
    params: dict[str, Param] = {}
    for name, field in model.model_fields.items():
        kind = field.annotation
        extra = field.json_schema_extra
        own = fixed or (isinstance(extra, dict) and extra.get("read_only") is True)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            params.update(flat_params(kind, f"{prefix}{name}.", own))
        else:
            params[prefix + name] = Param(field, own)
    return params


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings to dotted names."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{name}."))
        else:
            flat[prefix + name] = value
    return flat


def nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted names to nested mappings."""
    nested: dict[str, Any] = {}
    for name, value in flat.items():
        *outer, last = name.split(".")
        place = nested
        for part in outer:
            place = place.setdefault(part, {})
        place[last] = value
    return nested


def explain(error: ValidationError) -> str:
    """One line that says which values are wrong and why."""
    problems = []
    for item in error.errors():
        name = ".".join(str(part) for part in item["loc"]) or "value"
        if item["type"] == "extra_forbidden":
            problems.append(f"{name}: no such parameter")
        else:
            problems.append(f"{name}: {item['msg'].lower()} (got {item['input']!r})")
    return "; ".join(problems)


def check(model: type[M], values: Mapping[str, Any], where: str) -> M:
    """Build a model from values that a person wrote.

    Args:
        model: the parameters' model.
        values: name (dotted where nested) to value; those left out take
            their defaults.
        where: what to call the origin of the values in a message.

    Raises:
        ConfigError: a value is unknown, of the wrong type or out of range.
    """
    try:
        # A nested model's defaults are those given to it here, not its class's own.
        return model(**nest({**flatten(model().model_dump()), **values}))
    except ValidationError as error:
        raise ConfigError(f"{where}: {explain(error)}") from None


class Declared(Generic[M]):
    """The parameters of one node, kept equal to their ROS parameters."""

    def __init__(self, node: Node, model: type[M], value: M) -> None:
        self._node = node
        self._model = model
        self.value: M = value
        self._listeners: list[Callable[[M], None]] = []
        node.add_on_set_parameters_callback(self._on_set)

    def on_change(self, listener: Callable[[M], None]) -> None:
        """Call ``listener`` with the new values after each accepted change."""
        self._listeners.append(listener)

    def _on_set(self, changes: list[Parameter]) -> SetParametersResult:
        params = flat_params(self._model)
        known = {p.name: p.value for p in changes if p.name in params}
        if not known:
            return SetParametersResult(successful=True)
        try:
            new = self._model(**nest({**flatten(self.value.model_dump()), **known}))
        except ValidationError as error:
            return SetParametersResult(successful=False, reason=explain(error))
        self.value = new
        for listener in self._listeners:
            listener(new)
        return SetParametersResult(successful=True)


def declare(node: Node, model: type[M]) -> Declared[M]:
    """Declare a model's fields as parameters of a node.

    Values given from outside (a parameter file, ``-p name:=value``) are taken
    and checked; an integer is accepted where a float is asked.

    Args:
        node: the node that gets the parameters.
        model: their one declaration.

    Returns:
        The values, which follow later changes.

    Raises:
        ConfigError: a value given from outside is of the wrong type or out of range.
    """
    params = flat_params(model)
    given: dict[str, Any] = {}
    for name in params:
        # rclpy refuses `rate: 30` for a float and gives no public view of what
        # was asked, so the value is taken from where it keeps it and declared
        # in the type that the model has made of it.
        override = node._parameter_overrides.get(name)
        if override is not None:
            given[name] = override.value
    value = check(model, given, f"parameters of {node.get_name()}")
    values = flatten(value.model_dump())
    for name, param in params.items():
        node.declare_parameter(name, values[name], descriptor(name, param), ignore_override=True)
    return Declared(node, model, value)
