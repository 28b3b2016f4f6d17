from simsearch import tables


def test_columns_are_aligned_without_blanks_at_the_ends_of_lines():
    rows = [("figure", "a", "note"), ("map_at_r", "0.25", ""), ("x", "-1", "*")]
    assert tables.aligned(rows).split("\n") == [
        "figure       a  note",
        "map_at_r  0.25",
        "x           -1     *",
    ]
