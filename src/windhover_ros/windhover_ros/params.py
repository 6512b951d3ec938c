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

A field that was renamed is still taken by its former name for one version::

    former_names: ClassVar[Mapping[str, str]] = {"old_name": "new_name"}
"""

from __future__ import annotations

import logging
import math
import re
import sys
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

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
from windhover_ros.nesting import flatten, nest

_log = logging.getLogger(__name__)

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
    """Base of the parameters of a node; frozen, so a stage can keep one.

    Attributes:
        former_names: of this model's own fields, former name to the name now.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    former_names: ClassVar[Mapping[str, str]] = {}


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


@dataclass(frozen=True, slots=True)
class Bounds:
    """Range of a number field; ``None`` where a side is open.

    Attributes:
        low: lower bound.
        high: upper bound.
        above: whether ``low`` itself is excluded.
        below: whether ``high`` itself is excluded.
    """

    low: float | None = None
    high: float | None = None
    above: bool = False
    below: bool = False

    @classmethod
    def of(cls, field: FieldInfo) -> Bounds:
        """The bounds that a field declares by ``ge``, ``gt``, ``le`` and ``lt``."""
        low: Any = None
        high: Any = None
        above = below = False
        for item in field.metadata:
            if isinstance(item, Ge):
                low, above = item.ge, False
            elif isinstance(item, Gt):
                low, above = item.gt, True
            elif isinstance(item, Le):
                high, below = item.le, False
            elif isinstance(item, Lt):
                high, below = item.lt, True
        return cls(low, high, above, below)

    def floats(self) -> tuple[float, float]:
        """The smallest and the largest float within; ROS knows inclusive ranges only."""
        low = -sys.float_info.max if self.low is None else float(self.low)
        high = sys.float_info.max if self.high is None else float(self.high)
        return (
            math.nextafter(low, math.inf) if self.above else low,
            math.nextafter(high, -math.inf) if self.below else high,
        )

    def integers(self) -> tuple[int, int]:
        """The smallest and the largest integer of 64 bits within."""
        low = -(2**63) if self.low is None else int(self.low) + self.above
        high = 2**63 - 1 if self.high is None else int(self.high) - self.below
        return low, high

    def __bool__(self) -> bool:
        return self.low is not None or self.high is not None

    def __str__(self) -> str:
        parts = []
        if self.low is not None:
            parts.append(f"{'above' if self.above else 'at least'} {self.low:g}")
        if self.high is not None:
            parts.append(f"{'below' if self.below else 'at most'} {self.high:g}")
        return ", ".join(parts)


def parameter_type(field: FieldInfo) -> Parameter.Type:
    """The ROS type of a field.

    Raises:
        TypeError: the field's annotation has no ROS parameter type.
    """
    kind: Any = field.annotation
    if typing.get_origin(kind) is list:
        return _ARRAYS[_plain(typing.get_args(kind)[0])]
    kind = _plain(kind)
    if isinstance(kind, types.UnionType) or kind not in _TYPES:
        raise TypeError(f"{kind} has no ROS parameter type")
    return _TYPES[kind]


def _plain(kind: Any) -> Any:
    """The type of a Literal's choices; any other type as it is."""
    is_choice = typing.get_origin(kind) is typing.Literal
    return type(typing.get_args(kind)[0]) if is_choice else kind


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
    bounds = Bounds.of(field)
    if not bounds:
        return result
    result.additional_constraints = str(bounds)
    if kind is Parameter.Type.DOUBLE:
        low, high = bounds.floats()
        result.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
    elif kind is Parameter.Type.INTEGER:
        first, last = bounds.integers()
        result.integer_range = [IntegerRange(from_value=first, to_value=last, step=1)]
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


def former_names(model: type[BaseModel], prefix: str = "") -> dict[str, str]:
    """Former name to present name of every renamed parameter, nested ones dotted."""
    own: Mapping[str, str] = getattr(model, "former_names", {})
    names = {prefix + former: prefix + name for former, name in own.items()}
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            names.update(former_names(kind, f"{prefix}{name}."))
    return names


def with_present_names(
    model: type[BaseModel], values: Mapping[str, Any], where: str
) -> dict[str, Any]:
    """Values with former names replaced; each is one line of warning.

    Args:
        model: of the parameters.
        values: dotted name to value; a present name wins over its former one.
        where: origin of the values, for the warning.
    """
    renamed = former_names(model)
    present = {name: value for name, value in values.items() if name not in renamed}
    for name, value in values.items():
        if name in renamed:
            _log.warning("%s: %s is now called %s; rename it", where, name, renamed[name])
            present.setdefault(renamed[name], value)
    return present


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
    given = with_present_names(model, values, where)
    try:
        # A nested model's defaults are those given to it here, not its class's own.
        return model(**nest({**flatten(model().model_dump()), **given}))
    except ValidationError as error:
        raise ConfigError(f"{where}: {explain(error)}") from None
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


_QOS_OVERRIDE = re.compile(
    r"qos_overrides\.(?P<topic>/[\w/]+)\.(publisher|subscription)(_\w+)?\.(?P<policy>\w+)"
)
_QOS_CHOICES = {
    "history": {"keep_last", "keep_all"},
    "reliability": {"reliable", "best_effort"},
    "durability": {"volatile", "transient_local"},
}
_QOS_NUMBERS = {"depth": "messages", "deadline": "nanoseconds"}
_FLAGS_OF_ROS = frozenset({"use_sim_time", "start_type_description_service"})


def is_for_ros(name: str) -> bool:
    """Whether a parameter is one that rclpy itself gives to every node."""
    return name in _FLAGS_OF_ROS or name.startswith("qos_overrides.")


def check_for_ros(name: str, value: Any, where: str) -> None:
    """Check a parameter that :func:`is_for_ros`; rclpy would say little, or nothing.

    Raises:
        ConfigError: it is malformed.
    """
    if name in _FLAGS_OF_ROS:
        if not isinstance(value, bool):
            raise ConfigError(f"{where}: {name} is true or false (got {value!r})")
        return
    match = _QOS_OVERRIDE.fullmatch(name)
    policy = match["policy"] if match else ""
    if policy not in _QOS_CHOICES and policy not in _QOS_NUMBERS:
        raise ConfigError(
            f"{where}: {name}: write qos_overrides.</full/topic>.<publisher|subscription>."
            f"<{'|'.join([*_QOS_CHOICES, *_QOS_NUMBERS])}>"
        )
    if policy in _QOS_CHOICES:
        if value not in _QOS_CHOICES[policy]:
            choices = " or ".join(sorted(_QOS_CHOICES[policy]))
            raise ConfigError(f"{where}: {name} is {choices} (got {value!r})")
    elif not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ConfigError(
            f"{where}: {name} is a whole number of {_QOS_NUMBERS[policy]} (got {value!r})"
        )


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
    for name in [*params, *former_names(model)]:
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
