"""Track scores against truth: HOTA, CLEAR MOT and IDF1."""
