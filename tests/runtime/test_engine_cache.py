"""Engines on disk are ciphertext; the library is called as ONNX Runtime calls it."""

from __future__ import annotations

import ctypes
import shutil
import stat
from ctypes import POINTER, byref, c_char_p, c_size_t, c_void_p
from pathlib import Path

import pytest

from asrpack.errors import IntegrityError, ToolchainError
from asrpack.runtime.engine_cache import CACHE_VARIABLE, EngineCache, host_cache, library_path

ENGINE = b"the weights in the clear" * 5000
NAME = "TensorrtExecutionProvider_TRTKernel_graph_0_sm89.engine.encrypted"


@pytest.fixture
def cache(tmp_path: Path) -> EngineCache:
    return EngineCache(tmp_path / "bundle", bytes(range(32)))


@pytest.fixture
def engine(cache: EngineCache) -> Path:
    """Where ONNX Runtime would keep the encoder's engine."""
    cache.options("encoder", engines=True, timings=False)
    return cache.folder / "encoder" / NAME


def hooks() -> ctypes.CDLL:
    """The library by the functions and types that the TensorRT provider looks up."""
    library = ctypes.CDLL(str(library_path()))
    library.encrypt.argtypes = [c_char_p, c_char_p, c_size_t]
    library.decrypt.argtypes = [c_char_p, c_void_p, POINTER(c_size_t)]
    return library


def taken_back(path: Path) -> bytes | None:
    size = c_size_t()
    if not hooks().decrypt(bytes(path), None, byref(size)):
        return None
    buffer = ctypes.create_string_buffer(size.value)
    assert hooks().decrypt(bytes(path), buffer, byref(size))
    return buffer.raw


def keep(path: Path, data: bytes = ENGINE) -> bool:
    return bool(hooks().encrypt(bytes(path), data, len(data)))


def test_an_engine_comes_back(cache: EngineCache, engine: Path) -> None:
    assert keep(engine)
    assert taken_back(engine) == ENGINE
    assert taken_back(engine) == ENGINE  # another session
    assert cache.fault is None


def test_what_is_on_disk_is_ciphertext(cache: EngineCache, engine: Path) -> None:
    assert keep(engine)
    files = [path for path in cache.folder.rglob("*") if path.is_file()]
    assert files == [engine]  # no temporary file either
    assert b"weights" not in engine.read_bytes()
    assert stat.S_IMODE(engine.stat().st_mode) == 0o600
    assert stat.S_IMODE(cache.folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("damage", ["cut", "changed", "empty", "moved", "renamed", "missing"])
def test_a_damaged_engine_is_not_used(cache: EngineCache, engine: Path, damage: str) -> None:
    assert keep(engine)
    data, found = engine.read_bytes(), engine
    if damage == "cut":
        engine.write_bytes(data[:-16])
    elif damage == "changed":
        engine.write_bytes(data[:5000] + bytes([data[5000] ^ 1]) + data[5001:])
    elif damage == "empty":
        engine.write_bytes(b"")
    elif damage == "missing":
        engine.unlink()
    else:
        cache.options("decoder", engines=True, timings=False)
        folder = cache.folder / ("decoder" if damage == "moved" else "encoder")
        found = folder / (NAME if damage == "moved" else f"other-{NAME}")
        shutil.move(engine, found)
    assert taken_back(found) is None
    assert cache.fault is not None and cache.fault.place == str(found)
    assert "remove the file" in (cache.fault.remedy or "")


def test_another_key_opens_nothing(cache: EngineCache, engine: Path) -> None:
    assert keep(engine)
    with pytest.raises(IntegrityError):
        EngineCache(cache.folder, bytes(32)).open(engine)


def test_bundles_of_one_process_have_their_own(tmp_path: Path) -> None:
    paths = []
    for number in (1, 2):
        cache = EngineCache(tmp_path / str(number), bytes([number]) * 32)
        cache.options("encoder", engines=True, timings=True)
        paths.append(cache.folder / "encoder" / NAME)
        assert keep(paths[-1], ENGINE + bytes([number]))
    assert [taken_back(path) for path in paths] == [ENGINE + b"\1", ENGINE + b"\2"]


def test_nothing_is_kept_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "elsewhere" / NAME
    path.parent.mkdir()
    assert not keep(path) and taken_back(path) is None
    assert not path.exists()


def test_no_room_is_told(cache: EngineCache, engine: Path) -> None:
    shutil.rmtree(cache.folder)
    assert not keep(engine)
    assert cache.fault is not None and "No such file" in cache.fault.message


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ToolchainError, match="cannot be kept there") as error:
        EngineCache(tmp_path / "file" / "bundle", bytes(32))
    assert CACHE_VARIABLE in (error.value.remedy or "")


def test_the_host_names_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CACHE_VARIABLE, raising=False)
    assert host_cache("id", bytes(32)) is None
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    cache = host_cache("id", bytes(32))
    assert cache is not None and cache.folder == tmp_path / "id"


def test_libraries_of_both_machines_are_there() -> None:
    names = {path.name for path in library_path().parent.glob("engine_hooks*")}
    assert {"engine_hooks.c", "engine_hooks-x86_64.so", "engine_hooks-aarch64.so"} <= names
