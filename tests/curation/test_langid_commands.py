"""curation/commands.py: whyguard langid train|test through the real command line."""

import json
import sys
from pathlib import Path

import pytest

from whyguard.core import cli
from whyguard.curation.langid_builtin import builtin_texts


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("text")
    for code, texts in builtin_texts().train.items():
        (folder / f"{code}.txt").write_text("\n".join(texts[:150]) + "\n", encoding="utf-8")
    return folder


class Cli:
    """Calls the root command in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        self._monkeypatch.setattr(sys, "argv", ["whyguard", "langid", *arguments])
        with pytest.raises(SystemExit, match=r"\d") as stopped:
            cli.main()
        out, err = self._capsys.readouterr()
        return int(str(stopped.value.code)), out, err


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    monkeypatch.setenv("COLUMNS", "160")
    return Cli(monkeypatch, capsys)


def _texts(files: Path, *codes: str) -> list[str]:
    return [item for code in codes for item in ("--text", f"{code}={files / code}.txt")]


def test_train_then_test(run: Cli, files: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "model")
    texts = _texts(files, "ast_Latn", "spa_Latn")
    code, shown, _ = run("train", *texts, "--out", out)
    assert code == 0
    assert "ast_Latn Asturian" in shown
    assert "own error" in shown
    code, shown, _ = run("test", out, *_texts(files, "ast_Latn"), "--json")
    facts = json.loads(shown)
    assert code == 0
    assert facts["languages"] == ["ast_Latn", "spa_Latn"]
    assert facts["right_share"]["ast_Latn"] > 0.95
    assert facts["own_error"]["spa_Latn"]["n"] > 0
    code, _, err = run("train", *texts, "--out", out)
    assert (code, "without a classifier" in err) == (2, True)
    code, _, err = run("test", out, *_texts(files, "oci_Latn"))
    assert (code, "a language of the classifier" in err) == (2, True)


def test_train_prints_json(run: Cli, files: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "model")
    code, shown, _ = run("train", *_texts(files, "cat_Latn", "oci_Latn"), "--out", out, "--json")
    facts = json.loads(shown)
    assert code == 0
    assert set(facts["confusion"]) == {"cat_Latn", "oci_Latn"} == set(facts["lines"])


def test_builtin(run: Cli, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHYGUARD_CACHE", str(tmp_path))
    code, shown, _ = run("test", "builtin", *_texts(files, "glg_Latn", "arg_Latn"))
    assert code == 0
    assert "glg_Latn Galician" in shown


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("ast_Latn=/no/such/file.txt", "no such file"),
        ("ast_Latn={empty}", "an empty file"),
        ("ast_Latn={latin1}", "latin1.txt:2"),
        ("asturian={latin1}", "did you mean 'ast_Latn'"),
        ("ast_Latn", "LANG=FILE"),
        ("ast_Latn={few}", "20 or more different lines"),
        ("spa_Latn={few}", "two or more languages"),
    ],
)
def test_bad_input_exits_with_2(
    run: Cli, files: Path, tmp_path: Path, spec: str, said: str
) -> None:
    (tmp_path / "empty.txt").touch()
    (tmp_path / "latin1.txt").write_bytes(b"bien\nni\xf1u\n")
    (tmp_path / "few.txt").write_text("Equí nun hai nada.\n" * 30, encoding="utf-8")
    named = {name: tmp_path / f"{name}.txt" for name in ("empty", "latin1", "few")}
    arguments = (*_texts(files, "spa_Latn"), "--text", spec.format(**named))
    code, _, err = run("train", *arguments, "--out", str(tmp_path / "out"))
    assert code == 2
    assert said in err
    assert "to do:" in err
    assert not (tmp_path / "out").exists()


def test_no_such_model(run: Cli, files: Path, tmp_path: Path) -> None:
    code, _, err = run("test", str(tmp_path / "none"), *_texts(files, "ast_Latn"))
    assert code == 2
    assert "no such folder" in err
