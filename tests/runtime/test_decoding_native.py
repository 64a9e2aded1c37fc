"""Where the compiled search cannot be used, the Python one is, without a word."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from asrpack.runtime.decoding import PrefixBeamSearch, native_beam
from asrpack.runtime.decoding.native_beam import NativeBeam, library_path, native_library
from asrpack.runtime.decoding.python_beam import PythonBeam
from asrpack.runtime.memory import resident_bytes
from tests.runtime.test_ctc import posteriors


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the library and its source, whence the library is loaded next."""
    library, source = library_path(), native_beam._SOURCE
    shutil.copy(library, tmp_path)
    shutil.copy(source, tmp_path)
    monkeypatch.setattr(native_beam, "_SOURCE", tmp_path / source.name)
    native_library.cache_clear()
    yield tmp_path
    native_library.cache_clear()


def nbest() -> list:
    search = PrefixBeamSearch(5)
    search.advance(posteriors(0, 30, 8, 2.0))
    return search.nbest()


def test_the_library_is_used_where_it_loads(shipped: Path) -> None:
    library = native_library()
    assert library is not None
    assert Path(library._name).parent == shipped
    assert isinstance(PrefixBeamSearch(5)._beam, NativeBeam)


@pytest.mark.parametrize(
    "fault", ["no library", "another machine", "no source", "another source", "an older library"]
)
def test_falls_back_to_python(shipped: Path, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    library = shipped / library_path().name
    source = shipped / "prefix_beam.c"
    if fault == "no library":
        library.unlink()
    elif fault == "another machine":
        other = {"x86_64": "aarch64", "aarch64": "x86_64"}[library.stem.partition("-")[2]]
        built = Path(native_beam.__file__).with_name(f"prefix_beam-{other}.so")
        library.unlink()
        shutil.copy(built, library)
    elif fault == "no source":
        source.unlink()
    elif fault == "another source":
        source.write_text(source.read_text() + "\n")
    else:
        library.unlink()
        shutil.copy(_any_other_library(), library)
    assert native_library() is None
    assert isinstance(PrefixBeamSearch(5)._beam, PythonBeam)
    fallen_back = nbest()
    monkeypatch.undo()
    native_library.cache_clear()
    assert nbest() == fallen_back


def _any_other_library() -> Path:
    """A library of this machine that has none of the functions."""
    import numpy

    (found, *_) = sorted(Path(numpy.__file__).parent.glob("_core/*multiarray_umath*.so"))
    return found


def test_searches_are_freed() -> None:
    frames = posteriors(0, 200, 30, 1.0)

    def run(count: int) -> int:
        for _ in range(count):
            search = PrefixBeamSearch(10)
            search.advance(frames)
        return resident_bytes()

    before = run(50)
    assert run(500) - before < 10_000_000  # leaking would take 50 MB


def test_a_beam_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="beam_size is 0"):
        PrefixBeamSearch(0)
