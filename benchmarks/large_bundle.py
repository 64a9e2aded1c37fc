"""A bundle of a model of any size: matrix products with random weights, encrypted and signed."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import asrpack
from asrpack.bundle.keys import Key, recipient_private, recipient_public
from asrpack.bundle.metadata import BundleMetadata, ModelSummary
from asrpack.bundle.model import DecodeDefaults, FbankSpec, ModelDescription
from asrpack.protect.encrypt import encrypt_files
from asrpack.protect.keys import generate, write_key_pair
from asrpack.protect.sign import sign_tree

WIDTH, BINS, UNITS = 4096, 80, 32
LAYER_BYTES = WIDTH * WIDTH * 4


@dataclass(frozen=True)
class LargeBundle:
    """A bundle and its keys.

    Attributes:
        plaintext: bytes of the encoder's graph.
    """

    path: Path
    identity_file: Path
    trust_file: Path
    plaintext: int

    @property
    def identity(self) -> Key:
        """The recipient's private key."""
        return recipient_private(self.identity_file.read_bytes(), str(self.identity_file))

    @property
    def trust(self) -> list[bytes]:
        """The vendor's public key."""
        return [self.trust_file.read_bytes()]


def make_large_bundle(folder: Path, size: int) -> LargeBundle:
    """Writes one with an encoder of about ``size`` bytes in fp32, at least 67 MB, into a folder."""
    graph = folder / "encoder.onnx"
    _write_graph(graph, max(1, round(size / LAYER_BYTES)))
    vendor, _ = write_key_pair(generate("signing"), folder / "vendor.pem")
    write_key_pair(generate("recipient"), folder / "customer.key")
    bundle = folder / "bundle"
    (bundle / "model").mkdir(parents=True)
    description = ModelDescription(
        family="benchmark",
        front_end=FbankSpec(num_mel_bins=BINS),
        cmvn=None,
        tokens=tuple(f"unit{number}" for number in range(UNITS)),
        graphs=("encoder",),
        subsampling=1,
        right_context=0,
        max_frames=None,
        decode=DecodeDefaults(method="ctc_greedy_search"),
    )
    envelope = encrypt_files(
        {"encoder.onnx": graph, "model.json": description.to_json().encode()},
        [recipient_public((folder / "customer.pub").read_bytes(), "customer.pub")],
        vendor.public_bytes,
        bundle / "model",
    )
    plaintext = graph.stat().st_size
    graph.unlink()
    metadata = BundleMetadata(
        bundle_id=envelope.header.bundle_id,
        name="large",
        version="1.0.0",
        build="cpu",
        asrpack=asrpack.__version__,
        created="2026-01-31T12:00:00Z",
        target="onnxruntime",
        precision="fp32",
        model=ModelSummary("benchmark", 16000, UNITS, "ctc_greedy_search"),
        files={
            part.name: "encoder"
            for item in envelope.header.files
            for part in item.parts(envelope.header.bundle_id)
        },
        watermark=None,
        minimum_runtime="0.1.0",
        recipients=tuple(item.kid for item in envelope.recipients),
        sequence=1,
    )
    (bundle / "asrpack.json").write_bytes(metadata.to_json())
    sign_tree(bundle, vendor, "large-1.0.0-cpu")
    return LargeBundle(bundle, folder / "customer.key", folder / "vendor.pub", plaintext)


def _write_graph(path: Path, layers: int) -> None:
    random = np.random.default_rng(0)
    widths = [BINS, *[WIDTH] * (layers + 1), UNITS]
    weights, nodes = [], []
    for number, (rows, columns) in enumerate(itertools.pairwise(widths)):
        values = (random.random((rows, columns), np.float32) - 0.5) / rows**0.5
        weights.append(numpy_helper.from_array(values, f"weight{number}"))
        inputs = [f"x{number}" if number else "feats", f"weight{number}"]
        nodes.append(helper.make_node("MatMul", inputs, [f"x{number + 1}"]))
    nodes.append(
        helper.make_node("LogSoftmax", [f"x{len(widths) - 1}"], ["ctc_log_probs"], axis=-1)
    )
    graph = helper.make_graph(
        nodes,
        "encoder",
        [
            helper.make_tensor_value_info("feats", TensorProto.FLOAT, ["B", "T", BINS]),
            helper.make_tensor_value_info("feat_lens", TensorProto.INT64, ["B"]),
        ],
        [helper.make_tensor_value_info("ctc_log_probs", TensorProto.FLOAT, ["B", "T", UNITS])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
