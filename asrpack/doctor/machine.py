"""The machine: what decides speed, and what a build or a bundle may run out of."""

from __future__ import annotations

import io
from collections.abc import Iterator

from asrpack.doctor.facts import Facts
from asrpack.doctor.finding import Finding, Severity

GIB = 1 << 30
# Paddle, PaddleSpeech and a converter hold a model several times over.
MEMORY_FOR_BUILDS = 2 * GIB
DISK_FOR_BUILDS = 2 * GIB
DISK_MINIMUM = GIB // 4
# What bundles are asked to read; MP3 needs libsndfile 1.1.
AUDIO_FORMATS = ("WAV", "FLAC", "OGG", "MP3")


def int8_speed(facts: Facts) -> Iterator[Finding]:
    """Which instructions int8 models can use: they decide whether int8 is faster at all."""
    flags, remedy = facts.cpu_flags, "measure with `gate: {speedup: …}` before you promise a figure"
    if not flags:
        yield Finding(
            "cpu", "info", f"{facts.machine}: the system does not tell the CPU's features", remedy
        )
    elif found := sorted(flags & {"avx512_vnni", "avx_vnni", "amx_int8", "i8mm", "asimddp"}):
        yield Finding("cpu", "ok", f"int8 has its own instructions here ({', '.join(found)})")
    elif "avx2" in flags:
        yield Finding(
            "cpu",
            "warning",
            "the CPU has AVX2 but no VNNI: int8 models are smaller here, and hardly faster than "
            "fp32 or even slower",
            remedy,
        )
    else:
        wanted = "asimddp" if facts.machine in ("aarch64", "arm64") else "avx2"
        yield Finding(
            "cpu", "warning", f"the CPU has no {wanted}: int8 models are slower than fp32", remedy
        )


def cores_and_memory(facts: Facts) -> Iterator[Finding]:
    """What this process may use."""
    yield Finding("cores", "ok", f"{facts.cores} cores")
    if facts.memory is None:
        yield Finding("memory", "info", "the system does not tell how much memory is free")
        return
    shown = f"{facts.memory / GIB:.1f} GiB of memory can be had"
    if facts.memory < MEMORY_FOR_BUILDS:
        yield Finding(
            "memory",
            "warning",
            f"{shown}; a build takes {MEMORY_FOR_BUILDS // GIB} GiB and more",
            "close other programs, or raise the container's limit",
        )
    else:
        yield Finding("memory", "ok", shown)


def audio(facts: Facts) -> Iterator[Finding]:
    """Whether the audio libraries really read what they should: writes and reads each format."""
    try:
        import numpy as np
        import soundfile
        import soxr
    except (ImportError, OSError) as error:  # OSError: soundfile without its libsndfile
        yield Finding(
            "audio",
            "error",
            f"the audio libraries cannot be loaded: {error}",
            "pip install --force-reinstall soundfile soxr",
        )
        return
    tone = 0.3 * np.sin(np.arange(4410) * 0.0627)
    unread: list[str] = []
    for name in AUDIO_FORMATS:
        buffer = io.BytesIO()
        try:
            soundfile.write(buffer, tone, 44100, format=name)
            samples, rate = soundfile.read(io.BytesIO(buffer.getvalue()))
            if rate != 44100 or not len(soxr.resample(samples, rate, 16000)):
                unread.append(name)
        except (soundfile.LibsndfileError, ValueError, TypeError):
            unread.append(name)
    library = f"libsndfile {soundfile.__libsndfile_version__}"
    if unread:
        yield Finding(
            "audio",
            "warning",
            f"{library} does not read {', '.join(unread)}",
            "pip install --force-reinstall soundfile (its wheel brings a newer libsndfile)",
        )
    else:
        formats = ", ".join(AUDIO_FORMATS)
        yield Finding("audio", "ok", f"{library} reads {formats}; soxr {soxr.__version__}")


def disk(facts: Facts) -> Iterator[Finding]:
    """Room where builds write."""
    for folder in facts.folders:
        code = f"disk-{folder.use.split()[0]}"
        shown = f"{folder.use} in {folder.path}: {folder.free / GIB:.1f} GiB free"
        move = {
            "cache": "set ASRPACK_CACHE to a folder with room",
            "artifacts": "give `asrpack build --out` a folder with room",
        }.get(folder.use, "set TMPDIR to a folder with room")
        if not folder.writable:
            message = f"{folder.use} in {folder.path}: no permission to write there"
            yield Finding(code, "error", message, move)
        elif folder.free < DISK_FOR_BUILDS:
            severity: Severity = "error" if folder.free < DISK_MINIMUM else "warning"
            yield Finding(code, severity, shown, f"make room, or {move}")
        else:
            yield Finding(code, "ok", shown)
