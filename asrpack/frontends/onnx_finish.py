"""The last steps of reading any CTC graph: units, a trial run, the description."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from asrpack.bundle.model import (
    Cmvn,
    DecodeDefaults,
    FbankSpec,
    FrontEndSpec,
    ModelDescription,
)
from asrpack.errors import InputError
from asrpack.frontends.onnx_file import OnnxFile, open_original, parameters
from asrpack.frontends.onnx_imported import Imported
from asrpack.frontends.onnx_tokens import (
    find_blank,
    find_silent,
    find_tokens,
    read_tokens,
    unit_type,
)
from asrpack.frontends.onnx_trial import try_graph
from asrpack.networks.foreign import ForeignEncoder
from asrpack.recipe.model_source import OnnxDetails, OnnxModel

# WeNet's name of the unit that starts and ends every hypothesis of its decoder.
_ENDS = ("<sos/eos>", "<eos>", "</s>")


def finish(
    family: str,
    graph: OnnxFile,
    front_end: FrontEndSpec,
    cmvn: Cmvn | None,
    encoder: ForeignEncoder,
    model: OnnxModel,
    reason: str,
    *,
    decoder_size: int | None = None,
    files: Mapping[str, OnnxFile] | None = None,
    session: Any = None,
    blank: int | None = None,
) -> Imported:
    """Runs the graph for what it does not say, and describes the model.

    Args:
        graph: of the encoder.
        encoder: without axes and kind of the scores.
        model: as the recipe has it.
        reason: what the model was recognised by.
        decoder_size: width of the encoder's output, where a decoder takes it.
        files: the model's other graphs, by role.
        blank: its id, where no unit has a name that tells.
        session: what runs the encoder, where that is not the graph's file alone.

    Raises:
        InputError: the units do not fit, or the graph does not run or is not what is said of it.
    """
    details = model.details()
    units_file = find_tokens(model.path, model.tokens)
    tokens = read_tokens(units_file)
    if blank is None or details.blank is not None:
        blank = find_blank(tokens, details.blank, units_file)
    alone = session is None
    session = open_original(graph.path) if alone else session
    found = try_graph(
        session,
        encoder,
        front_end,
        cmvn,
        len(tokens),
        str(graph.path),
    )
    encoder = found.encoder
    if details.scores is not None and details.scores != encoder.kind:
        raise InputError(
            f"the recipe says that the scores are {details.scores}, and they are {encoder.kind}",
            code="onnx-interface",
            place=str(graph.path),
            remedy=f"set `scores: {encoder.kind}`, or take the key out",
        )
    others = dict(files or {})
    # CTC alone has no end: a blank is in no hypothesis, so none ends at it.
    end = next((tokens.index(name) for name in _ENDS if name in tokens), blank)
    has_decoder = decoder_size is not None
    description = ModelDescription(
        family=family,
        front_end=front_end,
        cmvn=cmvn,
        tokens=find_silent(tokens, details.silent, units_file),
        graphs=("encoder", "decoder") if has_decoder else ("encoder",),
        subsampling=found.subsampling,
        right_context=found.right_context,
        max_frames=_max_frames(details, front_end, found.subsampling),
        unit_type=unit_type(tokens, details.unit_type),
        decode=DecodeDefaults(method="attention_rescoring" if has_decoder else "ctc_greedy_search"),
        blank_id=blank,
        sos_id=end,
        eos_id=end,
        network={
            "encoder": encoder.to_dict(),
            "original": graph.path.name if alone else None,
            "half": graph.is_half,
            "ports": [[item.name, item.type, list(item.shape)] for item in session.get_inputs()],
            "encoder_size": decoder_size,
        },
    )
    graphs = {"encoder": graph, **others}
    read = [path for item in graphs.values() for path in (item.path, *item.external)]
    return Imported(
        description,
        encoder,
        {role: item.path for role, item in graphs.items()},
        (*read, units_file),
        sum(parameters(item.model) for item in graphs.values()),
        reason,
    )


def _max_frames(details: OnnxDetails, front_end: FrontEndSpec, subsampling: int) -> int | None:
    """The longest output, from the longest recording."""
    if details.max_seconds is None:
        return None
    steps = details.max_seconds * front_end.sample_rate
    if isinstance(front_end, FbankSpec):
        steps = details.max_seconds * 1000 / front_end.frame_shift_ms / front_end.stack_shift
    return max(1, int(np.ceil(steps / subsampling)))
