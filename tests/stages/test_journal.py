from __future__ import annotations

from asrpack.stages.journal import Journal


def test_values_come_back(tmp_path):
    path = tmp_path / "journal.jsonl"
    first = Journal(path)
    first.record("a", {"x": 1.5})
    first.record("b/c", [1, "zwei"])
    again = Journal(path)
    assert again["a"] == {"x": 1.5} and again["b/c"] == [1, "zwei"]
    assert "d" not in again


def test_a_line_that_was_cut_off_is_passed_over(tmp_path):
    path = tmp_path / "journal.jsonl"
    first = Journal(path)
    first.record("a", 1)
    first.record("b", 2)
    path.write_bytes(path.read_bytes()[:-2])
    again = Journal(path)
    assert "a" in again and "b" not in again
    again.record("c", 3)
    last = Journal(path)
    assert last["a"] == 1 and last["c"] == 3 and "b" not in last


def test_without_a_file_values_last_as_long_as_it(tmp_path):
    journal = Journal(None)
    journal.record("a", 1)
    assert journal["a"] == 1
    assert list(tmp_path.iterdir()) == []
