"""Provenance is recorded without secrets."""

import subprocess
from pathlib import Path

import pytest

from whyguard.core.provenance import collect_provenance, masked

TOKEN = "hf_" + "a" * 20


@pytest.mark.parametrize(
    ("argv", "shown"),
    [
        (["--api-key", "s3cret", "x"], ("--api-key", "***", "x")),
        (["--api-key=s3cret"], ("--api-key=***",)),
        (["--hf_token", "s3cret"], ("--hf_token", "***")),
        (["--password=a=b"], ("--password=***",)),
        (["OPENAI_API_KEY=s3cret"], ("OPENAI_API_KEY=***",)),
        (["--auth", "--password", "s3cret"], ("--auth", "***", "s3cret")),
        ([TOKEN], ("***",)),
        (["--url=https://u:s3cret@h/p?token=s3cret&a=1"], ("--url=https://***@h/p?token=***&a=1",)),
        (["--max-tokens", "5", "tokenizer=x", "--keyword", "y"],
         ("--max-tokens", "5", "tokenizer=x", "--keyword", "y")),
        (["recipes/keys.yaml", "author"], ("recipes/keys.yaml", "author")),
    ],
)  # fmt: skip
def test_secrets_are_masked(
    monkeypatch: pytest.MonkeyPatch, argv: list[str], shown: tuple[str, ...]
) -> None:
    monkeypatch.setattr("sys.argv", ["/usr/local/bin/whyguard", *argv])
    assert collect_provenance().argv == ("whyguard", *shown)


def test_masked_goes_into_lists_and_mappings() -> None:
    value = {"a": [f"Bearer {TOKEN}", 3, None], "url": "http://h:8000/v1"}
    assert masked(value) == {"a": ["Bearer ***", 3, None], "url": "http://h:8000/v1"}


def test_the_environment_never_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "s3cret-value")
    assert "s3cret-value" not in collect_provenance().model_dump_json()


def test_the_commit_is_that_of_the_folder(tmp_path: Path) -> None:
    assert collect_provenance(tmp_path).git_commit is None
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "x"], cwd=tmp_path, check=True)
    commit = collect_provenance(tmp_path).git_commit
    assert commit is not None
    assert len(commit) == 40


def test_a_folder_that_is_gone_loses_no_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert collect_provenance().git_commit is None


def test_packages_and_time() -> None:
    facts = collect_provenance()
    assert {"polars", "pydantic", "dataframely"} <= facts.packages.keys()
    assert facts.created_at.endswith("+00:00")
