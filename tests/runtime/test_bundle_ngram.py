"""A bundle with an n-gram language model: loaded from memory, searched with, and refused."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import soundfile

from asrpack.bundle.model import NGRAM_FILE, DecodeDefaults, NgramWeights
from asrpack.bundle.secrets import SecretSource
from asrpack.errors import InputError, IntegrityError, ToolchainError, UsageError
from asrpack.runtime import load
from asrpack.runtime.decoding import NgramBeamSearch, NgramModel
from asrpack.runtime.load import OpenBundle, open_bundle
from tests.runtime import tiny
from tests.runtime.conftest import Sealed, seal
from tests.runtime.test_commands import inside, keys, outside
from tests.runtime.test_recognizer import NOISE

needs_kenlm = pytest.mark.skipif(
    importlib.util.find_spec("flashlight") is None, reason="flashlight-text is not installed"
)
DATA = Path(__file__).parent / "data"
WEIGHTS = NgramWeights(alpha=1.0, beta=1.5)
TOKENS = ("<blank>", "<unk>", "甲", "乙", "丙", "<eos>")
ABOUT = tiny.describe(
    tokens=TOKENS, decode=DecodeDefaults("ctc_beam_search", beam_size=4, ngram=WEIGHTS)
)


@pytest.fixture(autouse=True)
def keep_this_process_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "harden_process", lambda: None)


@pytest.fixture(scope="module", params=["characters.arpa", "characters.klm"])
def model(request: pytest.FixtureRequest) -> Path:
    return DATA / request.param


@pytest.fixture(scope="module")
def with_model(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Sealed:
    folder = tmp_path_factory.mktemp("ngram")
    return seal(folder, ABOUT, tiny.graphs(), {NGRAM_FILE: model.read_bytes()})


@pytest.fixture
def wrong(tmp_path: Path) -> Callable[[bytes | None], Sealed]:
    """Makes a bundle with this in the language model's place, or without one."""

    def make(data: bytes | None) -> Sealed:
        files = {} if data is None else {NGRAM_FILE: data}
        return seal(tmp_path, ABOUT, tiny.graphs(), files)

    return make


def opened(sealed: Sealed) -> OpenBundle:
    identity = SecretSource("file", str(sealed.identity))
    return open_bundle(sealed.path, identity, [sealed.trust], threads=1)


def open_files() -> list[str]:
    """What this process's descriptors lead to."""
    links = list(Path("/proc/self/fd").iterdir())
    return [str(link.readlink()) for link in links if link.exists()]


@needs_kenlm
def test_searches_as_the_search_itself_does(with_model: Sealed, model: Path) -> None:
    bundle = opened(with_model)
    recognizer = bundle.recognizer
    assert bundle.description == ABOUT and "ctc_beam_search" in bundle.description.methods
    encoded = recognizer.encode(recognizer.features(NOISE[:16000]))
    search = NgramBeamSearch(TOKENS, NgramModel(model), WEIGHTS, beam_size=4)
    search.advance(encoded.ctc_log_probs)
    found = recognizer.nbest(encoded, "ctc_beam_search")
    assert [(item.tokens, item.score) for item in found] == search.nbest()
    assert found[0] == recognizer.decode(encoded) == recognizer.transcribe(NOISE[:16000])
    without = NgramBeamSearch(TOKENS, None, WEIGHTS, beam_size=4)
    without.advance(encoded.ctc_log_probs)
    assert found[0].tokens != without.best()
    assert found[0].text == "".join(TOKENS[unit] for unit in search.best())


@needs_kenlm
@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_the_model_is_in_memory_only(
    with_model: Sealed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No folder for temporary files is there at all, and no file stays open.

    But for memory that KenLM maps a binary model from, as long as it lives.
    """
    monkeypatch.setenv("TMPDIR", str(tmp_path / "none"))
    monkeypatch.chdir(tmp_path)
    before = open_files()
    bundle = opened(with_model)
    assert set(open_files()) - set(before) <= {"/memfd:ngram (deleted)"}
    assert bundle.recognizer.transcribe(NOISE).text
    assert not list(tmp_path.iterdir())


@needs_kenlm
def test_in_both_command_lines(with_model: Sealed, tmp_path: Path) -> None:
    """The process that hardens itself can still read its own memory; hotwords do not fit."""
    audio = tmp_path / "a.wav"
    soundfile.write(audio, NOISE.astype("int16"), 16000)
    words = ["run", with_model.path, audio, *keys(with_model)]
    text = opened(with_model).recognizer.transcribe(NOISE).text
    for done in (
        outside(*words, "--json"),
        inside(with_model.path, *words, "--json", PYTHONDONTWRITEBYTECODE="1"),
    ):
        assert done.returncode == 0, done.stderr
        line = json.loads(done.stdout)
        assert (line["decode"], line["text"]) == ("ctc_beam_search", text)
    hotwords = tmp_path / "hotwords.txt"
    hotwords.write_text("甲", encoding="utf-8")
    done = outside(*words, "--hotwords", hotwords)
    assert (done.returncode, done.stdout) == (2, "")
    assert "ctc_beam_search takes no hotwords" in done.stderr


@needs_kenlm
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_hardened_process_of_an_ordinary_user_reads_it() -> None:
    """One that cannot be traced has a /proc/self that belongs to root."""
    child = os.fork()
    if not child:
        code = 1
        try:
            os.setgid(65534)
            os.setuid(65534)
            _hardened_load()
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _hardened_load() -> None:
    import ctypes

    ctypes.CDLL(None).prctl(load.PR_SET_DUMPABLE, 0, 0, 0, 0)
    assert load._ngram(MODEL_BYTES).order == 3


MODEL_BYTES = (DATA / "characters.klm").read_bytes()


@needs_kenlm
def test_hotwords_are_refused(with_model: Sealed) -> None:
    from asrpack.runtime.decoding import ContextGraph

    with pytest.raises(UsageError, match="ctc_beam_search takes no hotwords"):
        opened(with_model).recognizer.search(None, ContextGraph([((2,), 3.0)]))


def test_a_bundle_that_lacks_it(wrong: Callable[[bytes | None], Sealed]) -> None:
    with pytest.raises(IntegrityError, match=f"the bundle has no {NGRAM_FILE}") as caught:
        opened(wrong(None))
    assert caught.value.code == "model-file-missing" and caught.value.remedy


@needs_kenlm
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no model",
        (DATA / "characters.arpa").read_bytes()[:200],
        MODEL_BYTES[:300],
        MODEL_BYTES[:-9],
    ],
    ids=["empty", "other", "part of ARPA", "part of binary", "a word less"],
)
def test_one_that_is_damaged(wrong: Callable[[bytes | None], Sealed], data: bytes) -> None:
    """Its vendor sealed it so: the seal holds, and the error names the file in the bundle."""
    with pytest.raises(InputError, match="not a language model") as caught:
        opened(wrong(data))
    assert caught.value.place == NGRAM_FILE and "vendor" in (caught.value.remedy or "")


def test_one_that_was_changed_afterwards(wrong: Callable[[bytes | None], Sealed]) -> None:
    sealed = wrong(MODEL_BYTES)
    path = sealed.path / f"model/{NGRAM_FILE}.enc"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(IntegrityError) as caught:
        opened(sealed)
    assert (caught.value.code, caught.value.place) == ("changed-file", f"model/{NGRAM_FILE}.enc")


def test_where_flashlight_text_is_not_installed(
    wrong: Callable[[bytes | None], Sealed], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "flashlight.lib.text.decoder.kenlm", None)
    with pytest.raises(ToolchainError, match="flashlight-text") as caught:
        opened(wrong(MODEL_BYTES))
    assert "pip install flashlight-text" in (caught.value.remedy or "")


def test_a_bundle_without_one_is_not_decoded_with_one(sealed_once: Sealed) -> None:
    """Nor does it need what reads one."""
    bundle = opened(sealed_once)
    assert bundle.description.decode == replace(bundle.description.decode, ngram=None)
    with pytest.raises(UsageError, match="cannot decode with 'ctc_beam_search'"):
        bundle.recognizer.search("ctc_beam_search")
