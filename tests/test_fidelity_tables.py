"""Tables made of what ``windhover-train verify`` wrote."""

from tools.fidelity_tables import fidelity_table, slug

EXACT = {
    "map50": 0.5,
    "classes": {"person": {"ap50": 0.7, "recall": 0.6}, "vehicle": {"ap50": 0.3, "recall": 0.25}},
}
ROUNDED = {
    "map50": 0.489,
    "classes": {"person": {"ap50": 0.69, "recall": 0.6}, "vehicle": {"ap50": 0.288, "recall": 0.2}},
    "same_boxes": [97, 100],
    "mean_iou": 0.9512,
    "sqnr_db": {"score_s8": 14.26, "score_s16": None, "score_s32": 17.0},
}


def test_a_table_says_what_was_lost_on_how_many_images():
    known = {"images": {"A, b": 120}, "sets": {"A, b": {"float.onnx": EXACT, "int8.onnx": ROUNDED}}}
    table = fidelity_table({"name": "m", "version": "1.0"}, "A, b", known, "0.2.0", "a machine")
    assert table["title"] == "Fidelity of m 1.0, A, b, 120 images"
    assert "--frames 120" in table["command"]
    assert table["rows"] == [
        ["float.onnx", "50.0", "70.0 / 60.0", "30.0 / 25.0", "", "", ""],
        ["int8.onnx", "48.9 (-1.1)", "69.0 / 60.0", "28.8 / 20.0", "97 of 100", "0.951", "14.3"],
    ]
    assert all(len(row) == len(table["columns"]) for row in table["rows"])


def test_a_file_is_named_by_the_set():
    assert slug("VisDrone val, real RGB (thermal blank)") == "visdrone-val"
    assert slug("HIT-UAV, held-out flights (RGB blank)") == "hit-uav"
