"""Two runs side by side: which changes count as worse."""

import json

import pytest

from windhover.errors import ConfigError, DataError
from windhover.health.metrics import FORMAT
from windhover_evaluation.report.baseline import Baseline, baseline_part, compare, read_metrics


def run(hota=0.7, switches=10, p99=20.0, ap=0.6, alarms=0.1, **more):
    return {
        "format": FORMAT,
        "run": {"frames_dropped": "4"},
        "detection": {
            "overall": {"mAP50": ap},
            "classes": {"person": {"AP50": ap, "best_f1": {"precision": 0.1}}},
            "empty_images": {"images": 10, "false_positives_per_image": alarms},
        },
        "tracking": {"overall": {"HOTA": hota, "id_switches": switches, "objects": 12}},
        "latency_ms": {"total": {"p50": 10.0, "p99": p99, "count": 240}},
        **more,
    }


def verdicts(before, now, **tolerances):
    return {each.name: each.verdict for each in compare(before, now, **tolerances)}


SCORES = {
    "detection.overall.mAP50",
    "detection.classes.person.AP50",
    "detection.empty_images.false_positives_per_image",
    "tracking.overall.HOTA",
    "tracking.overall.id_switches",
}
OF_THE_MACHINE = {"latency_ms.total.p50", "latency_ms.total.p99", "run.frames_dropped"}


def test_identical_runs_are_the_same_in_every_score():
    result = verdicts(run(), run(), latency=True)
    assert set(result.values()) == {"same"}
    assert set(result) == SCORES | OF_THE_MACHINE


def test_latency_and_drops_are_compared_on_request_alone(tmp_path):
    slower = run(p99=90.0, run={"frames_dropped": "200"})
    assert set(verdicts(run(), slower)) == SCORES
    (tmp_path / "metrics.json").write_text(json.dumps(run()))
    assert not [c for c in Baseline.read(tmp_path).against(slower) if c.regression]
    worse = [c.name for c in Baseline.read(tmp_path, latency=True).against(slower) if c.regression]
    assert set(worse) == {"latency_ms.total.p99", "run.frames_dropped"}


@pytest.mark.parametrize(
    ("change", "name", "verdict"),
    [
        ({"hota": 0.692}, "tracking.overall.HOTA", "same"),
        ({"hota": 0.685}, "tracking.overall.HOTA", "worse"),
        ({"hota": 0.72}, "tracking.overall.HOTA", "better"),
        ({"ap": 0.5}, "detection.classes.person.AP50", "worse"),
        ({"switches": 12}, "tracking.overall.id_switches", "same"),
        ({"switches": 13}, "tracking.overall.id_switches", "worse"),
        ({"switches": 5}, "tracking.overall.id_switches", "better"),
        ({"p99": 26.0}, "latency_ms.total.p99", "worse"),
        ({"p99": 24.0}, "latency_ms.total.p99", "same"),
        ({"alarms": 0.2}, "detection.empty_images.false_positives_per_image", "worse"),
    ],
)
def test_a_change_beyond_its_tolerance_has_a_verdict(change, name, verdict):
    assert verdicts(run(), run(**change), latency=True)[name] == verdict


def test_a_single_switch_more_is_the_same():
    assert verdicts(run(switches=0), run(switches=1))["tracking.overall.id_switches"] == "same"
    assert verdicts(run(switches=0), run(switches=2))["tracking.overall.id_switches"] == "worse"


def test_tolerances_are_given_by_the_caller():
    assert verdicts(run(), run(hota=0.65), tolerance=0.1)["tracking.overall.HOTA"] == "same"
    assert verdicts(run(), run(p99=30), ratio=0.6, latency=True)["latency_ms.total.p99"] == "same"
    with pytest.raises(ConfigError, match="0 or more"):
        compare(run(), run(), tolerance=-1)
    with pytest.raises(ConfigError, match="0 or more"):
        compare(run(), run(), ratio=float("nan"))


def test_a_score_that_is_missing_now_is_a_regression():
    gone = next(c for c in compare(run(), run(hota=None)) if c.name == "tracking.overall.HOTA")
    assert (gone.verdict, gone.regression) == ("gone", True)
    new = next(c for c in compare(run(hota=None), run()) if c.name == "tracking.overall.HOTA")
    assert (new.verdict, new.regression) == ("new", False)


def test_runs_that_have_nothing_in_common_are_refused():
    with pytest.raises(DataError, match="no score in common"):
        compare({"tracking": {"overall": {"HOTA": 0.5}}}, {"latency_ms": {"total": {"p50": 1.0}}})


def test_a_baseline_is_a_file_or_the_folder_of_it(tmp_path):
    path = tmp_path / "metrics.json"
    path.write_text(json.dumps(run()))
    assert read_metrics(path) == read_metrics(tmp_path)
    # NumPy numbers and NaN of a run in memory are compared as a file would have them.
    compared = Baseline.read(tmp_path).against(run(hota=float("nan")))
    assert [c.name for c in compared if c.regression] == ["tracking.overall.HOTA"]
    assert baseline_part([]) == {}
    assert len(baseline_part(compared)["baseline"]) == len(compared)


@pytest.mark.parametrize(
    ("content", "reason"),
    [("{", "not JSON"), ("[]", "not a windhover"), ('{"format": "x"}', "not a windhover")],
)
def test_files_that_are_no_metrics(tmp_path, content, reason):
    (tmp_path / "metrics.json").write_text(content)
    with pytest.raises(DataError, match=reason):
        read_metrics(tmp_path)
    with pytest.raises(DataError, match="No such file"):
        read_metrics(tmp_path / "none.json")
