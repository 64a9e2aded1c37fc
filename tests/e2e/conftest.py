"""The quickstart recipe, really built with the command line, once a session."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

# By which the quickstart model can be decoded.
METHODS = ["ctc_greedy_search", "ctc_prefix_beam_search", "attention", "attention_rescoring"]
RECIPE = Path(__file__).parents[2] / "recipes" / "quickstart" / "recipe.yaml"


@dataclass(frozen=True)
class Workshop:
    """Keys, a cache and an output folder; runs ``asrpack`` as a user does."""

    folder: Path
    cache: Path

    @property
    def keys(self) -> Path:
        return self.folder / "keys"

    @property
    def out(self) -> Path:
        return self.folder / "artifacts"

    def artifact(self, build: str) -> Path:
        return self.out / f"digits-cards-1.0.0-{build}"

    def overrides(self) -> list[str]:
        """The quickstart recipe with this workshop's keys."""
        return [
            f"--set=protect.watermark.key.file={self.keys}/vendor.mark",
            f"--set=protect.encrypt.recipients.0.file={self.keys}/acme.pub",
            f"--set=protect.sign.key.file={self.keys}/vendor.pem",
        ]

    def build_command(self, *more: str, recipe: Path = RECIPE) -> list[str]:
        command = [sys.executable, "-m", "asrpack", "build", str(recipe), "--json"]
        return [*command, f"--out={self.out}", *self.overrides(), *more]

    def environment(self) -> dict[str, str]:
        return os.environ | {"ASRPACK_CACHE": str(self.cache)}

    def asrpack(self, *arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
        return self.execute([sys.executable, "-m", "asrpack", *arguments], **more)

    def build(self, *more: str, **options: Any) -> subprocess.CompletedProcess[str]:
        return self.execute(self.build_command(*more), **options)

    def execute(self, command: Sequence[str], status: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(command, env=self.environment(), capture_output=True, text=True)
        assert done.returncode == status, f"{command}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done

    def read(self, build: str, name: str) -> Any:
        return json.loads((self.artifact(build) / name).read_bytes())


def make_workshop(folder: Path, cache: Path) -> Workshop:
    shop = Workshop(folder, cache)
    shop.keys.mkdir(parents=True)
    shop.asrpack("keys", "generate", "signing", "-o", str(shop.keys / "vendor.pem"))
    shop.asrpack("keys", "generate", "watermark", "-o", str(shop.keys / "vendor.mark"))
    shop.asrpack("keys", "generate", "recipient", "-o", str(shop.keys / "acme.key"))
    shop.asrpack("keys", "generate", "recipient", "-o", str(shop.keys / "other.key"))
    return shop


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """The int8 build, marked, sealed, with its own cache."""
    folder = tmp_path_factory.mktemp("workshop")
    shop = make_workshop(folder, folder / "cache")
    shop.build("--build=cpu")
    return shop


@pytest.fixture(scope="session")
def bundle(workshop: Workshop) -> Path:
    return workshop.artifact("cpu") / "bundle"
