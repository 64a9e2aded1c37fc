"""Recognition under a licence: a real session, a limit, an end, a renewal meanwhile."""

from __future__ import annotations

import gc
import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from asrpack.bundle.keys import recipient_private
from asrpack.bundle.licence_body import DAY
from asrpack.bundle.opening import open_sealed
from asrpack.bundle.secrets import SecretSource
from asrpack.errors import InputError, KeyFileError, UsageError
from asrpack.runtime import load
from asrpack.runtime.load import open_bundle
from asrpack.runtime.recognizer import Recognizer
from asrpack.runtime.streaming import StreamingRecognizer
from asrpack.runtime.transcripts import Wishes, transcribe_file
from tests.licence.test_lease import drop_in
from tests.licence.vendor import NOW, FakeHost, Vendor
from tests.runtime import tiny
from tests.runtime.conftest import Sealed, sealed_once, streaming_sealed
from tests.runtime.test_commands import inside, outside
from tests.runtime.test_recognizer import NOISE

__all__ = ["sealed_once", "streaming_sealed"]
METHOD = "ctc_greedy_search"


def vendor_of(sealed: Sealed) -> Vendor:
    """``acme.pem`` is the escrow key here, and the customer has ``other.pem``."""
    folder = sealed.trust.parent
    return Vendor(sealed.path, folder / "vendor.pem", sealed.identity, folder / "other.pem")


@pytest.fixture
def streams(
    streaming_sealed: Sealed, host: FakeHost, tmp_path: Path
) -> tuple[StreamingRecognizer, Vendor, Path]:
    """Licensed for two recognitions at a time."""
    vendor, path = vendor_of(streaming_sealed), tmp_path / "licence.json"
    path.write_bytes(vendor.issue(streams=2))
    lease = host.open(path, vendor)
    recognizer = Recognizer(
        tiny.describe_streaming(), tiny.streaming_graphs(), threads=1, lease=lease
    )
    return StreamingRecognizer(recognizer), vendor, path


def code_of(action: Any, *arguments: Any) -> str:
    with pytest.raises(KeyFileError) as error:
        action(*arguments)
    assert error.value.exit_code == 7
    return error.value.code


def test_two_streams_at_a_time(streams: tuple[StreamingRecognizer, Vendor, Path]) -> None:
    streaming, recognizer = streams[0], streams[0].recognizer
    first, second = streaming.stream(METHOD), streaming.stream(METHOD)
    assert code_of(streaming.stream) == "licence-streams"
    assert code_of(recognizer.transcribe, NOISE) == "licence-streams"
    assert code_of(recognizer.encode, recognizer.features(NOISE)) == "licence-streams"
    first.accept(NOISE[:8000])
    first.finish()
    assert recognizer.transcribe(NOISE, METHOD).text
    del second
    gc.collect()
    both = [streaming.stream(METHOD), streaming.stream(METHOD)]
    assert code_of(streaming.stream) == "licence-streams"
    for stream in both:
        stream.finish()
    assert recognizer.transcribe(NOISE, METHOD).text


def test_a_recognition_that_fails_leaves_its_place(
    streams: tuple[StreamingRecognizer, Vendor, Path],
) -> None:
    recognizer = streams[0].recognizer
    for _ in range(5):
        with pytest.raises(InputError):
            recognizer.transcribe(np.zeros(16000 * 60, np.float32))
        with pytest.raises(UsageError):
            streams[0].stream("viterbi")
    assert recognizer.transcribe(NOISE, METHOD).text


def test_what_runs_finishes_and_what_is_new_is_refused(
    streams: tuple[StreamingRecognizer, Vendor, Path], host: FakeHost
) -> None:
    streaming, vendor, path = streams
    expected = streaming.recognizer.transcribe(NOISE, METHOD).text
    running = streaming.stream(METHOD)
    running.accept(NOISE[:16000])
    host.passes(31 * DAY)
    assert code_of(streaming.stream) == "licence-expired"
    assert code_of(streaming.recognizer.transcribe, NOISE) == "licence-expired"
    running.accept(NOISE[16000:])
    assert running.finish().text
    drop_in(path, vendor.renew(path.read_bytes(), issued=NOW + 31 * DAY))
    assert streaming.recognizer.transcribe(NOISE, METHOD).text == expected


def test_recognitions_in_threads(
    streams: tuple[StreamingRecognizer, Vendor, Path], tmp_path: Path
) -> None:
    """Never more than two at once, and each that ran has its own result."""
    recognizer, path = streams[0].recognizer, tmp_path / "a.wav"
    soundfile.write(path, NOISE.astype(np.int16), 16000)
    expected = transcribe_file(recognizer, path, Wishes(METHOD)).text
    done, refused = [], []

    def work() -> None:
        for _ in range(5):
            try:
                done.append(transcribe_file(recognizer, path, Wishes(METHOD)).text)
            except KeyFileError as error:
                refused.append(error.code)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) + len(refused) == 30 and done
    assert set(done) == {expected} and set(refused) <= {"licence-streams"}


# -- Opening and commands --------------------------------------------------------------------------


@pytest.fixture
def customer(
    sealed_once: Sealed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Vendor, Path, dict[str, str]]:
    """A vendor, a licence that holds now, and the environment to run a bundle in."""
    vendor, path = vendor_of(sealed_once), tmp_path / "licence.json"
    path.write_bytes(vendor.issue(issued=NOW, expires=None))
    monkeypatch.setattr(load, "harden_process", lambda: None)
    monkeypatch.setenv("ASRPACK_STATE", str(tmp_path / "state"))
    soundfile.write(tmp_path / "a.wav", NOISE.astype(np.int16), 16000)
    return vendor, path, {"ASRPACK_STATE": str(tmp_path / "state")}


def test_open_bundle(customer: tuple[Vendor, Path, Any]) -> None:
    vendor, path, _ = customer
    identity, warnings = SecretSource("file", str(vendor.customer)), []
    pin = [vendor.signing.with_suffix(".pub")]
    opened = open_bundle(vendor.bundle, identity, pin, licence=path, warn=warnings.append)
    assert opened.recognizer.transcribe(NOISE).text
    escrow = SecretSource("file", str(vendor.escrow))
    plain = open_bundle(vendor.bundle, escrow, pin, licence=path, warn=warnings.append)
    assert plain.recognizer.transcribe(NOISE).text == opened.recognizer.transcribe(NOISE).text
    (warning,) = warnings
    assert "not looked at" in warning


def test_engines_have_the_same_key_with_a_licence(customer: tuple[Vendor, Path, Any]) -> None:
    vendor, path, _ = customer
    data = path.read_bytes()
    licensed = open_sealed(
        vendor.bundle, vendor.identity, (), lambda lock: lock.open(data, "licence")[1]
    )
    escrow = recipient_private(vendor.escrow.read_bytes(), "escrow")
    assert licensed.engine_key == open_sealed(vendor.bundle, escrow).engine_key


@pytest.mark.parametrize("call", ["bundle", "asrpack"])
def test_run(customer: tuple[Vendor, Path, dict[str, str]], call: str) -> None:
    vendor, path, environment = customer
    keys = ["--identity", vendor.customer, "--trust", vendor.signing.with_suffix(".pub")]
    audio = path.parent / "a.wav"

    def run(verb: str, *arguments: object) -> Any:
        if call == "bundle":
            return inside(vendor.bundle, verb, vendor.bundle, *arguments, *keys, **environment)
        if verb == "selftest":
            return outside("verify", vendor.bundle, "--selftest", *arguments, *keys)
        return outside(verb, vendor.bundle, *arguments, *keys)

    done = run("run", audio, "--license", path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{audio}: ")
    done = run("selftest", "--license", path)
    assert (done.returncode, done.stderr) == (0, "")

    done = run("run", audio)
    assert done.returncode == 7 and "licence only" in done.stderr
    path.write_bytes(vendor.issue(issued=NOW, expires=NOW + DAY))
    done = run("run", audio, "--license", path)
    assert done.returncode == 7 and "expired" in done.stderr and done.stdout == ""
    done = run("selftest", "--license", path)
    assert done.returncode == 7
    path.write_bytes(vendor.issue(issued=NOW, expires=NOW + DAY, grace_days=3650))
    done = run("run", audio, "--license", path)
    assert done.returncode == 0 and "asrpack: warning: the licence expired" in done.stderr
    assert done.stderr.count("\n") == 1


def test_one_at_a_time_is_enough_for_one_process(
    customer: tuple[Vendor, Path, dict[str, str]], streaming_sealed: Sealed
) -> None:
    """Files in turn, and the self-test of a model that streams, need one place."""
    vendor, path, environment = customer
    path.write_bytes(vendor.issue(issued=NOW, expires=None, streams=1))
    audio = path.parent / "a.wav"
    keys = ["--identity", vendor.customer, "--license", path]
    done = inside(vendor.bundle, "run", vendor.bundle, audio, audio, *keys, **environment)
    assert done.returncode == 0 and done.stdout.count("\n") == 2
    vendor = vendor_of(streaming_sealed)
    path.write_bytes(vendor.issue(issued=NOW, expires=None, streams=1))
    keys = ["--identity", vendor.customer, "--license", path]
    done = inside(vendor.bundle, "selftest", vendor.bundle, *keys, **environment)
    assert done.returncode == 0, done.stderr


def test_the_bundle_describes_its_host(customer: tuple[Vendor, Path, dict[str, str]]) -> None:
    bundle = customer[0].bundle
    done = inside(bundle, "host")
    if done.returncode == 4:
        pytest.skip("nothing here tells this host from another")
    assert json.loads(done.stdout)["format"] == "asrpack-host/1"
    assert inside(bundle, "host", "--needed", "9").returncode == 2
    assert inside(bundle, "host", "--needed", "x").returncode == 2
