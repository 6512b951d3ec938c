from typing import ClassVar, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from windhover.errors import ConfigError

pytest.importorskip("rclpy")

import rclpy
from rclpy.parameter import Parameter

from windhover_ros.params import NodeParams, check, declare, read_only


class Inner(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    former_names: ClassVar = {"least_overlap": "overlap"}
    overlap: float = Field(0.3, ge=0.0, le=1.0, description="least overlap")


class Example(NodeParams):
    rate: float = Field(1.0, ge=0.0, le=100.0, description="playback speed")
    count: int = Field(3, ge=1, le=9, description="how many")
    kind: Literal["a", "b"] = read_only("a", description="which")
    names: list[str] = Field(["x"], description="some names")
    inner: Inner = read_only(Inner())
    gain: float = Field(1.0, gt=0.0, description="above nothing")
    share: float = Field(0.5, gt=0.0, lt=1.0, description="a real part")
    port: int = Field(7400, gt=1024, description="a port of anyone's")
    offset: float = Field(0.0, le=0.0, description="never late")
    free: float = Field(0.0, description="any number")

    former_names: ClassVar = {"speed": "rate"}


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
    ("overrides", "reason"),
    [
        ({"rate": 101.0}, "rate: input should be less than or equal to 100"),
        ({"rate": "fast"}, "rate: input should be a valid number"),
        ({"kind": "c"}, "kind: input should be 'a' or 'b'"),
        ({"inner__overlap": 2.0}, "inner.overlap: input should be less than or equal to 1"),
    ],
)
def test_a_wrong_value_from_outside_is_one_line_that_names_it(make, overrides, reason):
    with pytest.raises(ConfigError, match="parameters of params_test") as caught:
        make(**overrides)
    assert reason in str(caught.value)
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


@pytest.mark.parametrize(
    ("name", "words", "inside", "outside"),
    [
        ("gain", "above 0", [1e-9, 1e300], [0.0, -1.0]),
        ("share", "above 0, below 1", [1e-9, 0.999999], [0.0, 1.0]),
        ("offset", "at most 0", [0.0, -1e300], [0.1]),
        ("port", "above 1024", [1025, 2**40], [1024]),
        ("count", "at least 1, at most 9", [1, 9], [0, 10]),
    ],
)
def test_ranges_are_advertised_as_they_are(make, name, words, inside, outside):
    node, params = make()
    described = node.describe_parameter(name)
    assert described.additional_constraints == words
    (range_,) = [*described.floating_point_range, *described.integer_range]
    for value in inside:
        assert range_.from_value <= value <= range_.to_value
        assert node.set_parameters([Parameter(name, value=value)])[0].successful
    for value in outside:
        assert not range_.from_value <= value <= range_.to_value
        assert not node.set_parameters([Parameter(name, value=value)])[0].successful
    assert getattr(params.value, name) == inside[-1]


def test_a_number_without_bounds_advertises_none_and_takes_no_nan(make):
    node, _ = make()
    described = node.describe_parameter("free")
    assert (described.additional_constraints, list(described.floating_point_range)) == ("", [])
    assert not node.set_parameters([Parameter("free", value=float("nan"))])[0].successful
    with pytest.raises(ConfigError, match="free"):
        check(Example, {"free": float("inf")}, "here")


@pytest.mark.parametrize(
    ("former", "name"), [("speed", "rate"), ("inner__least_overlap", "inner.overlap")]
)
def test_a_former_name_from_outside_is_taken_with_a_warning(make, caplog, former, name):
    node, _ = make(**{former: 0.25})
    assert node.get_parameter(name).value == 0.25
    assert f"{former.replace('__', '.')} is now called {name}; rename it" in caplog.text
    assert len(caplog.records) == 1


def test_of_both_names_the_present_one_counts(make, caplog):
    node, _ = make(speed=2.0, rate=3.0)
    assert node.get_parameter("rate").value == 3.0
