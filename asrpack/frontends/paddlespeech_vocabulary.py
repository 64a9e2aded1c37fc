"""Reads the units of a PaddleSpeech model, after ``s2t/frontend/utility.py`` 1.5.0."""

from __future__ import annotations

from asrpack.bundle.model import UNIT_TYPES
from asrpack.errors import InputError
from asrpack.frontends.paddlespeech_config import Document, kind, read_text

BLANK = "<blank>"
EOS = "<eos>"


def read_unit_type(config: Document) -> str:
    """How units make a text: characters, words, or pieces of sentencepiece.

    Its ``.model`` file is for training: pieces carry all that joining them needs.

    Raises:
        InputError: of no kind that PaddleSpeech has.
    """
    unit_type = config.values.get("unit_type")
    if unit_type not in UNIT_TYPES:
        raise config.error(
            ("unit_type",),
            f"unit_type is {unit_type!r}; PaddleSpeech has {', '.join(UNIT_TYPES)}",
            code="unsupported-units",
            remedy="set it to what the model was trained with",
        )
    return str(unit_type)


def read_vocabulary(config: Document, output_dim: int) -> tuple[str, ...]:
    """The unit of every output of the network.

    Args:
        config: ``model.yaml``; ``vocab_filepath`` names a file beside it or is the list itself.
        output_dim: outputs of the network.

    Raises:
        InputError: missing, unreadable, empty, of another size than ``output_dim``, not starting
            with ``<blank>`` or not ending with ``<eos>``.
    """
    value = config.values.get("vocab_filepath")
    if isinstance(value, str) and value:
        path = config.path.parent / value
        tokens, place = _file(read_text(path, "vocabulary")), str(path)
    elif isinstance(value, list) and all(isinstance(token, str) for token in value):
        tokens, place = value, config.place(("vocab_filepath",))
    elif isinstance(value, list):
        odd = next(index for index, token in enumerate(value) if not isinstance(token, str))
        raise config.error(
            ("vocab_filepath", odd),
            f"unit {odd} of the vocabulary is {kind(value[odd])}: {value[odd]!r}",
            code="vocabulary-malformed",
            remedy="put the unit in quotation marks",
        )
    else:
        raise config.error(
            ("vocab_filepath",),
            f"vocab_filepath is {kind(value)}, neither a path nor a list of units",
            code="vocabulary-missing",
            remedy="give the path of the vocabulary that the model was trained with",
        )
    _check(tokens, output_dim, place)
    return tuple(tokens)


def _file(text: str) -> list[str]:
    """One unit a line, or ``unit id``; the special units are added where they are missing."""
    if not text.strip():
        return []
    # Not splitlines: a unit may well be a character that Unicode counts as a line end.
    tokens = [line.split(" ")[0] for line in text.removesuffix("\n").split("\n")]
    if BLANK not in tokens:
        tokens.insert(0, BLANK)
    if EOS not in tokens:
        tokens.append(EOS)
    return tokens


def _check(tokens: list[str], output_dim: int, place: str) -> None:
    if not tokens:
        raise InputError(
            "the vocabulary is empty",
            code="vocabulary-empty",
            place=place,
            remedy="copy the vocabulary from the model's archive again",
        )
    if len(tokens) != output_dim:
        raise InputError(
            f"the vocabulary has {len(tokens)} units, but the network has output_dim {output_dim}",
            code="vocabulary-size",
            place=place,
            remedy="give the vocabulary that this model was trained with",
        )
    # The network is built on these two positions: CTC blanks are 0, hypotheses end with the last.
    for position, token in ((0, BLANK), (-1, EOS)):
        if tokens[position] != token:
            raise InputError(
                f"the {'first' if position == 0 else 'last'} unit of the vocabulary is "
                f"{tokens[position]!r}, not {token!r}",
                code="vocabulary-order",
                place=place,
                remedy="give the vocabulary that this model was trained with, in its order",
            )
