"""asrpack verify and inspect: what they print and their exit codes."""

from __future__ import annotations

import json

import pytest

from asrpack.cli import main
from tests.hostile.bundles import SealedBundle

Capture = pytest.CaptureFixture[str]


def test_verify(sealed_bundle: SealedBundle, capsys: Capture) -> None:
    bundle, trust = str(sealed_bundle.path), str(sealed_bundle.folder / "vendor.pub")
    assert main(["verify", bundle, "--trust", trust, "--json"]) == 0
    captured = capsys.readouterr()
    told = json.loads(captured.out)
    (signature,) = told.pop("signatures")
    assert told == {"ok": True, "findings": [], "trust": [trust]}
    assert (signature["path"], signature["role"]) == ("model.sig", "signer")
    assert captured.err == ""
    (sealed_bundle.path / "extra").write_text("x")
    assert main(["verify", bundle, "--trust", trust, "--json"]) == 6
    (finding,) = json.loads(capsys.readouterr().out)["findings"]
    assert set(finding) == {"code", "path", "message", "remedy"}
    assert (finding["code"], finding["path"]) == ("extra-file", "extra")


def test_verify_exit_codes(sealed_bundle: SealedBundle, capsys: Capture) -> None:
    bundle, trust = str(sealed_bundle.path), str(sealed_bundle.folder / "vendor.pub")
    assert main(["verify", bundle]) == 2
    assert main(["verify", bundle + "x", "--trust", trust]) == 3
    assert main(["verify", trust, "--trust", trust]) == 3
    assert main(["verify", bundle, "--trust", trust + "x"]) == 7
    assert main(["verify", bundle, "--trust", str(sealed_bundle.folder / "customer.pub")]) == 7
    assert main(["verify", bundle, "--trust", str(sealed_bundle.folder / "vendor.pem")]) == 7
    assert "Traceback" not in capsys.readouterr().err


def test_inspect(sealed_bundle: SealedBundle, capsys: Capture) -> None:
    assert main(["inspect", str(sealed_bundle.path)]) == 0
    text = capsys.readouterr().out
    assert text.startswith("NOT VERIFIED")
    assert "digits 1.0.0, build cpu" in text and "model/encoder.onnx.enc" in text
    assert main(["inspect", str(sealed_bundle.path), "--json"]) == 0
    contents = json.loads(capsys.readouterr().out)
    assert contents["verified"] is False
    assert contents["metadata"]["recipients"] == [item["kid"] for item in contents["recipients"]]
    assert contents["evaluation"] is None
    assert main(["keys", "show", str(sealed_bundle.folder / "vendor.pub"), "--json"]) == 0
    assert contents["signer"] == json.loads(capsys.readouterr().out)["id"]


def test_inspect_shows_measured_figures(sealed_bundle: SealedBundle, capsys: Capture) -> None:
    rates = {"baseline": {"rate": 0.0123}, "candidate": {"rate": 0.0145}}
    evaluation = {
        "set": {"utterances": 2},
        "methods": {"ctc_greedy_search": {"cer": rates, "wer": rates}},
        "utterances": [{"reference": "secret words"}],
    }
    (sealed_bundle.path / "evaluation.json").write_text(json.dumps(evaluation))
    assert main(["inspect", str(sealed_bundle.path)]) == 0
    assert "ctc_greedy_search: CER 1.45% (fp32 1.23%)" in capsys.readouterr().out
    assert main(["inspect", str(sealed_bundle.path), "--json"]) == 0
    text = capsys.readouterr().out
    assert json.loads(text)["evaluation"]["methods"] == evaluation["methods"]
    assert "secret words" not in text


def test_inspect_of_what_is_no_bundle(sealed_bundle: SealedBundle, capsys: Capture) -> None:
    assert main(["inspect", str(sealed_bundle.folder)]) == 3
    assert main(["inspect", str(sealed_bundle.folder / "none")]) == 3
    for text in ("[" * 100_000, '{"methods":NaN}', ""):
        (sealed_bundle.path / "evaluation.json").write_text(text)
        assert main(["inspect", str(sealed_bundle.path)]) == 3
    for text in ("[]", "{}", "1", '{"methods":[]}', '{"methods":{"x":{"cer":{"candidate":1}}}}'):
        (sealed_bundle.path / "evaluation.json").write_text(text)
        assert main(["inspect", str(sealed_bundle.path)]) in (0, 3)
    (sealed_bundle.path / "asrpack.json").write_text("{}")
    assert main(["inspect", str(sealed_bundle.path)]) == 6
    assert "Traceback" not in capsys.readouterr().err


def test_inspect_prints_nothing_that_steers_the_terminal(
    sealed_bundle: SealedBundle, capsys: Capture
) -> None:
    path = sealed_bundle.path / "asrpack.json"
    path.write_text(path.read_text().replace("digits", "\u202edigits\\u001b[2J"))
    assert main(["inspect", str(sealed_bundle.path)]) == 0
    text = capsys.readouterr().out
    assert "\u202e" not in text and "\x1b" not in text


def test_what_is_no_trust_policy_is_not_changed(
    sealed_bundle: SealedBundle, capsys: pytest.CaptureFixture[str]
) -> None:
    key = sealed_bundle.folder / "vendor.pub"
    (sealed_bundle.folder / "broken.json").write_text("{}")
    for name, said in (
        ("vendor.pub", "a public key, not a trust policy"),
        ("broken.json", "not a trust policy of format"),
        ("none.json", "No such file"),
    ):
        policy = sealed_bundle.folder / name
        before = policy.read_bytes() if policy.exists() else None
        assert main(["trust", "add", str(key), "--policy", str(policy)]) == 7, name
        error = capsys.readouterr().err
        assert said in error and str(policy) in error and "trust init" in error
        assert (policy.read_bytes() if policy.exists() else None) == before
