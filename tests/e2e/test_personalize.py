"""A bundle of their own for each customer, from one build."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from asrpack.bundle.keys import WATERMARK, armour, recipient_private
from asrpack.bundle.licence import read_licence
from asrpack.bundle.opening import open_sealed
from asrpack.errors import KeyFileError
from asrpack.protect.registry import Issued, Registry
from tests.e2e.conftest import RECIPE, Workshop, make_workshop
from tests.interrupts import interrupt, start

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("e2e")]

MARK_KEY = bytes(range(32))
NAMES = ["acme", "beta", "gamma"]
UTTERANCES = 6


@dataclass(frozen=True)
class Vendor:
    """A build of the quickstart model in int4, marked so strongly that it shows, and customers."""

    shop: Workshop

    @property
    def artifact(self) -> Path:
        return self.shop.artifact("cpu")

    @property
    def registry(self) -> Registry:
        return Registry(self.shop.out / "registry.sqlite")

    def folder(self, name: str) -> Path:
        return self.artifact / "customers" / name

    def key(self, name: str) -> str:
        return str(self.shop.keys / f"{name}.key")

    def listed(self, name: str = "customers.csv", expires: str = "2099-12-31") -> Path:
        path = self.shop.folder / name
        path.write_text(
            "customer,recipient,expires,streams\n"
            "acme,keys/acme.pub,,\n"
            f"beta,keys/beta.pub,{expires},2\n"
            "gamma,keys/gamma.pub,,\n"
        )
        return path

    def command(self, *more: str, listed: Path | None = None) -> list[str]:
        command = [sys.executable, "-m", "asrpack", "personalize", str(self.artifact), "--json"]
        command += ["--customers", str(listed or self.listed()), "--escrow", self.key("escrow")]
        return [*command, *more]

    def personalize(
        self, *more: str, listed: Path | None = None, status: int = 0
    ) -> dict[str, dict[str, Any]]:
        done = self.shop.execute(self.command(*more, listed=listed), status)
        told = [json.loads(line) for line in done.stdout.splitlines()]
        return {line["customer"]: line for line in told if "customer" in line}

    def opens(self, name: str, *identity: str) -> bool:
        recording = RECIPE.parent / "data" / "human" / "001.wav"
        given = ["--identity", *identity, "--trust", str(self.shop.keys / "vendor.pub"), "--json"]
        command = [sys.executable, "-m", "asrpack", "run", str(self.folder(name) / "bundle")]
        done = subprocess.run([*command, str(recording), *given], capture_output=True, text=True)
        assert done.returncode in (0, 7), done.stderr
        return done.returncode == 0 and json.loads(done.stdout)["text"] == "ten of clubs"


@pytest.fixture(scope="module")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> Vendor:
    folder = tmp_path_factory.mktemp("vendor")
    shop = make_workshop(folder, folder / "cache")
    for name in ("beta", "gamma", "escrow"):
        shop.asrpack("keys", "generate", "recipient", "-o", str(shop.keys / f"{name}.key"))
    (shop.keys / "vendor.mark").write_bytes(armour(WATERMARK, MARK_KEY))
    lines = (RECIPE.parent / "data" / "test.jsonl").read_text().splitlines()[:UTTERANCES]
    audio = f'"audio": "{RECIPE.parent}/data/'
    manifest = folder / "test.jsonl"
    manifest.write_text("\n".join(line.replace('"audio": "', audio) for line in lines) + "\n")
    shop.build(
        "--build=cpu", "--set=builds.cpu.precision=int4", "--set=protect.watermark.strength=0.3",
        f"--set=data.test.manifest={manifest}", "--set=protect.watermark.customer=nobody",
        "--set=gate={error_rate: {max: 1.0}}", "--set=bundle.golden=1",
    )  # fmt: skip
    return Vendor(shop)


@pytest.fixture(scope="module")
def made(vendor: Vendor) -> Mapping[str, Mapping[str, Any]]:
    return vendor.personalize("--jobs=2")


def test_each_customer_has_a_bundle_that_verifies(vendor: Vendor, made: Any) -> None:
    assert {name: item["status"] for name, item in made.items()} == dict.fromkeys(NAMES, "made")
    trust = str(vendor.shop.keys / "vendor.pub")
    for name in NAMES:
        bundle = vendor.folder(name) / "bundle"
        done = vendor.shop.asrpack("verify", str(bundle), "--trust", trust, "--json")
        assert json.loads(done.stdout)["ok"]
        said = json.loads((bundle / "asrpack.json").read_bytes())
        assert said["bundle_id"] == made[name]["bundle_id"]
        for left in ("report.html", "evaluation.json", "gate.json", "asrpack.lock"):
            assert (vendor.folder(name) / left).is_file()
        assert not list(vendor.folder(name).glob(".partial-*"))
    assert len({item["bundle_id"] for item in made.values()}) == len(NAMES)


def test_fp32_is_measured_by_the_build_and_not_for_each_customer(vendor: Vendor, made: Any) -> None:
    build = json.loads((vendor.artifact / "evaluation.json").read_bytes())
    texts = [item["baseline"] for item in build["utterances"]]
    for name in NAMES:
        own = json.loads((vendor.folder(name) / "evaluation.json").read_bytes())
        assert [item["baseline"] for item in own["utterances"]] == texts
        for measured in ("memory", "cold_start"):
            assert own[measured]["baseline"] == build[measured]["baseline"]
            assert own[measured]["candidate"] != build[measured]["candidate"]
        assert own["timing"]["baseline_rtf"] != build["timing"]["baseline_rtf"]
        assert own["timing"]["host"] == build["timing"]["host"]


def test_golden_texts_are_those_of_the_customers_own_model(vendor: Vendor, made: Any) -> None:
    keys = ("--trust", str(vendor.shop.keys / "vendor.pub"), "--identity", vendor.key("acme"))
    bundle = str(vendor.folder("acme") / "bundle")
    done = vendor.shop.asrpack("verify", bundle, *keys, "--selftest", "--json")
    assert json.loads(done.stdout)["golden_texts"] == 1


def test_it_opens_for_its_own_customer_only(vendor: Vendor, made: Any) -> None:
    assert vendor.opens("acme", vendor.key("acme"))
    assert not vendor.opens("acme", vendor.key("beta"))
    assert not vendor.opens("acme", vendor.key("escrow"))
    assert not vendor.opens("gamma", vendor.key("acme"))


def test_terms_make_a_licence_that_opens_it(vendor: Vendor, made: Any) -> None:
    licence = vendor.folder("beta") / "licence.json"
    assert vendor.opens("beta", vendor.key("beta"))  # licence.json beside the bundle
    assert not vendor.opens("beta", vendor.key("acme"))
    bundle, identity = vendor.folder("beta") / "bundle", (vendor.shop.keys / "beta.key")
    with pytest.raises(KeyFileError):
        open_sealed(bundle, recipient_private(identity.read_bytes(), "beta"))
    said = json.loads(vendor.shop.asrpack("license", "show", str(licence), "--json").stdout)
    assert (said["customer"], said["expires"]) == ("beta", "2100-01-01T00:00:00Z")
    assert (said["limits"], said["bundle_id"]) == ({"streams": 2}, made["beta"]["bundle_id"])
    assert said["licence_id"] == made["beta"]["licence_id"]
    for name in ("acme", "gamma"):
        assert not (vendor.folder(name) / "licence.json").exists()


def test_the_registry_says_who_got_what_and_no_secret(vendor: Vendor, made: Any) -> None:
    rows = {row.customer: row for row in vendor.registry.records()}
    assert sorted(rows) == NAMES
    for name, row in rows.items():
        said = made[name]
        assert (row.bundle_id, row.manifest) == (said["bundle_id"], said["manifest"])
        assert (row.recipient, row.licence_id) == (said["recipient"], said["licence_id"])
        metadata = json.loads((vendor.folder(name) / "bundle" / "asrpack.json").read_bytes())
        assert [row.opened_by] == metadata["recipients"]
        assert row.commitment == metadata["watermark"]
    assert rows["beta"].opened_by != rows["beta"].recipient
    (licence,) = vendor.registry.licences()
    assert licence == Issued.of(
        read_licence((vendor.folder("beta") / "licence.json").read_bytes(), "beta")
    )
    data = vendor.registry.path.read_bytes()
    for path in (*vendor.shop.keys.glob("*.key"), vendor.shop.keys / "vendor.pem"):
        body = b"".join(path.read_bytes().splitlines()[1:-1])
        assert body not in data
    assert MARK_KEY not in data and MARK_KEY.hex().encode() not in data


def test_a_second_run_keeps_them_and_a_dry_run_says_so(vendor: Vendor, made: Any) -> None:
    again = vendor.personalize()
    for name in NAMES:
        assert again[name]["status"] == "kept"
        assert again[name]["bundle_id"] == made[name]["bundle_id"]
    later = vendor.listed("later.csv", "2100-12-31")
    told = vendor.personalize("--dry-run", listed=later)
    assert {name: item["status"] for name, item in told.items()} == {
        "acme": "kept", "beta": "make", "gamma": "kept",
    }  # fmt: skip
    assert len(vendor.registry.records()) == len(NAMES)


def test_what_was_damaged_is_made_anew(vendor: Vendor, made: Any, tmp_path: Path) -> None:
    given = [f"--out={tmp_path / 'out'}", f"--registry={tmp_path / 'registry.sqlite'}"]
    vendor.personalize(*given)
    (tmp_path / "out" / "acme" / "bundle" / "README.md").write_text("other")
    (tmp_path / "out" / "beta" / "licence.json").unlink()
    told = vendor.personalize(*given)
    assert [told[name]["status"] for name in NAMES] == ["made", "made", "kept"]


@pytest.mark.parametrize("how", ["kill", "interrupt"])
def test_a_stopped_run_goes_on(vendor: Vendor, made: Any, tmp_path: Path, how: str) -> None:
    out = tmp_path / "out"
    given = [f"--out={out}", f"--registry={tmp_path / 'registry.sqlite'}", "--jobs=1"]
    command, environment = vendor.command(*given), vendor.shop.environment()
    child = start(command, env=environment, stdout=subprocess.PIPE)
    assert child.stdout is not None
    first = json.loads(child.stdout.readline())
    while not list((out / "beta").glob(".partial-*")):
        assert child.poll() is None
        time.sleep(0.001)
    if how == "interrupt":
        told = "asrpack: personalize interrupted: the same command goes on where it stopped"
        assert interrupt(child) == told
        assert not list(out.glob("*/.partial-*"))
    else:
        child.kill()
        child.communicate()
    assert not (out / "beta" / "bundle").exists() or not (out / "gamma" / "bundle").exists()
    told = vendor.personalize(*given)
    assert told["acme"]["status"] == "kept"
    assert told["acme"]["bundle_id"] == first["bundle_id"]
    assert told["gamma"]["status"] == "made"
    assert not list(out.glob("*/.partial-*"))
    registered = {row.bundle_id for row in Registry(tmp_path / "registry.sqlite").records()}
    assert registered.issuperset(item["bundle_id"] for item in told.values())


def test_one_that_fails_its_gate_does_not_stop_the_others(
    vendor: Vendor, made: Any, tmp_path: Path
) -> None:
    rates = {}
    for name in NAMES:
        found = json.loads((vendor.folder(name) / "evaluation.json").read_bytes())
        rates[name] = found["methods"]["attention_rescoring"]["cer"]["candidate"]["rate"]
    worst = max(rates, key=lambda name: rates[name])
    others = [rate for name, rate in rates.items() if name != worst]
    assert max(others) < rates[worst], f"the marks of the test do not differ: {rates}"
    bound = f"--set=gate.error_rate.max={(max(others) + rates[worst]) / 2:.6f}"
    given = [bound, f"--out={tmp_path / 'out'}", f"--registry={tmp_path / 'registry.sqlite'}"]
    told = vendor.personalize(*given, status=5)
    assert told[worst]["status"] == "rejected" and "CER is" in told[worst]["reasons"][0]
    assert {item["status"] for name, item in told.items() if name != worst} == {"made"}
    folder = tmp_path / "out" / worst
    assert not (folder / "bundle").exists() and not (folder / "licence.json").exists()
    assert (folder / "rejected" / "report.html").is_file()
    assert (folder / "rejected" / "onnx" / "encoder.onnx").is_file()
    rows = Registry(tmp_path / "registry.sqlite").records()
    assert sorted(row.customer for row in rows) == sorted(set(NAMES) - {worst})


def test_another_model_than_the_builds_is_refused(vendor: Vendor) -> None:
    command = vendor.command("--set=builds.cpu.precision=int8", "--dry-run")
    told = json.loads(vendor.shop.execute(command, 3).stdout)
    assert told["error"] == "artifact-stale" and "quantize" in told["findings"][0]["message"]


def test_a_licence_needs_an_escrow_key(vendor: Vendor) -> None:
    command = [sys.executable, "-m", "asrpack", "personalize", str(vendor.artifact)]
    command += ["--customers", str(vendor.listed())]
    assert "--escrow" in vendor.shop.execute(command, 2).stderr
    own = vendor.shop.execute([*command, "--escrow", vendor.key("gamma")], 3).stderr
    assert "gamma: the customer's key is the escrow key" in own


def test_whom_it_is_for_must_be_said(vendor: Vendor) -> None:
    command = [sys.executable, "-m", "asrpack", "personalize", str(vendor.artifact)]
    assert "--customers FILE" in vendor.shop.execute([*command, "--customer", "acme"], 2).stderr


def test_a_copy_is_traced_by_the_registry(vendor: Vendor, made: Any) -> None:
    given = ["--key", str(vendor.shop.keys / "vendor.mark"), "--registry"]
    given.append(str(vendor.registry.path))
    suspect = [str(vendor.folder("gamma") / "bundle"), "--identity", vendor.key("gamma")]
    original = ["--original", str(vendor.artifact)]
    done = vendor.shop.asrpack("trace", *suspect, *original, *given, "--json")
    results = json.loads(done.stdout)
    assert sorted(item["customer"] for item in results) == NAMES
    assert [item["customer"] for item in results if item["verdict"] == "named"] == ["gamma"]
    listed = vendor.shop.folder / "names.txt"
    listed.write_text("\n".join(NAMES))
    by_list = [*given[:2], "--customers", str(listed)]
    committed = [
        vendor.shop.asrpack("commit", str(vendor.artifact), "--json", *g) for g in (given, by_list)
    ]
    assert committed[0].stdout == committed[1].stdout
    both = [*given, "--customers", str(listed)]
    vendor.shop.asrpack("trace", *suspect, *original, *both, status=2)
    vendor.shop.asrpack("trace", *suspect, *original, *given[:2], status=2)
