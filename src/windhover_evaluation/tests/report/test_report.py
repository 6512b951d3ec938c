"""The report page: well-formed, self-contained, with the parts that a run has."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from windhover.errors import DataError
from windhover.health.latency import StageTimings
from windhover.types import Detections
from windhover_evaluation.detection.scores import Predictions, evaluate_detections
from windhover_evaluation.detection.truth import Truth, TruthImage
from windhover_evaluation.report import plots
from windhover_evaluation.report.baseline import Comparison
from windhover_evaluation.report.page import (
    Example,
    ReportData,
    Timeline,
    render_report,
    write_report,
)
from windhover_evaluation.tracking.scores import TrackTable, evaluate_tracks

# Elements that HTML closes by itself, of those that are used.
VOID = {"meta", "img", "br", "link", "wbr"}


class Outline(HTMLParser):
    """Checks that tags close in order, and keeps what a browser would load."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.headings: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self.loads += [value or "" for name, value in attrs if name in {"src", "href"}]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loads += [value or "" for name, value in attrs if name in {"src", "href"}]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)


def one_person() -> Truth:
    return Truth(
        path="t.json",
        labels=("person", "vehicle"),
        images=(TruthImage(1, "a.png", 64, 64, {"time": "night"}),),
        image_rows=np.array([0], np.int64),
        boxes=np.array([[10, 10, 30, 50]], np.float64),
        label_ids=np.array([0], np.int32),
        ignored=np.array([False]),
        categories={"person": ("person",)},
        category_ids={"person": 1},
    )


def full() -> ReportData:
    found = Detections(
        np.array([[10, 10, 30, 50]], np.float32),
        np.array([0.9], np.float32),
        np.array([0], np.int32),
    )
    truth = one_person()
    detection = evaluate_detections(truth, Predictions.collect([(0, found)]), 0.25)
    table = TrackTable(
        np.array([0], np.int64),
        np.array([1], np.int64),
        np.array([[0, 0, 9, 9]], np.float64),
        np.array([0], np.int32),
        np.array([False]),
    )
    timings = StageTimings(window=100)
    for n in range(60):
        timings.record("inference", 20_000_000 + 100_000 * n)
        timings.record("total", 22_000_000 + 100_000 * n)
    return ReportData(
        title="A <run> & more",
        subtitle="of a test",
        facts={"model": "blobs 1", "source": "scene:demo"},
        detection=detection,
        tracking=evaluate_tracks(table, table, truth.labels, 1),
        latency=timings.summaries(),
        latency_samples_ms=timings.samples_ms(),
        latency_note="Measured here.",
        timeline=Timeline(np.arange(5) / 10, {"detections": np.arange(5)}),
        examples=[Example(np.zeros((40, 2000, 3), np.uint8), "frame <0>")],
        warnings=["one </li> warning"],
    )


@pytest.fixture(scope="module")
def page() -> str:
    return render_report(full())


def test_regressions_come_first() -> None:
    names = {"a.mAP50": "better", "b.mAP50": "same", "c.mAP50": "worse"}
    compared = tuple(Comparison(name, 0.5, 0.5, verdict) for name, verdict in names.items())
    page = render_report(ReportData(title="Again", baseline=compared))
    Outline(page)
    assert "1 of 3 scores got worse" in page
    assert page.index("c.<wbr>mAP50") < page.index("a.<wbr>mAP50")
    assert "b.<wbr>mAP50" not in page


def test_page_is_well_formed_and_loads_nothing(page: str) -> None:
    outline = Outline(page)
    assert outline.headings == [
        "Warnings",
        "What was run",
        "Detection",
        "Tracking",
        "Latency",
        "Over time",
        "Frames",
    ]
    assert outline.loads
    assert all(value.startswith(("data:image/jpeg;base64,", "#")) for value in outline.loads)
    style = re.sub(r'xmlns(:\w+)?="[^"]*"', "", page)
    assert not re.search(r"https?://|@import|url\((?!#)", style)


def test_text_is_escaped_and_missing_scores_are_marked(page: str) -> None:
    assert "<title>A &lt;run&gt; &amp; more</title>" in page
    assert "one &lt;/li&gt; warning" in page
    assert "frame &lt;0&gt;" in page
    # No vehicle to find: no score.
    assert "n/a" in page
    assert not re.search(r">\s*(nan|-1(\.0+)?|None)\s*<", page)


def test_plots_follow_the_pages_colours(page: str) -> None:
    # Precision against recall, F1, stages, spread, counts over time.
    assert page.count("<svg ") == 5
    assert "#010203" not in page
    assert "#040506" not in page
    assert "currentColor" in page


def test_parts_that_are_left_out_are_not_shown() -> None:
    page = render_report(ReportData(title="Nothing yet"))
    assert Outline(page).headings == []
    assert "<svg" not in page


def test_the_report_is_written_atomically(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "report.html"
    write_report(ReportData(title="Nothing yet"), target)
    assert [p.name for p in target.parent.iterdir()] == ["report.html"]
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(DataError, match="can't be written"):
        write_report(ReportData(title="Nothing yet"), blocked / "report.html")


def test_plots_of_little_data_are_drawn() -> None:
    assert plots.to_svg(plots.precision_recall([])).startswith("<svg ")
    assert plots.to_svg(plots.latency_histogram(np.array([5.0]), "total"))
    assert plots.to_svg(plots.timeline(np.array([0.0]), {"detections": np.array([3])}))
    png = plots.to_png(plots.f1_by_threshold([]))
    assert png.startswith(b"\x89PNG")


def test_a_class_that_was_never_detected_is_named_in_the_plot() -> None:
    scores = evaluate_detections(one_person(), Predictions.collect([(0, Detections())]), 0.25)
    assert "person, AP50 0.000" in plots.to_svg(plots.precision_recall(scores.classes))
