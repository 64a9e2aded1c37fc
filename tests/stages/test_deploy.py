"""What deploys a bundle, by the tools that will read it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from ruamel.yaml import YAML

from asrpack.report.deployment import deployment
from tests.conftest import Measured
from tests.runtime import tiny
from tests.stages.rendered import render_tree

# Of systemd's scale from 0 (safe) to 10; it calls 2 to 4 OK.
MOST_EXPOSED = 2.0


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render_tree(tmp_path_factory.mktemp("deploy"), tiny.describe())


def documents(path: Path) -> list[dict[str, Any]]:
    # Kubernetes reads YAML 1.1: 0440 is octal.
    yaml = YAML(typ="safe", pure=True)
    yaml.version = (1, 1)
    return list(yaml.load_all(path.read_text(encoding="utf-8")))


def test_the_manifests_are_valid(tree: Path) -> None:
    found = documents(tree / "deploy/kubernetes.yaml")
    assert [item["kind"] for item in found] == ["Deployment", "Service", "NetworkPolicy"]
    for item in found:
        kubernetes_validate.validate(item, "1.30", strict=True)
    pod = found[0]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert {"startupProbe", "readinessProbe", "livenessProbe"} <= set(container)
    assert set(container["resources"]["limits"]) == {"cpu", "memory"}
    mounted = {item["name"]: item["mountPath"] for item in container["volumeMounts"]}
    given = {item["name"]: item for item in pod["volumes"]}
    assert set(mounted) == set(given)
    assert given["keys"]["secret"]["defaultMode"] == 0o440
    assert found[2]["spec"]["egress"] == []


def test_the_places_in_them_are_the_images(tree: Path) -> None:
    image = (tree / "Dockerfile").read_text()
    pod = documents(tree / "deploy/kubernetes.yaml")[0]["spec"]["template"]["spec"]
    paths = {item["mountPath"] for item in pod["containers"][0]["volumeMounts"]} - {"/tmp"}
    assert paths == {"/run/secrets", "/run/licences", "/var/lib/asrpack"}
    assert all(f"={path}" in image for path in paths)
    assert f"USER {pod['securityContext']['runAsUser']}:" in image


def test_the_compose_file_is_valid(tree: Path) -> None:
    if shutil.which("docker-compose") is None:
        pytest.skip("docker-compose is not installed")

    def config(**more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["docker-compose", "--file", str(tree / "compose.yaml"), "config"],
            env=os.environ | more,
            capture_output=True,
            text=True,
        )

    done = config(KEYS="/etc/keys")
    assert done.returncode == 0, done.stderr
    service = YAML(typ="safe").load(done.stdout)["services"]["asr"]
    assert service["read_only"] and service["cap_drop"] == ["ALL"]
    assert any("/etc/keys/identity.key" in item for item in service["volumes"])
    refused = config()
    assert refused.returncode != 0 and "set KEYS" in refused.stderr


@pytest.fixture
def analyze(tree: Path, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """``systemd-analyze`` on the unit under its own name, on a host where it is installed."""
    if shutil.which("systemd-analyze") is None or os.geteuid() != 0:
        pytest.skip("systemd-analyze is not installed, or this is not root")
    unit = tmp_path / "tiny.service"
    shutil.copyfile(tree / "deploy/asrpack.service", unit)

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        # In a mount namespace of its own, so that the real /opt stays as it is.
        shell = (
            "mount -t tmpfs none /opt && mkdir -p /opt/tiny/venv/bin && "
            'ln -s /bin/true /opt/tiny/venv/bin/python3 && exec "$@"'
        )
        command = ["unshare", "--mount", "sh", "-c", shell, "sh", "systemd-analyze", *words]
        return subprocess.run([*command, str(unit)], capture_output=True, text=True)

    yield run


def test_the_unit_is_valid_and_hardened(
    analyze: Callable[..., subprocess.CompletedProcess[str]], measured: Measured
) -> None:
    done = analyze("verify", "--man=no")
    # It exits 0 on keys that it does not know, and says so. Of other units, on this host, too.
    assert done.returncode == 0 and "tiny" not in done.stderr, done.stderr
    score = analyze("security", "--offline=true", "--no-pager").stdout.splitlines()[-1]
    measured(f"systemd-analyze security: {score.lstrip('→ ')}")
    exposure = float(score.rpartition(": ")[2].split()[0])
    assert exposure <= MOST_EXPOSED


@pytest.mark.parametrize(
    ("name", "version", "slug", "image"),
    [
        ("digits-cards", "1.0.0", "digits-cards", "digits-cards:1.0.0"),
        ("Bank_A.zh+2", "2.0+a", "bank-a-zh-2", "bank-a-zh-2:2.0-a"),
        ("16k", "1", "asr-16k", "asr-16k:1"),
        ("a" * 64, "1", "a" * 50, "a" * 64 + ":1"),
    ],
)
def test_any_recipes_name_makes_names_that_are_allowed(
    name: str, version: str, slug: str, image: str
) -> None:
    found = deployment(name, version, 1)
    assert (found["slug"], found["image"]) == (slug, image)


def test_a_larger_model_gets_more_memory() -> None:
    small, large = (deployment("a", "1", size)["memory_mib"] for size in (5 << 20, 600 << 20))
    assert (small, large) == (2304, 2048 + 2560)
