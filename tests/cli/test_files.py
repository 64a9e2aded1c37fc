"""Files that a verb writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from asrpack.cli.files import check_folder, write_text
from asrpack.errors import InputError


@pytest.mark.parametrize("place", ["none/file", "other/file", "folder"])
def test_where_nothing_can_be_written(tmp_path: Path, place: str) -> None:
    (tmp_path / "other").touch()
    (tmp_path / "folder").mkdir()
    path = tmp_path / place
    for refuses in (lambda: check_folder(path, code="c"), lambda: write_text(path, "", code="c")):
        with pytest.raises(InputError) as caught:
            refuses()
        assert (caught.value.code, caught.value.place) == ("c", str(path))
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "folder", tmp_path / "other"]
