"""The table of category names: other data sets' names in each model's labels, and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windhover.errors import ConfigError, DataError
from windhover_evaluation.detection.categories import LabelMap, parse_mapping

THERMAL = ("person", "vehicle", "two-wheeler")
RGBT = ("person", "weapon", "motorcycle", "vehicle")
FLIR = ("person", "car", "bike", "motor")
COCO = ("person", "bicycle", "car", "motorcycle", "bus", "truck")

PERSONS = ("persons", "Person", "people", "Pedestrian", "human", "worker", "soldier", "Women")
CARS = ("car", "Cars", "sedan", "SUV", "suvs", "taxi", "Small Car")
VEHICLES = (
    *CARS, "pickup", "Pickup Truck", "pick-up", "minibus", "buses", "Van", "lorry", "trucks",
    "OtherVehicle", "motor vehicle", "vehicles", "freight car", "large-vehicle", "Trailer",
)  # fmt: skip
MOTORCYCLES = ("motor", "motorbike", "Motorcycle", "motor-bikes", "scooter", "motorcyclist")


def label(name: str, labels: tuple[str, ...], *others: str) -> str | None:
    """The label of a name in a set that has other names too; ``ignore`` for ignored."""
    found = LabelMap.of([name, *others], labels)
    if name in found.ignored:
        return "ignore"
    return labels[found.indices[name]] if name in found.indices else None


@pytest.mark.parametrize("name", PERSONS)
@pytest.mark.parametrize("labels", [THERMAL, RGBT, FLIR, ("pedestrian", "car")])
def test_people(name: str, labels: tuple[str, ...]) -> None:
    assert label(name, labels) == labels[0]


@pytest.mark.parametrize("name", VEHICLES)
@pytest.mark.parametrize("labels", [THERMAL, RGBT])
def test_vehicles(name: str, labels: tuple[str, ...]) -> None:
    assert label(name, labels) == "vehicle"


@pytest.mark.parametrize("name", MOTORCYCLES)
def test_motorcycles_are_what_the_model_calls_them(name: str) -> None:
    assert label(name, THERMAL) == "two-wheeler"
    assert label(name, RGBT) == "motorcycle"
    assert label(name, FLIR) == "motor"
    assert label(name, COCO) == "motorcycle"


def test_the_table_is_read_in_both_directions() -> None:
    # The rendered scene's own name, of which a model may know one kind alone.
    assert label("two-wheeler", RGBT) == "motorcycle"
    assert label("motorcycle", THERMAL) == "two-wheeler"
    assert label("vehicle", ("person", "car")) == "car"
    assert label("weapon", ("person", "rifle")) == "rifle"
    # Which of several kinds it is can't be known.
    assert label("two-wheeler", COCO) is None
    assert label("vehicle", COCO) is None
    assert label("gun", RGBT) == label("Handgun", RGBT) == "weapon"


def test_another_kind_of_the_same_thing_is_neither_asked_for_nor_wrong() -> None:
    # As training has it: too much like a motorcycle to be taught as background.
    assert label("bicycle", RGBT) == label("cyclist", RGBT) == "ignore"
    assert label("tricycle", RGBT) == label("awning-tricycle", THERMAL) == "ignore"
    assert label("truck", ("person", "car")) == "ignore"
    assert label("bicycle", THERMAL) == "two-wheeler"
    assert label("bicycle", ("person", "vehicle")) is None


@pytest.mark.parametrize("name", ["DontCare", "ignored regions", "Ignore", "crowd", "person?"])
def test_regions_that_are_not_scored(name: str) -> None:
    assert label(name, RGBT) == "ignore"


@pytest.mark.parametrize("name", ["rider", "Cyclist", "motorcyclist"])
def test_a_rider_is_one_with_the_machine_unless_that_is_marked_apart(name: str) -> None:
    assert label(name, THERMAL, "person", "car") == "two-wheeler"
    assert label(name, THERMAL, "person", "motorcycle", "bicycle") == "person"
    assert label(name, ("person", "vehicle")) == "person"


def test_a_given_label_comes_first() -> None:
    names = ["motor", "pessoa", "машина", "человек", "zebra"]
    given = parse_mapping(["motor = vehicle,pessoa=person", "человек=person", "zebra=ignore"])
    found = LabelMap.of(names, RGBT, given)
    assert found.indices == {"motor": 3, "pessoa": 0, "человек": 0}
    assert found.ignored == {"zebra"}


@pytest.mark.parametrize("text", ["motor", "motor=", "=person", "a=b,", ""])
def test_mappings_that_are_none(text: str) -> None:
    with pytest.raises(ConfigError, match="write NAME=LABEL"):
        parse_mapping([text])


def test_a_mapping_must_fit_model_and_set() -> None:
    with pytest.raises(ConfigError, match="two labels, person and vehicle"):
        parse_mapping(["a=person", "a=vehicle"])
    with pytest.raises(ConfigError, match="no label 'boat'; use one of person"):
        LabelMap.of(["car"], THERMAL, {"car": "boat"})
    with pytest.raises(DataError, match="no category 'cra'; it has car"):
        LabelMap.of(["car"], THERMAL, {"cra": "vehicle"})


@given(st.text(max_size=20), st.sampled_from([THERMAL, RGBT, FLIR, COCO]))
def test_a_models_own_labels_are_always_themselves(other: str, labels: tuple[str, ...]) -> None:
    found = LabelMap.of([*labels, other], labels)
    assert [found.indices[name] for name in labels] == list(range(len(labels)))
