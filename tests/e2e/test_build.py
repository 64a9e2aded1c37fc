"""The whole path, as a user walks it."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from asrpack.bundle.keys import recipient_private, watermark_key
from asrpack.bundle.opening import open_sealed
from asrpack.errors import ToolchainError
from asrpack.pipeline import build
from asrpack.pipeline.events import Event
from asrpack.protect.detection import detect
from asrpack.stages.convert import Convert
from asrpack.stages.watermark import read_weights
from tests.e2e.conftest import METHODS, RECIPE, Workshop, make_workshop
from tests.interrupts import interrupt, start

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("e2e")]

STAGES = [
    "import", "configure", "probe", "export", "convert", "optimize", "quantize", "watermark",
    "evaluate", "gate", "encrypt", "render", "seal",
]  # fmt: skip
# The rest holds fresh keys or times.
REPEATABLE = STAGES[: STAGES.index("evaluate")]


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_human_recording_is_transcribed(workshop: Workshop, bundle: Path) -> None:
    recording = RECIPE.parent / "data" / "human" / "001.wav"
    done = workshop.asrpack(
        "run", str(bundle), str(recording), "--json",
        "--identity", str(workshop.keys / "acme.key"), "--trust", str(workshop.keys / "vendor.pub"),
    )  # fmt: skip
    assert json.loads(done.stdout)["text"] == "ten of clubs"


def test_verify_accepts_and_names_nothing(workshop: Workshop, bundle: Path) -> None:
    key = str(workshop.keys / "vendor.pub")
    done = workshop.asrpack("verify", str(bundle), "--trust", key, "--json")
    told = json.loads(done.stdout)
    assert told["ok"] is True and told["findings"] == []


def test_verify_can_run_it_too(workshop: Workshop, bundle: Path) -> None:
    options = ["--trust", str(workshop.keys / "vendor.pub"), "--selftest", "--json"]
    identity = ["--identity", str(workshop.keys / "acme.key")]
    done = workshop.asrpack("verify", str(bundle), *options, *identity)
    report = json.loads(done.stdout)
    assert report["ok"] and report["selftest"] == METHODS
    other = ["--identity", str(workshop.keys / "other.key")]
    refused = workshop.asrpack("verify", str(bundle), *options, *other, status=7)
    assert not json.loads(refused.stdout)["ok"]


def test_another_recipient_cannot_open_it(workshop: Workshop, bundle: Path) -> None:
    recording = RECIPE.parent / "data" / "human" / "001.wav"
    other = str(workshop.keys / "other.key")
    done = workshop.asrpack("run", str(bundle), str(recording), "--identity", other, status=7)
    assert "remedy" in done.stderr


def test_the_second_build_is_all_cached_and_the_plan_says_so(workshop: Workshop) -> None:
    options = [f"--out={workshop.out}", "--build=cpu", *workshop.overrides()]
    plan = json.loads(workshop.asrpack("plan", str(RECIPE), "--json", *options).stdout)
    assert [row["stage"] for row in plan] == STAGES
    assert {row["status"] for row in plan} == {"cached"}
    again = events(workshop.build("--build=cpu").stdout)
    assert [e["stage"] for e in again if e["kind"] == "cached"] == STAGES
    assert not [e for e in again if e["kind"] == "start"]


def test_the_evaluation_is_of_the_whole_set_and_within_the_gate(workshop: Workshop) -> None:
    evaluation, gate = workshop.read("cpu", "evaluation.json"), workshop.read("cpu", "gate.json")
    assert evaluation["set"]["utterances"] == 105
    assert gate["ok"]
    cer = evaluation["methods"]["attention_rescoring"]["cer"]
    assert abs(cer["increase"]) <= 0.001, "int8 and the mark may cost 0.1 % absolute"
    assert evaluation["size"]["ratio"] < 0.5
    assert evaluation["timing"]["candidate_rtf"] > 0


def test_int8_takes_less_memory_than_fp32(workshop: Workshop) -> None:
    evaluation = workshop.read("cpu", "evaluation.json")
    before, after = (evaluation["memory"][role] for role in ("baseline", "candidate"))
    for phase in ("loading", "running"):
        assert after[phase]["peak"] < before[phase]["peak"]
        assert after["runtime"] < after[phase]["peak"]
    assert all(evaluation["cold_start"][role]["seconds"] > 0 for role in ("baseline", "candidate"))


def test_the_report_is_of_this_build_and_can_be_made_anew(
    workshop: Workshop, bundle: Path, tmp_path: Path
) -> None:
    artifact = bundle.parent
    built = (artifact / "report.html").read_text(encoding="utf-8")
    done = workshop.asrpack("report", str(artifact), "-o", str(tmp_path / "again.html"), "--json")
    assert json.loads(done.stdout) == {"report": str(tmp_path / "again.html"), "accepted": True}
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == built
    lock, evaluation = workshop.read("cpu", "asrpack.lock"), workshop.read("cpu", "evaluation.json")
    digests = [record["outputs"] for record in lock["stages"].values()]
    digests += [{"": item["sha256"]} for item in lock["sources"].values()]
    assert all(digest in built for item in digests for digest in item.values())
    assert lock["sources"]["test"]["sha256"] in json.dumps(lock["stages"]["evaluate"])
    assert f"{evaluation['timing']['speedup']:.2f}×" in built
    # It holds what was said in the vendor's test set.
    assert not list(bundle.rglob("report.html"))


def test_the_lock_names_all_that_went_in(workshop: Workshop) -> None:
    lock = workshop.read("cpu", "asrpack.lock")
    assert sorted(lock["stages"]) == sorted(STAGES)
    for record in lock["stages"].values():
        assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in record["outputs"].values())
    assert lock["stages"]["export"]["components"]["tools"]["paddlepaddle"]


def test_no_key_is_anywhere(workshop: Workshop) -> None:
    """Neither as text nor as raw bytes, in artifacts, logs or cache."""
    needles = []
    for name in ("vendor.pem", "vendor.mark", "acme.key"):
        text = (workshop.keys / name).read_bytes()
        body = b"".join(line for line in text.splitlines() if not line.startswith(b"-----"))
        raw = base64.b64decode(body)
        needles += [body[8:40], raw[-32:], raw[-32:].hex().encode()]
    looked_at = 0
    for root in (workshop.out, workshop.cache):
        for path in root.rglob("*"):
            if path.is_file():
                looked_at += 1
                data = path.read_bytes()
                assert not any(needle in data for needle in needles), path
    assert looked_at > 50


def test_the_bundle_holds_nothing_in_the_clear(workshop: Workshop, bundle: Path) -> None:
    names = {path.name for path in (bundle / "model").iterdir()}
    assert names == {"encoder.onnx.enc", "decoder.onnx.enc", "model.json.enc", "envelope.json"}
    for path in bundle.rglob("*"):
        if path.is_file():
            assert b"MatMulInteger" not in path.read_bytes(), path


def test_a_gate_that_is_not_met_keeps_the_candidate(workshop: Workshop, tmp_path: Path) -> None:
    shop = Workshop(workshop.folder, workshop.cache)
    out = tmp_path / "artifacts"

    def build(*more: str, status: int) -> str:
        command = shop.build_command("--build=cpu", *more)
        command = [f"--out={out}" if item.startswith("--out=") else item for item in command]
        return shop.execute(command, status=status).stdout

    build(status=0)
    artifact = out / "digits-cards-1.0.0-cpu"
    bounds = ["--set=gate.speedup.min=1000", "--set=gate.memory={max_bytes: 1000000}"]
    told = build(*bounds, status=5)
    rejected = artifact / "rejected"
    verdict = json.loads((rejected / "gate.json").read_bytes())
    report = (rejected / "report.html").read_text(encoding="utf-8")
    failed = [check for check in verdict["checks"] if not check["ok"]]
    assert not verdict["ok"] and {check["name"] for check in failed} == {"speed-up", "memory"}
    for check in failed:
        assert check["reason"] in json.loads(told.splitlines()[-1])["findings"][0]["message"]
        assert check["reason"][1:] in report
    assert "Rejected" in report and str(rejected / "report.html") in told
    assert (rejected / "onnx" / "encoder.onnx").stat().st_size > 0
    assert (rejected / "evaluation.json").exists()
    # Nothing of the earlier, accepted build passes for this one's.
    for name in ("bundle", "report.html", "evaluation.json", "gate.json"):
        assert not (artifact / name).exists(), name
    assert "rejected" in shop.asrpack("report", str(artifact), status=3).stderr
    (rejected / "report.html").unlink()
    shop.asrpack("report", str(rejected))
    assert (rejected / "report.html").read_text(encoding="utf-8") == report
    build(status=0)
    assert (artifact / "bundle").exists() and not rejected.exists()


def test_until_and_force(workshop: Workshop) -> None:
    told = events(workshop.build("--build=cpu", "--until=optimize").stdout)
    assert [e["stage"] for e in told if e["kind"] == "cached"][-1] == "optimize"
    told = events(workshop.build("--build=cpu", "--until=configure", "--force=import").stdout)
    assert [e["stage"] for e in told if e["kind"] == "start"] == ["import"]
    assert "no stage" in workshop.build("--force=improt", status=2).stdout


def test_a_terminal_gets_live_progress(workshop: Workshop) -> None:
    command = [item for item in workshop.build_command("--build=cpu") if item != "--json"]
    ours, theirs = os.openpty()
    child = subprocess.Popen(
        [*command, "--force=configure"],
        env=workshop.environment() | {"TERM": "xterm"},
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    )
    os.close(theirs)
    told = b""
    try:
        while piece := os.read(ours, 4096):
            told += piece
    except OSError:  # Linux's way to say that the other side is closed
        pass
    os.close(ours)
    assert child.wait() == 0
    assert b"import     cached" in told and b"configure  done" in told and b"\x1b[" in told


def test_a_missing_tool_is_named_before_the_first_stage(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Convert, "tools", (*Convert.tools, "no-such-distribution"))
    monkeypatch.setenv("ASRPACK_CACHE", str(tmp_path / "cache"))
    told: list[Event] = []
    with pytest.raises(ToolchainError, match="not installed: no-such-distribution") as caught:
        build.run_builds(request_of(workshop, tmp_path), told.append)
    assert caught.value.place == "stage convert" and "asrpack[build]" in str(caught.value.remedy)
    assert [event.kind for event in told] == ["build"]


def request_of(workshop: Workshop, folder: Path) -> build.Request:
    overrides = tuple(item.removeprefix("--set=") for item in workshop.overrides())
    return build.Request(RECIPE, "cpu", folder / "out", overrides)


def test_a_full_disk_is_found_before_the_first_stage(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "DISK_RESERVE", 1 << 60)
    monkeypatch.setenv("ASRPACK_CACHE", str(tmp_path / "cache"))
    with pytest.raises(ToolchainError, match="MiB are free") as caught:
        build.run_builds(request_of(workshop, tmp_path), lambda event: None)
    assert caught.value.code == "disk-full"


def test_unknown_build_is_a_usage_error(workshop: Workshop) -> None:
    assert "cpu, fp32" in workshop.build("--build=gpu", status=2).stdout


def test_killed_in_every_stage_in_turn(workshop: Workshop, tmp_path: Path) -> None:
    """kill -9 whenever a stage has begun, then build again: the same content, no leftovers."""
    shop = make_workshop(tmp_path / "shop", tmp_path / "cache")
    # The same mark and keys as the undisturbed build, or the content could not be the same.
    shutil.copytree(workshop.keys, shop.keys, dirs_exist_ok=True)
    killed = 0
    for stage in STAGES:
        killed += kill_in(shop, stage, after=seconds_of(workshop, stage) / 2)
        bundle = shop.artifact("cpu") / "bundle"
        if bundle.exists():  # the last stage was over already: whole, then
            shop.asrpack("verify", str(bundle), "--trust", str(shop.keys / "vendor.pub"))
        for entry in (tmp_path / "cache" / "v1").glob("*/*/"):
            if entry.parent.name not in ("work", "locks"):
                assert (entry / "entry.json").exists(), f"half-written {entry}"
    assert killed >= len(STAGES) - 3, "a short stage may be over before the signal comes"
    shop.build("--build=cpu")
    assert not list((tmp_path / "cache" / "v1" / "work").iterdir())
    assert not list(shop.artifact("cpu").glob(".partial-*"))
    ours, theirs = (s.read("cpu", "asrpack.lock")["stages"] for s in (shop, workshop))
    for stage in REPEATABLE:
        assert ours[stage]["outputs"] == theirs[stage]["outputs"], stage
    ours, theirs = (s.read("cpu", "evaluation.json") for s in (shop, workshop))
    for evaluation in (ours, theirs):
        for section in ("timing", "memory", "cold_start"):
            del evaluation[section]
    assert ours == theirs
    bundle = shop.artifact("cpu") / "bundle"
    shop.asrpack("verify", str(bundle), "--trust", str(shop.keys / "vendor.pub"))


def test_interrupted_it_says_how_to_go_on(workshop: Workshop, tmp_path: Path) -> None:
    shop = Workshop(tmp_path / "shop", workshop.cache)
    shutil.copytree(workshop.keys, shop.keys)
    command = shop.build_command("--build=cpu", "--force=evaluate")
    child = start(command, env=shop.environment(), stdout=subprocess.PIPE)
    assert child.stdout is not None
    for line in child.stdout:
        event = json.loads(line)
        if (event["kind"], event["stage"]) == ("start", "evaluate"):
            break
    told = "asrpack: build interrupted: the same command goes on where it stopped"
    assert interrupt(child) == told
    assert {item.name for item in shop.artifact("cpu").iterdir()} <= {".lock", "logs"}
    assert not list((shop.cache / "v1" / "work").iterdir())
    again = shop.build("--build=cpu")
    kinds = [json.loads(line)["kind"] for line in again.stdout.splitlines()]
    assert "start" not in kinds and kinds.count("cached") == len(STAGES)


def seconds_of(shop: Workshop, stage: str) -> float:
    """How long a stage took in an undisturbed build."""
    entries = (shop.cache / "v1" / stage).glob("*/entry.json")
    return max(json.loads(entry.read_bytes())["seconds"] for entry in entries)


def kill_in(shop: Workshop, stage: str, after: float) -> bool:
    """Starts a build and kills it in the middle of a stage; False if it was over already."""
    child = subprocess.Popen(
        shop.build_command("--build=cpu"),
        env=shop.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert child.stdout is not None
    for line in child.stdout:
        event = json.loads(line)
        if event["kind"] == "start" and event["stage"] == stage:
            time.sleep(after)
            child.send_signal(signal.SIGKILL)
            break
    rest, _ = child.communicate()
    told = [json.loads(text) for text in rest.splitlines() if text.endswith("}")]
    return not any(event["kind"] == "done" and event["stage"] == stage for event in told)


def test_the_mark_is_in_the_bundles_own_weights(
    workshop: Workshop, bundle: Path, tmp_path: Path
) -> None:
    """What the customer decrypts tells who the customer is, and nobody else."""
    (optimized,) = (workshop.cache / "v1" / "optimize").glob("*/out/onnx")
    identity = recipient_private((workshop.keys / "acme.key").read_bytes(), "acme")
    opened = open_sealed(bundle, identity, [(workshop.keys / "vendor.pub").read_bytes()])
    for name in ("encoder.onnx", "decoder.onnx"):
        (tmp_path / name).write_bytes(opened.files[name].view)
    key = watermark_key((workshop.keys / "vendor.mark").read_bytes(), "vendor")
    wrong = [f"customer-{number}" for number in range(1000)]
    scores = detect(read_weights(optimized), read_weights(tmp_path), key, ["acme", *wrong])
    assert scores[0].customer == "acme" and scores[0].z >= 7
    assert max(score.z for score in scores[1:]) < 5
