"""TensorRT engines kept from one start to the next: encrypted, or not at all.

An engine holds the model's weights, and ONNX Runtime's own cache writes it in the clear. But its
TensorRT provider takes a library with two functions, ``encrypt`` and ``decrypt``
(``trt_engine_decryption_lib_path``): what it would write it hands to the one, and what it reads it
asks the other for. ``engine_hooks.c`` is that library; it passes both calls on to Python. So an
engine is in the process's memory or encrypted, never else.

The key comes of the bundle's data keys, which its recipients alone can unwrap. Beside the engines
ONNX Runtime leaves ``.profile`` files, the ranges of shapes that they were built for, and the
timing cache, how long each kernel took: no weights in either.
"""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import tempfile
from ctypes import CFUNCTYPE, POINTER, c_char_p, c_int, c_size_t, c_void_p
from pathlib import Path
from typing import Any

from cryptography.cobblestone import Cobblestone256Encryptor

from asrpack.bundle.payload import decrypt
from asrpack.errors import AsrpackError, ToolchainError

CACHE_VARIABLE = "ASRPACK_ENGINE_CACHE"
_SOURCE = Path(__file__).with_name("engine_hooks.c")
_ENCRYPT = CFUNCTYPE(c_int, c_char_p, c_void_p, c_size_t)
_DECRYPT = CFUNCTYPE(c_int, c_char_p, c_void_p, POINTER(c_size_t))


class EngineCache:
    """Engines of one bundle in a folder.

    Args:
        folder: absolute; made where it is not there, for this user alone.
        key: 32 bytes, of :attr:`asrpack.bundle.opening.Opened.engine_key`.

    Attributes:
        fault: why ONNX Runtime could not keep or take back an engine.

    Raises:
        ToolchainError: the folder cannot be written, or there is no library for this machine.
    """

    def __init__(self, folder: Path, key: bytes) -> None:
        self.folder = folder
        self.fault: AsrpackError | None = None
        self._key = key
        self._opened: dict[Path, bytes] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            tempfile.TemporaryFile(dir=folder).close()
        except OSError as error:
            raise ToolchainError(
                f"engines cannot be kept there: {error.strerror}",
                code="engine-cache",
                place=str(folder),
                remedy=f"let {CACHE_VARIABLE} name a folder that can be written, or unset it",
            ) from None
        _library()
        _caches[folder] = self

    def options(self, graph: str, *, engines: bool, timings: bool) -> dict[str, str]:
        """Options of the TensorRT provider for one graph.

        Args:
            engines, timings: what the bundle allows to keep.
        """
        folder = self.folder / graph
        folder.mkdir(mode=0o700, exist_ok=True)
        found: dict[str, str] = {}
        if timings:
            found |= {"trt_timing_cache_enable": "1", "trt_timing_cache_path": str(folder)}
        if engines:
            found |= {
                "trt_engine_cache_enable": "1",
                "trt_engine_cache_path": str(folder),
                "trt_engine_decryption_enable": "1",
                "trt_engine_decryption_lib_path": str(library_path()),
            }
        return found

    def seal(self, path: Path, engine: bytes) -> None:
        """Encrypts an engine to a file; the file is there whole or not at all."""
        encryptor = Cobblestone256Encryptor(self._key, self._context(path))
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as stream:
            try:
                stream.write(encryptor.update(engine))
                stream.write(encryptor.finalize())
                stream.flush()
                os.fsync(stream.fileno())
                Path(stream.name).replace(path)
            except BaseException:
                Path(stream.name).unlink(missing_ok=True)
                raise

    def open(self, path: Path) -> bytes:
        """Decrypts an engine.

        Raises:
            IntegrityError: it was damaged, changed, moved, or sealed with another key.
        """
        return decrypt(path.read_bytes(), self._key, self._context(path), str(path))

    def _context(self, path: Path) -> bytes:
        """Where an engine belongs, so that none can take another's place."""
        return f"engine|{path.parent.name}|{path.name}".encode()

    def take(self, path: Path) -> bytes:
        """What :meth:`open` gives, decrypted once for two calls."""
        if path in self._opened:
            return self._opened.pop(path)
        self._opened[path] = self.open(path)
        return self._opened[path]

    def failed(self, path: Path, error: Exception) -> None:
        """Remembers why ONNX Runtime will say that a session cannot be opened."""
        self.fault = ToolchainError(
            f"the kept engine cannot be used: {getattr(error, 'message', error)}",
            code="engine-cache",
            place=str(path),
            remedy="remove the file, and see that the disk has room: the engine is built again",
        )


# By folder. The library has one pair of callbacks for all bundles of a process.
_caches: dict[Path, EngineCache] = {}


# Both return 0 on failure, as ONNX Runtime expects.
def _on_encrypt(name: bytes, data: int, size: int) -> int:
    path = Path(os.fsdecode(name))
    if (cache := _caches.get(path.parent.parent)) is None:
        return 0
    try:
        cache.seal(path, ctypes.string_at(data, size))
    except Exception as error:
        cache.failed(path, error)
        return 0
    return 1


def _on_decrypt(name: bytes, data: int | None, size: Any) -> int:
    path = Path(os.fsdecode(name))
    if (cache := _caches.get(path.parent.parent)) is None:
        return 0
    try:
        engine = cache.take(path)
    except Exception as error:
        cache.failed(path, error)
        return 0
    if data is None:
        size[0] = len(engine)
    else:
        ctypes.memmove(data, engine, len(engine))
    return 1


# ctypes forgets callbacks that nobody holds.
_HOOKS = (_ENCRYPT(_on_encrypt), _DECRYPT(_on_decrypt))


def library_path() -> Path:
    """Where the library for this machine belongs."""
    return _SOURCE.with_name(f"engine_hooks-{platform.machine()}.so")


@functools.cache
def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(str(library_path()))
        library.engine_hooks_set.argtypes = [_ENCRYPT, _DECRYPT]
        library.engine_hooks_set.restype = None
        library.engine_hooks_set(*_HOOKS)
    except (OSError, AttributeError) as error:
        raise ToolchainError(
            f"engines cannot be encrypted on this machine: {error}",
            code="engine-cache",
            place=library_path().name,
            remedy=f"unset {CACHE_VARIABLE}, and engines are built at each start",
        ) from None
    return library


def host_cache(bundle_id: str, key: bytes) -> EngineCache | None:
    """A bundle's cache below the folder that the host's environment names; None without one."""
    root = os.environ.get(CACHE_VARIABLE)
    return EngineCache(Path(root).absolute() / bundle_id, key) if root else None
