"""Markdown tables as GitHub reads them."""

import pytest

from windhover_evaluation.report.tables import markdown_table


def test_columns_are_aligned_and_cells_are_text():
    text = markdown_table(["label", "AP50"], [["person", 0.5], ["two-wheeler", "1.0 (+0.1)"]])
    assert text == (
        "| label       |       AP50 |\n"
        "|:------------|-----------:|\n"
        "| person      |        0.5 |\n"
        "| two-wheeler | 1.0 (+0.1) |\n"
    )


def test_numbers_in_text_stay_as_they_are():
    assert "| 1.50 |" in markdown_table(["a", "b"], [["x", "1.50"]])
    assert "| 007 |" in markdown_table(["a", "b"], [["x", "007"]], "ll")


def test_what_would_break_the_table_is_escaped():
    text = markdown_table(["a|b"], [["one\ntwo|three"]])
    assert text.splitlines()[0].strip("| ") == "a\\|b"
    assert text.splitlines()[2] == "| one two\\|three |"


def test_a_table_without_rows_is_its_heading():
    assert markdown_table(["a", "b"], []) == "| a   |   b |\n|:----|----:|\n"


@pytest.mark.parametrize(
    ("rows", "align"), [([["x"]], None), ([["x", "y", "z"]], None), ([["x", "y"]], "l")]
)
def test_rows_must_fit_the_heading(rows, align):
    with pytest.raises(ValueError, match="2 columns"):
        markdown_table(["a", "b"], rows, align)
