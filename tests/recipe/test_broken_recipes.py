"""What the user reads when a recipe is wrong: golden texts, one for each kind of fault."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from asrpack.cli import main

GOLDEN = Path(__file__).parent / "golden"


@dataclass(frozen=True)
class Broken:
    """A fault: texts of the sound recipe replaced, a whole other text, or overrides."""

    name: str
    edits: tuple[tuple[str, str], ...] = ()
    text: bytes | None = None
    overrides: tuple[str, ...] = ()


def edit(name: str, *edits: tuple[str, str]) -> Broken:
    return Broken(name, edits)


def whole(name: str, text: str | bytes) -> Broken:
    return Broken(name, text=text if isinstance(text, bytes) else text.encode())


def override(name: str, *texts: str) -> Broken:
    return Broken(name, overrides=texts)


BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{key}: &{key} [{', '.join([f'*{before}'] * 10)}]\n"
    for before, key in zip("abcdefg", "bcdefgh", strict=True)
)
PEM = f"key: -----BEGIN PRIVATE KEY-----\n{'tops3cretABC' * 5}\n-----END PRIVATE KEY-----\n"
CALIBRATION = '  calibration: {manifest: "${QUICKSTART}/data/calibration.jsonl"}\n'
SIGN = "sign: {key: {file: keys/vendor.pem}}"

SCHEMA_FAULTS = (
    edit("misspelt_key", ("precision: int8", "precison: int8")),
    edit("misspelt_top_key", ("model:", "modle:")),
    edit("unknown_key", ("name: digits", "name: digits\nauthor: acme")),
    edit("version_is_number", ('"1.0"', "2.30")),
    edit("other_schema", ("schema: 1", "schema: 2")),
    edit("schema_is_text", ("schema: 1", 'schema: "1"')),
    edit("unsupported_source", ("paddlespeech", "wenet")),
    edit("key_of_another_source", ("paddlespeech", "onnx, checkpoint: avg_1")),
    edit("two_front_ends", ("paddlespeech", "onnx, front_end: {waveform: {}, fbank: {}}")),
    edit(
        "model_is_a_scalar",
        ('{source: paddlespeech, path: "${QUICKSTART}/conformer_digits_cards"}', "conformer"),
    ),
    edit("unsupported_target", ("onnxruntime", "coreml")),
    edit("int8_on_a_gpu", ("target: onnxruntime", "target: tensorrt")),
    edit("options_of_another_target", ("precision: int8", "precision: int8, cuda: {tf32: false}")),
    edit("fallback_on_a_cpu", ("precision: int8", "precision: int8, fallback: cpu")),
    edit(
        "unknown_fallback",
        ("target: onnxruntime, precision: int8", "target: cuda, precision: fp16, fallback: gpu"),
    ),
    edit(
        "option_of_the_other_provider",
        ("onnxruntime, precision: int8", "cuda, precision: fp16, cuda: {engine_cache: true}"),
    ),
    edit(
        "cuda_options",
        (
            "onnxruntime, precision: int8",
            "cuda, precision: fp16, cuda: {device_id: -1, gpu_memory_limit: 1, "
            "cudnn_conv_algo_search: FAST, arena_extend_strategy: double, tf32: 1}",
        ),
    ),
    edit(
        "profile_descends",
        (
            "onnxruntime, precision: int8",
            "tensorrt, precision: fp16, tensorrt: {profile: {batch: {opt: 4}, seconds: {max: 3}}}",
        ),
    ),
    edit("unknown_precision", ("int8", "int2")),
    edit("missing_section", (SIGN, "")),
    edit("missing_keys", ("source: paddlespeech, ", "")),
    edit("no_builds", ("  cpu: {target: onnxruntime, precision: int8}\n", "  {}\n")),
    edit("bad_build_name", ("cpu:", "my.cpu:")),
    edit("bad_name", ("name: digits", "name: ../digits")),
    edit("name_too_long", ("name: digits", f"name: {'x' * 65}")),
    edit("duplicate_key", ("gate:", "name: again\ngate:")),
    edit("fraction_over_one", ("max: 0.08", "max: 8")),
    edit("negative_fraction", ("max: 0.08", "max_increase: -0.1")),
    edit("not_a_number", ("max: 0.08", "max: low")),
    edit("infinite", ("error_rate: {max: 0.08}", "speedup: {min: .inf}")),
    edit("gate_bounds_nothing", ("max: 0.08", "metric: wer")),
    edit(
        "quantize_without_int8", ("precision: int8", "precision: fp16, quantize: {exclude: [ctc]}")
    ),
    edit("auto_on_paddle", ("onnxruntime, precision: int8", "paddle_inference, precision: auto")),
    edit(
        "block_size_on_paddle",
        (
            "onnxruntime, precision: int8",
            "paddle_inference, precision: int8, quantize: {method: weight_only, block_size: 64}",
        ),
    ),
    edit("search_without_auto", ("precision: int8", "precision: int8, search: {seconds: 60}")),
    edit("auto_unbounded", ("precision: int8", "precision: auto")),
    edit(
        "auto_without_calibration",
        ("precision: int8", "precision: auto"),
        ("max: 0.08", "max_increase: 0.002"),
        ('  calibration: {manifest: "${QUICKSTART}/data/calibration.jsonl"}\n', ""),
    ),
    edit("int4_dynamic", ("precision: int8", "precision: int4, quantize: {method: dynamic}")),
    edit("block_size_dynamic", ("precision: int8", "precision: int8, quantize: {block_size: 64}")),
    edit(
        "block_size_odd",
        ("precision: int8", "precision: int8, quantize: {method: weight_only, block_size: 48}"),
    ),
    edit("size_bounds_nothing", ("error_rate: {max: 0.08}", "size: {}")),
    edit("memory_in_words", ("error_rate: {max: 0.08}", "memory: {max_bytes: 200 MB}")),
    edit(
        "observer_without_static",
        ("precision: int8", "precision: int8, quantize: {observer: hist}"),
    ),
    edit(
        "static_operators_of_dynamic",
        ("precision: int8", "precision: int8, quantize: {operators: [matmul, attention]}"),
    ),
    edit("cpu_of_dynamic", ("precision: int8", "precision: int8, quantize: {cpu: arm64}")),
    edit(
        "percentile_of_another_observer",
        (
            "precision: int8",
            "precision: int8, quantize: {method: static, observer: entropy, percentile: 99.9}",
        ),
    ),
    edit(
        "attention_by_paddleslim",
        (
            "precision: int8",
            "precision: int8, quantize: {method: static, observer: kl, operators: [attention]}",
        ),
    ),
    edit(
        "unknown_observer",
        ("precision: int8", "precision: int8, quantize: {method: static, observer: histogram}"),
    ),
    edit(
        "no_operators",
        ("precision: int8", "precision: int8, quantize: {method: static, operators: []}"),
    ),
    edit("smooth_over_one", ("precision: int8", "precision: int8, quantize: {smooth: 1.5}")),
    edit("chunk_of_nothing", ("gate:", "streaming: {chunk_size: 0}\ngate:")),
    edit("chunk_misspelt", ("gate:", "streaming: {chunksize: 16, left_chunks: -2}\ngate:")),
    edit("streaming_is_a_switch", ("gate:", "streaming: true\ngate:")),
    edit("streaming_without_value", ("gate:", "streaming:\ngate:")),
    edit("unknown_method", ("gate:", "decode: {method: ctc_beam}\ngate:")),
    edit("no_language_model", ("gate:", "decode: {method: ctc_beam_search}\ngate:")),
    edit("language_model_is_a_path", ("gate:", "decode: {language_model: a.arpa}\ngate:")),
    edit(
        "language_model_weights",
        (
            "gate:",
            "decode:\n  language_model: {alpha: -1, beta: high, cutoff_prob: 0, cutoff_top_n: 0}\n"
            "gate:",
        ),
    ),
    edit("reverse_weight_over_one", ("gate:", "decode: {reverse_weight: 1.5}\ngate:")),
    edit("reverse_weight_below_zero", ("gate:", "decode: {reverse_weight: -0.1}\ngate:")),
    edit("section_is_scalar", ("error_rate: {max: 0.08}", "error_rate: 0.08")),
    edit("list_is_scalar", ("recipients: [{file: keys/acme.pub}]", "recipients: keys/acme.pub")),
    edit("variable_not_set", ("QUICKSTART}/data/human", "NOT_SET_ANYWHERE}/data/human")),
    edit("placeholder_malformed", ("${QUICKSTART}/data/human.jsonl", "${QUICK START}/human.jsonl")),
    edit("placeholder_elsewhere", ("customer: acme", "customer: '${QUICKSTART}'")),
    edit(
        "placeholder_not_quoted", ('"${QUICKSTART}/data/human.jsonl"', "${QUICKSTART}/human.jsonl")
    ),
    edit("pem_in_recipe", ("key: {file: keys/vendor.pem}", PEM)),
    edit("no_value", ("  error_rate: {max: 0.08}\n", "  error_rate:\n")),
    edit("key_in_recipe", ("key: {file: keys/vendor.pem}", "key: tops3cret")),
    edit("key_under_unknown_name", ("key: {file: keys/vendor.pem}", "key: {value: tops3cret}")),
    edit("key_as_variable", ("key: {file: keys/vendor.pem}", "key: {env: 'tops3cret!'}")),
    edit("two_key_sources", ("{file: keys/vendor.pem}", "{file: keys/vendor.pem, env: KEY}")),
    edit("no_key_source", ("key: {file: keys/vendor.pem}", "key: {}")),
    edit("no_recipients", ("[{file: keys/acme.pub}]", "[]")),
    edit("empty_path", ("file: keys/acme.pub", "file: ''")),
    edit("watermark_too_strong", ("customer: acme", "customer: acme, strength: 0.9")),
    edit("bad_customer", ("customer: acme", "customer: acme/west")),
    edit("unclosed_bracket", ("precision: int8}", "precision: int8")),
    edit("tabs", ("  cpu:", "\tcpu:")),
    edit("yaml_1_1", ("schema: 1", "%YAML 1.1\n---\nschema: 1")),
    edit("yaml_tag", ('"1.0"', "!!python/object/apply:os.system [id]")),
    edit("complex_key", ("name: digits", "? [a, b]\n: digits")),
    edit("unknown_alias", ('"1.0"', "*nowhere")),
    edit("control_character", ("digits", "dig\x01its")),
    edit("half_a_surrogate", ("name: digits", 'name: "\\ud800"')),
    edit("huge_number", ("max: 0.08", f"max: {'9' * 500}")),
    whole("empty", ""),
    whole("comment_only", "# nothing yet\n"),
    whole("scalar", "schema\n"),
    whole("list", "- schema: 1\n- name: digits\n"),
    whole("two_documents", "schema: 1\n---\nschema: 1\n"),
    whole("not_utf8", b"schema: 1\nname: caf\xe9\n"),
    whole("too_large", b"#" * ((1 << 20) + 1)),
    whole("alias_bomb", BOMB),
    whole("deep_nesting", "a: " + "[" * 100_000),
    override("override_misspelt", "builds.cpu.precison=fp16"),
    override("override_unknown_build", "builds.gpu.precision=fp16"),
    override("override_without_value", "builds.cpu.precision"),
    override("override_wrong_value", "builds.cpu.precision=int2"),
    override("override_not_yaml", "gate.error_rate={max: 0.1"),
    override("override_below_value", "name.first=x"),
    override("override_no_such_item", "protect.encrypt.recipients.1.file=keys/b.pub"),
    override("override_key", "protect.sign.key=tops3cret"),
    override("override_key_deeper", "protect.sign.key.value=tops3cret"),
    Broken(
        "everything_at_once",
        (
            ("name: digits", "name: my digits"),
            ('"1.0"', "1.0"),
            ("precision: int8", "precison: int8"),
            ("max: 0.08", "max: 8, min: 2"),
            ("keys/vendor.mark", "'${NOT_SET_ANYWHERE}'"),
        ),
        overrides=("builds.cpu.target=coreml",),
    ),
)

NAMED_THINGS = (
    edit("model_missing", ("conformer_digits_cards", "no_such_model")),
    edit("model_is_a_file", ("conformer_digits_cards", "recipe.yaml")),
    edit("test_manifest_missing", ("data/human.jsonl", "data/hunam.jsonl")),
    edit("manifest_is_a_folder", ("data/human.jsonl", "data")),
    edit("same_speech_twice", ("data/calibration.jsonl", "data/all.jsonl")),
    edit(
        "language_model_missing",
        (
            "gate:",
            "decode: {method: ctc_beam_search, language_model: {path: lm/words.arpa}}\ngate:",
        ),
    ),
    edit(
        "language_model_is_a_folder",
        ("gate:", "decode: {language_model: {path: keys}}\ngate:"),
    ),
    edit(
        "no_language_model_to_evaluate",
        ("gate:", "evaluate: {methods: [ctc_greedy_search, ctc_beam_search]}\ngate:"),
    ),
    edit(
        "static_without_calibration",
        ("precision: int8", "precision: int8, quantize: {method: static}"),
        (CALIBRATION, ""),
    ),
    edit(
        "smooth_without_calibration",
        ("precision: int8", "precision: int8, quantize: {smooth: 0.5}"),
        (CALIBRATION, ""),
    ),
    edit(
        "paddleslim_without_network",
        ("paddlespeech", "onnx"),
        ("precision: int8", "precision: int8, quantize: {method: static, observer: kl}"),
    ),
    edit("no_right_decoder", ("gate:", "decode: {reverse_weight: 0.3}\ngate:")),
    edit("recipient_missing", ("keys/acme.pub", "keys/acne.pub")),
    edit("recipient_is_private", ("keys/acme.pub", "keys/acme.key")),
    edit("recipient_is_signing_key", ("keys/acme.pub", "keys/vendor.pub")),
    edit("recipient_twice", ("[{", "[{file: keys/acme.pub}, {")),
    edit("signing_key_missing", ("keys/vendor.pem", "keys/vendor.key")),
    edit("key_variable_not_set", ("{file: keys/vendor.pem}", "{env: NOT_SET_ANYWHERE}")),
    edit("key_command_missing", ("{file: keys/vendor.pem}", "{command: no-such-tool --key a}")),
    edit("key_command_quotes", ("{file: keys/vendor.pem}", """{command: "cat 'keys"}""")),
)


def check(broken: Broken, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, str]:
    path = Path("recipe.yaml")
    text = path.read_text(encoding="utf-8")
    for old, new in broken.edits:
        assert old in text, f"the sound recipe has no {old!r}"
        text = text.replace(old, new, 1)
    path.write_bytes(text.encode() if broken.text is None else broken.text)
    sets = [word for text in broken.overrides for word in ("--set", text)]
    code = main(["check", "recipe.yaml", *sets, *options])
    captured = capsys.readouterr()
    return code, captured.out if "--json" in options else captured.err


@pytest.mark.parametrize("broken", SCHEMA_FAULTS + NAMED_THINGS, ids=lambda broken: broken.name)
def test_message(
    broken: Broken,
    sound: Path,
    quickstart: Path,
    golden: Callable[[Path, str], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, message = check(broken, capsys)
    assert code == 3
    assert "Traceback" not in message and "internal error" not in message
    assert "remedy: " in message
    assert "tops3cret" not in message
    shown = message.replace(str(quickstart), "<quickstart>").replace(str(sound), "<here>")
    golden(GOLDEN / f"{broken.name}.txt", shown)


@pytest.mark.parametrize("broken", SCHEMA_FAULTS + NAMED_THINGS, ids=lambda broken: broken.name)
def test_json(broken: Broken, sound: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = check(broken, capsys, "--json")
    answer = json.loads(text)
    assert code == 3 and not answer["ok"]
    assert "tops3cret" not in text
    for finding in answer["findings"]:
        assert finding["code"] and finding["path"] and finding["message"] and finding["remedy"]


def test_sound_recipe_passes(sound: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "recipe.yaml"]) == 0
    captured = capsys.readouterr()
    assert captured.out.count("\n") == 1 and "5 test and 60 calibration" in captured.out
    assert main(["check", "recipe.yaml", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["builds"] == {"cpu": "int8"}


def test_recipe_file_missing_or_unreadable(sound: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "recipes.yaml"]) == 3
    assert main(["check", "keys"]) == 3
    if os.geteuid() != 0:
        Path("recipe.yaml").chmod(0)
        assert main(["check", "recipe.yaml"]) == 3
    assert capsys.readouterr().err.count("remedy: ") >= 2
