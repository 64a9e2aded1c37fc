"""``asrpack rebuild`` and ``diff`` on what a real build left."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import RECIPE, Workshop, make_workshop
from tests.e2e.test_build import STAGES
from tests.report.schemas import bill_faults, check_statement

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("e2e")]

LASTING = STAGES[: STAGES.index("evaluate")]


def rebuilt(shop: Workshop, artifact: Path, *more: str, status: int = 0) -> Any:
    done = shop.asrpack("rebuild", str(artifact), "--json", *more, status=status)
    return json.loads(done.stdout)


def states(told: Any) -> dict[str, str]:
    return {item["stage"]: item["state"] for item in told["stages"]}


@pytest.fixture
def copy(workshop: Workshop, tmp_path: Path) -> Path:
    """The artifact and the recipe's folder, to change."""
    shop = tmp_path / "shop"
    shutil.copytree(RECIPE.parent, shop / "recipe", ignore=shutil.ignore_patterns("training"))
    artifact = shop / "artifacts" / workshop.artifact("cpu").name
    shutil.copytree(workshop.artifact("cpu"), artifact)
    edit(artifact, lambda lock: lock["recipe"].update(folder="../../recipe"))
    return artifact


def edit(artifact: Path, change: Any) -> None:
    path = artifact / "asrpack.lock"
    lock = json.loads(path.read_bytes())
    change(lock)
    path.write_text(json.dumps(lock))


def test_in_a_fresh_cache_all_that_lasts_is_identical(workshop: Workshop, tmp_path: Path) -> None:
    artifact = workshop.artifact("cpu")
    before = sorted((path, path.stat().st_mtime_ns) for path in artifact.rglob("*"))
    identity = f"--identity={workshop.keys / 'acme.key'}"
    told = rebuilt(workshop, artifact, identity)
    found = states(told)
    assert list(found) == STAGES and not any(item["from_cache"] for item in told["stages"])
    assert {found[stage] for stage in LASTING} == {"identical"}
    assert {found[stage] for stage in ("evaluate", "encrypt", "render", "seal")} == {"fresh"}
    assert told["same"] and not told["sources"] and not told["tools"] and not told["keys"]
    assert not any(told["bundle"].values()) and told["tensors"]["compared"] > 100
    assert not told["tensors"]["changed"]
    # What is there is left alone.
    assert sorted((path, path.stat().st_mtime_ns) for path in artifact.rglob("*")) == before


def test_what_went_in_and_what_came_out_otherwise_is_named(workshop: Workshop, copy: Path) -> None:
    cached = f"--cache={workshop.cache}"
    told = rebuilt(workshop, copy, cached)
    assert told["same"] and all(item["from_cache"] for item in told["stages"])

    # Another tool with the same results is told, and no difference.
    def with_onnx(version: str) -> Any:
        tools = lambda lock: lock["stages"]["quantize"]["components"]["tools"]  # noqa: E731
        return lambda lock: tools(lock).update(onnx=version)

    edit(copy, with_onnx("1.0"))
    assert rebuilt(workshop, copy, cached)["same"]
    told = rebuilt(workshop, copy, "--dry-run", status=8)
    assert [item["path"] for item in told["tools"]] == ["onnx"] and told["stages"] == []
    edit(copy, with_onnx(told["tools"][0]["b"]))

    # Options that the first build did not have: other weights, and whatever they are in.
    exclude = 'builds.cpu.quantize.exclude=["*encoders.0.feed*"]'
    edit(copy, lambda lock: lock["recipe"]["overrides"].append(exclude))
    told = rebuilt(workshop, copy, cached, status=8)
    found = states(told)
    assert found["optimize"] == "identical" and found["encrypt"] == "differs"
    (quantize,) = [item for item in told["stages"] if item["stage"] == "quantize"]
    assert any("exclude changed" in cause for cause in quantize["cause"])
    assert [item["path"] for item in quantize["changes"]] == ["onnx/encoder.onnx"]
    assert all("encoders.0.feed" in item["name"] for item in quantize["tensors"]["changed"])

    # Another test set, and one that is gone.
    manifest = copy.parents[1] / "recipe" / "data" / "all.jsonl"
    lines = manifest.read_text(encoding="utf-8").splitlines(keepends=True)
    manifest.write_text("".join(lines[:-1]), encoding="utf-8")
    told = rebuilt(workshop, copy, "--dry-run", status=8)
    assert [item["path"] for item in told["sources"]] == ["test"]
    manifest.unlink()
    done = workshop.asrpack("rebuild", str(copy), status=3)
    assert "all.jsonl" in done.stderr
    shutil.rmtree(manifest.parents[1])
    done = workshop.asrpack("rebuild", str(copy), status=3)
    assert "--folder" in done.stderr
    folder = f"--folder={RECIPE.parent}"
    assert rebuilt(workshop, copy, folder, "--dry-run")["same"]


def test_a_rejected_candidate_is_rejected_again(workshop: Workshop, tmp_path: Path) -> None:
    shop = Workshop(tmp_path, workshop.cache)
    shutil.copytree(workshop.keys, shop.keys)
    shop.build("--build=cpu", "--set=gate.error_rate.max=0.0001", status=5)
    rejected = shop.artifact("cpu") / "rejected"
    told = rebuilt(shop, rejected, f"--cache={shop.cache}")
    assert told["same"] and told["bundle"] is None and list(states(told))[-1] == "gate"
    assert "rejected" in shop.asrpack("rebuild", str(shop.artifact("cpu")), status=3).stderr


def test_diff_of_two_artifacts(workshop: Workshop, tmp_path: Path) -> None:
    """Another customer's: another mark, other keys, other tensors."""
    shop = make_workshop(tmp_path, workshop.cache)
    shop.build("--build=cpu", "--set=protect.watermark.customer=other")
    artifacts = [str(item.artifact("cpu")) for item in (workshop, shop)]
    done = shop.asrpack("diff", *artifacts, "--json", "--exit-code", status=8)
    told = json.loads(done.stdout)
    assert told["recipe"] == told["sources"] == told["tools"] == []
    assert {item["path"] for item in told["stages"]} == {"watermark.customer"}
    keys = {item["path"].rpartition(".")[0] for item in told["keys"]}
    assert keys == {"", "recipient", "commitment.watermark", "commitment.seal"}
    assert "watermark.onnx" in {item["path"] for item in told["outputs"]}
    # The exported ones, without a key; those that ship, with both recipients'.
    assert told["tensors"]["compared"] > 100 and told["tensors"]["changed"] == []
    identities = [f"--identity={item.keys / 'acme.key'}" for item in (workshop, shop)]
    told = json.loads(shop.asrpack("diff", *artifacts, "--json", *identities).stdout)
    changed = told["tensors"]["changed"]
    assert changed and all(item["relative_l2"] < 0.2 for item in changed)
    # An artifact against a bundle: the bundles.
    bundle = f"{artifacts[1]}/bundle"
    mixed = json.loads(shop.asrpack("diff", artifacts[0], bundle, "--json").stdout)
    assert "watermark" in {item["path"] for item in mixed["metadata"]}


def test_a_built_bundles_documents_are_valid(bundle: Path) -> None:
    check_statement(json.loads((bundle / "provenance.intoto.json").read_bytes()))
    assert bill_faults(json.loads((bundle / "sbom.cdx.json").read_bytes())) is None
    bill = json.loads((bundle / "sbom.cdx.json").read_bytes())
    sets = [item for item in bill["components"] if item["type"] == "data"]
    assert len(sets) == 2 and all(item["licenses"] and item["hashes"] for item in sets)
