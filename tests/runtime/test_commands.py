"""The bundle's own command line and ``asrpack run``, as a customer calls them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.runtime.conftest import Sealed
from tests.runtime.test_recognizer import NOISE

SITE = os.pathsep.join(path for path in sys.path if path.endswith("site-packages"))


@pytest.fixture(scope="module")
def audio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audio")
    soundfile.write(folder / "a.wav", NOISE.astype(np.int16), 16000)
    soundfile.write(folder / "b.flac", NOISE[::2].astype(np.int16), 8000)
    soundfile.write(folder / "silent.wav", np.zeros(100, np.int16), 16000)
    soundfile.write(folder / "long.wav", np.zeros(16000 * 11, np.int16), 16000)
    (folder / "bad.wav").write_text("no audio")
    return folder


def inside(bundle: Path, *arguments: object, **environment: str) -> subprocess.CompletedProcess:
    """Runs the bundle's code with its dependencies and without asrpack installed."""
    return subprocess.run(
        [sys.executable, "-S", "-m", "asrpack.runtime", *map(str, arguments)],
        env={
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "PYTHONPATH": f"{bundle / 'runtime'}{os.pathsep}{SITE}",
            **environment,
        },
        cwd="/",
        capture_output=True,
        text=True,
    )


def outside(*arguments: object) -> subprocess.CompletedProcess:
    """Runs ``asrpack``."""
    return subprocess.run(
        [sys.executable, "-m", "asrpack", *map(str, arguments)], capture_output=True, text=True
    )


def keys(sealed: Sealed) -> list[object]:
    return ["--identity", sealed.identity, "--trust", sealed.trust]


def test_run_inside_a_bundle(sealed: Sealed, audio: Path) -> None:
    """Code comes from the bundle, text goes to standard output, nothing is left behind."""
    before = sorted(sealed.path.rglob("*"))
    done = inside(sealed.path, "run", audio / "a.wav", *keys(sealed), "--threads", 1)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{audio / 'a.wav'}: ")
    assert sorted(sealed.path.rglob("*")) == before
    again = inside(sealed.path, "run", sealed.path, audio / "a.wav", *keys(sealed))
    assert again.stdout == done.stdout


def test_a_start_imports_no_more_than_it_needs() -> None:
    """These cost tens of milliseconds each, before the bundle is even opened."""
    script = "import sys, asrpack.runtime.commands; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    costly = {"importlib.metadata", "email", "onnxruntime", "starlette", "uvicorn"}
    assert not costly & set(done.stdout.split())


def test_the_compiled_search_inside_a_bundle(sealed_once: Sealed) -> None:
    """It is there, and it is the bundle's own."""
    folder = sealed_once.path / "runtime/asrpack/runtime/decoding"
    script = (
        "from asrpack.runtime.decoding import PrefixBeamSearch, native_beam\n"
        "library = native_beam.native_library()\n"
        "print(library._name, type(PrefixBeamSearch(5)._beam).__name__, sep='\\n')\n"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-B", "-c", script],
        env={"PYTHONPATH": f"{sealed_once.path / 'runtime'}{os.pathsep}{SITE}"},
        cwd="/",
        capture_output=True,
        text=True,
        check=True,
    )
    library, beam = done.stdout.splitlines()
    assert Path(library).parent == folder and beam == "NativeBeam"
    names = {path.name for path in folder.iterdir()}
    assert {"prefix_beam.c", "prefix_beam-x86_64.so", "prefix_beam-aarch64.so"} <= names


def test_selftest_and_verify_inside_a_bundle(sealed: Sealed) -> None:
    done = inside(sealed.path, "selftest", *keys(sealed))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("ok: tiny 1.0 (cpu): ctc_greedy_search")
    assert done.stdout.endswith(" on CPUExecutionProvider\n")
    done = inside(sealed.path, "verify", "--trust", sealed.trust)
    assert done.returncode == 0 and done.stdout.startswith("verified")
    done = inside(sealed.path, "verify", ASRPACK_TRUST=str(sealed.trust))
    assert done.returncode == 0 and done.stdout.startswith("verified")
    (sealed.path / "extra").write_text("")
    done = inside(sealed.path, "verify", "--json", "--trust", sealed.trust)
    assert done.returncode == 6
    assert [item["code"] for item in json.loads(done.stdout)["findings"]] == ["extra-file"]
    assert inside(sealed.path, "selftest", *keys(sealed)).returncode == 6


def test_keys_from_the_environment(sealed_once: Sealed, audio: Path) -> None:
    done = inside(
        sealed_once.path,
        "run",
        audio / "a.wav",
        ASRPACK_IDENTITY=str(sealed_once.identity),
        ASRPACK_TRUST=str(sealed_once.trust),
        PYTHONDONTWRITEBYTECODE="1",
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_json_lines(sealed_once: Sealed, audio: Path) -> None:
    files = [audio / "a.wav", audio / "silent.wav", audio / "b.flac"]
    done = outside("run", sealed_once.path, *files, *keys(sealed_once), "--json")
    assert (done.returncode, done.stderr) == (0, "")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["audio"] for line in lines] == [str(path) for path in files]
    assert [line["duration"] for line in lines] == [2.0, 0.006, 2.0]
    assert [bool(line["text"]) for line in lines] == [True, False, True]
    assert set(lines[0]) == {*("audio", "text", "score", "confidence", "duration", "rtf", "decode")}
    assert lines[0]["decode"] == "attention_rescoring"


def test_streaming(streaming_sealed: Sealed, audio: Path) -> None:
    """Both command lines; a file longer than the model's positional table is no error."""
    files = [audio / name for name in ("a.wav", "silent.wav", "long.wav", "bad.wav")]
    rest = ["run", streaming_sealed.path, *files, *keys(streaming_sealed), "--streaming"]
    done = outside(*rest, "--json")
    assert done.returncode == 3 and done.stderr.count("remedy:") == 1
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["audio"] for line in lines] == [str(path) for path in files[:3]]
    assert set(lines[0]) == {
        *("audio", "text", "score", "confidence", "duration", "rtf", "decode"),
        "segments",
    }
    (segment,) = lines[0]["segments"]
    assert segment == {"text": lines[0]["text"], "start": 0.0, "end": 2.0}
    assert lines[0]["text"] and lines[1]["segments"] == []
    assert lines[2]["duration"] == 11.0
    one, other = outside(*rest[:3], *rest[6:]), inside(*rest[1:2], *rest[:3], *rest[6:])
    assert one.returncode == other.returncode == 0
    assert one.stdout == other.stdout == f"{files[0]}: {lines[0]['text']}\n"


def test_streaming_with_a_model_that_takes_whole_recordings(
    sealed_once: Sealed, audio: Path
) -> None:
    done = outside("run", sealed_once.path, audio / "a.wav", *keys(sealed_once), "--streaming")
    assert done.returncode == 2 and done.stdout == ""
    assert "takes whole recordings only" in done.stderr and "remedy:" in done.stderr


def test_selftest_runs_a_stream(streaming_sealed: Sealed) -> None:
    done = inside(streaming_sealed.path, "selftest", *keys(streaming_sealed))
    assert (done.returncode, done.stderr) == (0, "")


def test_a_bad_file_does_not_stop_the_others(sealed_once: Sealed, audio: Path) -> None:
    files = [audio / name for name in ("bad.wav", "a.wav", "none.wav", "long.wav", "silent.wav")]
    done = outside("run", sealed_once.path, *files, *keys(sealed_once))
    assert done.returncode == 3
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == [
        str(audio / "a.wav"),
        str(audio / "long.wav"),
        str(audio / "silent.wav"),
    ]
    for name, cause in (
        ("bad.wav", "not audio that can be decoded"),
        ("none.wav", "No such file"),
    ):
        assert any(name in line and cause in line for line in done.stderr.splitlines()), name
    assert done.stderr.count("remedy:") == 2
    assert "Traceback" not in done.stderr


def test_both_command_lines_say_the_same(sealed_once: Sealed, audio: Path) -> None:
    for method in ("ctc_greedy_search", "ctc_prefix_beam_search"):
        rest = ["run", sealed_once.path, audio / "a.wav", *keys(sealed_once), "--decode", method]
        one, other = outside(*rest), inside(sealed_once.path, *rest, PYTHONDONTWRITEBYTECODE="1")
        assert one.returncode == other.returncode == 0
        assert one.stdout == other.stdout


def test_warns_where_no_vendor_key_is_pinned(sealed_once: Sealed, audio: Path) -> None:
    done = outside("run", sealed_once.path, audio / "a.wav", "--identity", sealed_once.identity)
    assert done.returncode == 0
    assert done.stderr.count("\n") == 1
    assert "no vendor key is pinned" in done.stderr and "--trust" in done.stderr


@pytest.mark.parametrize(
    ("change", "code", "cause"),
    [
        ({"--decode": "magic"}, 2, "cannot decode with 'magic'"),
        ({"--identity": "/none"}, 7, "cannot read the key file"),
        ({"--identity": "env:NOT_SET"}, 7, "NOT_SET is not set"),
        ({"--trust": "/none"}, 7, "/none"),
        ({"bundle": "/none"}, 3, "/none"),
    ],
    ids=str,
)
def test_faults_have_their_exit_codes(
    sealed_once: Sealed, audio: Path, change: dict[str, str], code: int, cause: str
) -> None:
    options = {"--identity": str(sealed_once.identity), "--trust": str(sealed_once.trust)}
    options |= {name: value for name, value in change.items() if name != "bundle"}
    flags = [word for option in options.items() for word in option]
    arguments = ["run", change.get("bundle", sealed_once.path), audio / "a.wav", *flags]
    for done in (
        outside(*arguments),
        inside(sealed_once.path, *arguments, PYTHONDONTWRITEBYTECODE="1"),
    ):
        assert done.returncode == code, done.stderr
        assert cause in done.stderr and "Traceback" not in done.stderr


def test_no_key_at_all(sealed_once: Sealed, audio: Path) -> None:
    done = outside("run", sealed_once.path, audio / "a.wav")
    assert done.returncode == 2
    assert "no private key was given" in done.stderr


def test_usage(sealed_once: Sealed) -> None:
    def code(*arguments: object) -> int:
        bundle = sealed_once.path
        return inside(bundle, *arguments, PYTHONDONTWRITEBYTECODE="1").returncode

    assert code("--help") == 0
    assert code() == 2
    assert code("run", *keys(sealed_once)) == 2
    assert code("verify", sealed_once.path, sealed_once.path, "--trust", sealed_once.trust) == 2
    assert code("verify", sealed_once.path) == 2
    assert code("selftest", *keys(sealed_once), "--threads", "-1") == 2


def test_file_names_that_are_no_text(sealed_once: Sealed, audio: Path, tmp_path: Path) -> None:
    odd = tmp_path / os.fsdecode(b"\xff\n.wav")
    shutil.copyfile(audio / "silent.wav", odd)
    done = outside("run", sealed_once.path, odd, *keys(sealed_once), "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["audio"] == str(odd)


def test_text_that_the_terminal_cannot_show(
    sealed_once: Sealed, audio: Path, tmp_path: Path
) -> None:
    odd = tmp_path / "录音.wav"
    shutil.copyfile(audio / "silent.wav", odd)
    options = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONIOENCODING": "ascii"}
    done = inside(sealed_once.path, "run", odd, *keys(sealed_once), **options)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(str(tmp_path)) and "\\u5f55" in done.stdout


def test_a_reader_that_stops_early(sealed_once: Sealed, audio: Path) -> None:
    words = ["run", *[audio / "a.wav"] * 3, *keys(sealed_once), "--json"]
    with subprocess.Popen(
        [sys.executable, "-S", "-m", "asrpack.runtime", *map(str, words)],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{sealed_once.path / 'runtime'}{os.pathsep}{SITE}",
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        cwd="/",
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as child:
        assert child.stdout is not None and child.stderr is not None
        child.stdout.close()
        assert child.stderr.read() == b""
    assert child.returncode == 141


def test_nothing_is_left_in_the_clear_on_disk(
    sealed_once: Sealed, audio: Path, tmp_path: Path
) -> None:
    """Every file that the process writes would be below these folders."""
    for name in ("home", "temp"):
        (tmp_path / name).mkdir()
    done = inside(
        sealed_once.path,
        "selftest",
        *keys(sealed_once),
        HOME=str(tmp_path / "home"),
        TMPDIR=str(tmp_path / "temp"),
        PYTHONDONTWRITEBYTECODE="1",
    )
    assert done.returncode == 0
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_opens_no_file_for_writing(sealed_once: Sealed, tmp_path: Path) -> None:
    log = tmp_path / "trace"
    command = [
        sys.executable,
        "-S",
        "-m",
        "asrpack.runtime",
        "selftest",
        *map(str, keys(sealed_once)),
    ]
    subprocess.run(
        ["strace", "-f", "-e", "trace=openat,creat,connect", "-o", str(log), *command],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{sealed_once.path / 'runtime'}{os.pathsep}{SITE}",
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        cwd="/",
        check=True,
        capture_output=True,
    )
    calls = log.read_text().splitlines()
    written = [line for line in calls if "O_WRONLY" in line or "O_RDWR" in line]
    assert not [line for line in written if "/dev/" not in line and "/proc/" not in line]
    assert not [line for line in calls if "AF_INET" in line]
