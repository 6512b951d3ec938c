from typing import Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from windhover.errors import ConfigError

pytest.importorskip("rclpy")

import rclpy
from rclpy.parameter import Parameter

from windhover_ros.params import NodeParams, check, declare, read_only


class Inner(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    overlap: float = Field(0.3, ge=0.0, le=1.0, description="least overlap")


class Example(NodeParams):
    rate: float = Field(1.0, ge=0.0, le=100.0, description="playback speed")
    count: int = Field(3, ge=1, le=9, description="how many")
    kind: Literal["a", "b"] = read_only("a", description="which")
    names: list[str] = Field(["x"], description="some names")
    inner: Inner = read_only(Inner())


@pytest.fixture
def make(ros):
    made = []

    def build(**overrides):
        node = rclpy.create_node(
            "params_test",
            parameter_overrides=[
                Parameter(k.replace("__", "."), value=v) for k, v in overrides.items()
            ],
        )
        made.append(node)
        return node, declare(node, Example)

    yield build
    for node in made:
        node.destroy_node()


def test_descriptors_tell_type_range_words_and_what_is_fixed(make):
    node, _ = make()
    rate = node.describe_parameter("rate")
    assert rate.type == Parameter.Type.DOUBLE.value
    assert rate.description == "playback speed"
    assert not rate.read_only
    assert (rate.floating_point_range[0].from_value, rate.floating_point_range[0].to_value) == (
        0,
        100,
    )
    count = node.describe_parameter("count")
    assert (count.integer_range[0].from_value, count.integer_range[0].to_value) == (1, 9)
    kind = node.describe_parameter("kind")
    assert kind.read_only
    assert kind.additional_constraints == "one of: a, b"
    assert node.describe_parameter("inner.overlap").read_only


def test_values_from_outside_are_taken_and_an_integer_will_do_for_a_float(make):
    node, params = make(rate=2, inner__overlap=0.5, names=["p", "q"])
    assert params.value.rate == 2.0
    assert params.value.inner.overlap == 0.5
    assert params.value.names == ["p", "q"]
    assert node.get_parameter("rate").type_ is Parameter.Type.DOUBLE
    assert node.get_parameter("inner.overlap").value == 0.5


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        ({"rate": 101.0}, "rate: input should be less than or equal to 100"),
        ({"rate": "fast"}, "rate: input should be a valid number"),
        ({"kind": "c"}, "kind: input should be 'a' or 'b'"),
        ({"inner__overlap": 2.0}, "inner.overlap: input should be less than or equal to 1"),
    ],
)
def test_a_wrong_value_from_outside_is_one_line_that_names_it(make, overrides, told):
    with pytest.raises(ConfigError, match="parameters of params_test") as caught:
        make(**overrides)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_change_is_checked_and_followed(make):
    node, params = make()
    seen = []
    params.on_change(seen.append)
    (good,) = node.set_parameters([Parameter("rate", value=4.0)])
    assert good.successful
    assert params.value.rate == 4.0
    assert [p.rate for p in seen] == [4.0]
    (bad,) = node.set_parameters([Parameter("count", value=10)])
    assert not bad.successful
    assert params.value.count == 3
    (fixed,) = node.set_parameters([Parameter("kind", value="b")])
    assert not fixed.successful
    assert params.value.kind == "a"


def test_unknown_names_are_refused():
    with pytest.raises(ConfigError, match="here: rats: no such parameter"):
        check(Example, {"rats": 1}, "here")
