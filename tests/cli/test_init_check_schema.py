"""``init`` writes a recipe that ``check`` takes; nothing is overwritten by surprise."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from asrpack.cli import main
from asrpack.recipe.json_schema import schema_text
from asrpack.recipe.load import load_recipe

Output = pytest.CaptureFixture[str]
MODEL = "conformer_digits_cards"
TRAINED = Path(__file__).parents[2] / "recipes/models"
WEIGHTS = "exp/conformer/checkpoints/avg_1.pdparams"


@pytest.fixture
def model(tmp_path: Path, quickstart: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of a model in the current folder, without any data next to it."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(quickstart / MODEL, tmp_path / "model")
    return tmp_path / "model"


def test_a_written_recipe_lacks_only_what_the_user_must_supply(model: Path, capsys: Output) -> None:
    assert main(["init", "model"]) == 0
    said = capsys.readouterr().out
    assert "conformer encoder" in said and "2.4 million parameters" in said
    assert "can stream" in said
    text = Path("recipe.yaml").read_text(encoding="utf-8")
    assert text.startswith("# yaml-language-server: $schema=recipe.schema.json\n")
    assert Path("recipe.schema.json").read_text(encoding="utf-8") == schema_text()
    recipe = load_recipe(Path("recipe.yaml")).recipe
    assert recipe.name == "model" and recipe.model.path == model

    assert main(["check", "recipe.yaml"]) == 3
    errors = [line for line in capsys.readouterr().err.splitlines() if "recipe.yaml:" in line]
    assert len(errors) == 5 and all("does not exist" in line for line in errors)


def test_the_commands_in_the_comments_make_the_keys(
    model: Path, quickstart: Path, capsys: Output
) -> None:
    shutil.copytree(quickstart / "data", "data")
    Path("work").mkdir()
    assert main(["init", "model", "-o", "work/digits.yaml"]) == 0
    commands = [
        line.partition("# asrpack ")[2].split()
        for line in Path("work/digits.yaml").read_text(encoding="utf-8").splitlines()
        if "# asrpack keys generate" in line
    ]
    assert len(commands) == 3
    for command in commands:
        assert main(command) == 0
    capsys.readouterr()
    assert main(["check", "work/digits.yaml"]) == 0, capsys.readouterr().err
    assert "100 test and 60 calibration" in capsys.readouterr().out


def test_commented_options_are_real_ones(model: Path) -> None:
    """Every option that the recipe shows in a comment is taken when the comment is lifted."""
    main(["init", "model"])
    text = Path("recipe.yaml").read_text(encoding="utf-8")
    # Prose has one space after its hash, an option none (or two, below another one).
    lifted, count = re.subn(r"^( *)#(?=\w|  \w)", r"\1", text, flags=re.MULTILINE)
    assert count == 10
    Path("recipe.yaml").write_text(lifted, encoding="utf-8")
    recipe = load_recipe(Path("recipe.yaml")).recipe
    assert recipe.evaluate.oracle == "paddlespeech" and recipe.evaluate.methods
    assert recipe.decode.beam_size == 10
    assert recipe.streaming and (recipe.streaming.chunk_size, recipe.streaming.left_chunks) == (
        16,
        -1,
    )
    assert recipe.gate.size and recipe.gate.speedup and recipe.gate.deletions
    assert recipe.gate.memory and recipe.gate.cold_start


@pytest.mark.parametrize(
    ("simulate_streaming", "mark"), [("true", ""), ("false", "#")], ids=["streamed", "whole"]
)
def test_streaming_is_on_where_paddlespeech_streams(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, simulate_streaming: str, mark: str
) -> None:
    """PaddleSpeech's command line decodes chunk by chunk where `simulate_streaming` says so."""
    monkeypatch.chdir(tmp_path)
    model = Path(shutil.copytree(TRAINED / "conformer_u2pp_digits_cards", tmp_path / "model"))
    config = model / "model.yaml"
    text = config.read_text(encoding="utf-8")
    assert text.count("simulate_streaming: false") == 1
    text = text.replace("simulate_streaming: false", f"simulate_streaming: {simulate_streaming}")
    config.write_text(text, encoding="utf-8")
    assert main(["init", "model"]) == 0
    recipe = Path("recipe.yaml").read_text(encoding="utf-8")
    assert f"\n{mark}streaming: {{chunk_size: 16, left_chunks: -1}}\n" in recipe
    streaming = load_recipe(Path("recipe.yaml")).recipe.streaming
    assert (streaming is None) == bool(mark)
    assert not streaming or (streaming.chunk_size, streaming.left_chunks) == (16, -1)


def test_the_quickstarts_streaming_is_left_to_the_user(model: Path) -> None:
    assert main(["init", "model"]) == 0
    assert "\n#streaming: {chunk_size: 16" in Path("recipe.yaml").read_text(encoding="utf-8")
    assert load_recipe(Path("recipe.yaml")).recipe.streaming is None


@pytest.mark.parametrize("decode", ["[attention]", "fast"])
def test_a_decode_section_that_is_none(model: Path, decode: str, capsys: Output) -> None:
    config = model / "model.yaml"
    head = config.read_text(encoding="utf-8").partition("\ndecode:")[0]
    config.write_text(f"{head}\ndecode: {decode}\n", encoding="utf-8")
    assert main(["init", "model"]) == 3
    errors = capsys.readouterr().err
    assert "model.yaml:" in errors and "not a mapping" in errors and "internal" not in errors


@pytest.mark.parametrize(
    ("field", "cause"),
    [("use_dynamic_chunk: true", "use_dynamic_chunk"), ("causal: true", "ahead")],
)
def test_a_model_that_cannot_stream(model: Path, field: str, cause: str, capsys: Output) -> None:
    """``init`` does not offer it, and ``check`` says why it cannot be had."""
    config = model / "model.yaml"
    text = config.read_text(encoding="utf-8")
    line = 1 + text[: text.index(field)].count("\n")
    config.write_text(text.replace(field, field.replace("true", "false")), encoding="utf-8")
    assert main(["init", "model"]) == 0
    assert "can stream" not in capsys.readouterr().out
    recipe = Path("recipe.yaml")
    assert "streaming" not in recipe.read_text(encoding="utf-8")
    with recipe.open("a", encoding="utf-8") as stream:
        stream.write("streaming: {}\n")
    assert main(["check", "recipe.yaml"]) == 3
    errors = capsys.readouterr().err
    assert f"model.yaml:{line}:" in errors and cause in errors
    assert "take `streaming` out of the recipe" in errors


def test_nothing_is_replaced_without_force(model: Path, capsys: Output) -> None:
    Path("recipe.yaml").write_text("mine\n", encoding="utf-8")
    Path("recipe.schema.json").write_text("mine\n", encoding="utf-8")
    assert main(["init", "model"]) == 3
    assert "--force" in capsys.readouterr().err
    assert main(["init", "model", "-o", "other.yaml"]) == 0
    for name in ("recipe.yaml", "recipe.schema.json"):
        assert Path(name).read_text(encoding="utf-8") == "mine\n"
    assert main(["init", "model", "--force"]) == 0
    for name in ("recipe.yaml", "recipe.schema.json"):
        assert Path(name).read_text(encoding="utf-8") != "mine\n"
    assert not list(Path().glob(".*.part"))


def test_printing_leaves_no_file(model: Path, capsys: Output) -> None:
    assert main(["init", "model", "-o", "-"]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("# yaml-language-server") and "conformer" in printed.err
    assert sorted(path.name for path in Path().iterdir()) == ["model"]


def test_a_folder_that_is_not_there(model: Path, capsys: Output) -> None:
    assert main(["init", "model", "-o", "no/such/recipe.yaml"]) == 3
    assert "remedy" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["null", "2024", "a b: c", "-#", "größe", 'quo"te', "{x}"])
def test_awkward_directory_names(model: Path, name: str) -> None:
    model.rename(model.parent / name)
    assert main(["init", str(model.parent / name)]) == 0
    assert load_recipe(Path("recipe.yaml")).recipe.model.path == model.parent / name


def test_several_checkpoints(model: Path, capsys: Output) -> None:
    shutil.copy(model / WEIGHTS, model / "exp/conformer/checkpoints/avg_2.pdparams")
    assert main(["init", "model"]) == 3
    assert "--checkpoint" in capsys.readouterr().err
    assert main(["init", "model", "--checkpoint", "avg_2"]) == 0
    assert load_recipe(Path("recipe.yaml")).recipe.model.checkpoint == "avg_2"


@pytest.mark.parametrize(
    ("broken", "cause"),
    [
        ("model.yaml", "there is no model.yaml"),
        (WEIGHTS, "no weights"),
        ("data/lang_char/vocab.txt", "vocab"),
    ],
)
@pytest.mark.parametrize("verb", ["init", "check"])
def test_broken_model_directories(
    model: Path, broken: str, cause: str, verb: str, capsys: Output
) -> None:
    main(["init", "model"])
    (model / broken).unlink()
    capsys.readouterr()
    assert main(["init", "model", "--force"] if verb == "init" else ["check", "recipe.yaml"]) == 3
    said = capsys.readouterr().err
    assert cause in said and "remedy" in said and "Traceback" not in said


def test_empty_weights_are_found_by_check(model: Path, capsys: Output) -> None:
    main(["init", "model"])
    (model / WEIGHTS).write_bytes(b"")
    capsys.readouterr()
    assert main(["check", "recipe.yaml"]) == 3
    assert "avg_1.pdparams" in capsys.readouterr().err
