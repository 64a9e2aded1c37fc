"""The corpus, by group."""

from __future__ import annotations

from tests.hostile.case import Case
from tests.hostile.cases import (
    archives,
    ciphertext,
    json_text,
    licences,
    manifest,
    names,
    policy,
    signature,
    tree,
)

GROUPS: dict[str, list[Case]] = {
    "names": names.CASES,
    "tree": tree.CASES,
    "json": json_text.CASES,
    "signature": signature.CASES,
    "manifest": manifest.CASES,
    "policy": policy.CASES,
    "ciphertext": ciphertext.CASES,
    "licences": licences.CASES,
    "archives": archives.CASES,
}
