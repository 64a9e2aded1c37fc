"""Names and limits in what deploys a bundle: compose file, unit, manifests."""

from __future__ import annotations

import re
from collections.abc import Mapping

_MIB = 1 << 20
# What a request's upload may take, which lies in memory, and the runtime with its buffers.
_UPLOADS = 1024
_RUNTIME = 1024
_STEP = 256
# Copies of the weights at the height of loading: ciphertext, plain, the session's own.
_COPIES = 4


def deployment(name: str, version: str, model_bytes: int) -> Mapping[str, str | int]:
    """``slug``, ``image``, ``uploads_mib`` and ``memory_mib``.

    Args:
        name, version: the bundle's, as the recipe has them.
        model_bytes: of the graphs that ship.
    """
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    if not slug[:1].isalpha():  # a Kubernetes service's name starts with a letter
        slug = f"asr-{slug}".rstrip("-")
    steps = -(-_COPIES * model_bytes // (_STEP * _MIB))
    return {
        "slug": slug[:50].rstrip("-"),  # and takes 63, a suffix of ours among them
        "image": f"{slug}:{version.replace('+', '-')}",
        "uploads_mib": _UPLOADS,
        "memory_mib": _UPLOADS + _RUNTIME + steps * _STEP,
    }
