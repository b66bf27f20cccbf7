"""curation/langid_builtin.py: the classifier of the starter languages."""

import zipfile
from pathlib import Path

import pytest

from whyguard.core.errors import DataError, MissingFileError
from whyguard.curation.langid import MODEL_FILE, Classifier, LangidConfig, right_language
from whyguard.curation.langid_builtin import (
    HELD_OUT_TEXT,
    builtin_classifier,
    builtin_texts,
    measured_errors,
)

STARTER = {"arg_Latn", "ast_Latn", "cat_Latn", "eng_Latn", "glg_Latn", "oci_Latn", "spa_Latn"}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def classifier(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Classifier:
    monkeypatch.setenv("WHYGUARD_CACHE", str(cache))
    return builtin_classifier()


def test_it_knows_the_starter_languages(classifier: Classifier) -> None:
    assert set(classifier.languages) == STARTER
    assert all(classifier.error_of(language) <= 0.05 for language in STARTER)


def test_held_out_starter_text(classifier: Classifier) -> None:
    for language in STARTER:
        rate = classifier.facts.held_out[language]
        assert rate.text == HELD_OUT_TEXT
        assert rate.n >= 20
        assert rate.share <= 0.05


def test_second_use_comes_from_the_cache(classifier: Classifier, cache: Path) -> None:
    models = list(cache.rglob(MODEL_FILE))
    assert len(models) == 1
    before = models[0].stat().st_mtime_ns
    assert builtin_classifier().facts == classifier.facts
    assert models[0].stat().st_mtime_ns == before
    assert not list(cache.rglob(".tmp-*"))


def test_half_deleted_cache_is_made_again(
    classifier: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHYGUARD_CACHE", str(tmp_path))
    small = LangidConfig(rows=600, buckets=2000, dim=8)
    first = builtin_classifier(config=small)
    next(tmp_path.rglob("langid.json")).unlink()
    assert builtin_classifier(config=small).facts == first.facts


def test_groups_are_held_out_in_every_language() -> None:
    texts = builtin_texts()
    assert set(texts.train) == STARTER == set(texts.held_out)
    for language in STARTER:
        assert not set(texts.train[language]) & set(texts.held_out[language])


def test_shipped_figures_are_of_the_shipped_text(classifier: Classifier) -> None:
    found = measured_errors(classifier.facts.training_sha256)
    assert set(found) == STARTER, (
        "the built-in training text changed since curation/data/langid/measured.json was written; "
        "run: python tools/measure_langid.py --data ../shared/data --write"
    )
    assert measured_errors("another text") == {}


def test_right_language_of_the_builtin_classifier(classifier: Classifier) -> None:
    text = "Nun sabemos ónde ta la llave de la casa."
    assert classifier.right_language(text, "ast_Latn") is True
    assert right_language(text, "ast_Latn") is True
    assert right_language(text, "spa_Latn") is False
    assert right_language(text, "ben_Beng") is None


def test_missing_and_broken_memory(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="install the package again"):
        builtin_texts(tmp_path / "memory.jsonl")
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"id": "starter:s1-01-h", "language": "ast_Latn"}\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"broken.jsonl:1\n.*id, language, text"):
        builtin_texts(broken)


@pytest.mark.parametrize(
    ("language", "least"),
    [("ast", 0.96), ("glg", 0.98), ("oci", 0.97), ("cat", 0.98), ("spa", 0.97), ("eng", 0.99)],
)
def test_flores_200(classifier: Classifier, shared_data: Path, language: str, least: float) -> None:
    text = (shared_data / f"flores200_devtest/{language}_Latn.devtest").read_text("utf-8")
    code = f"{language}_Latn"
    assert classifier.confusion({code: text.strip().split("\n")}).right_share(code) >= least


@pytest.mark.parametrize(("name", "code"), [("arg", "arg_Latn"), ("ast", "ast_Latn")])
def test_flores_plus(classifier: Classifier, shared_data: Path, name: str, code: str) -> None:
    pyzipper = pytest.importorskip("pyzipper", reason="the FLORES+ zip is AES-encrypted")
    with pyzipper.AESZipFile(shared_data / "flores_plus_iberian/FLORES+.zip") as archive:
        archive.setpassword(b"multilingual machine translation")
        text = archive.read(f"FLORES+/devtest/devtest.{name}_Latn").decode("utf-8")
    assert classifier.confusion({code: text.strip().split("\n")}).right_share(code) >= 0.96


def test_asturian_of_the_declaration_of_human_rights(
    classifier: Classifier, shared_data: Path
) -> None:
    with zipfile.ZipFile(shared_data / "udhr/udhr2.zip") as archive:
        lines = archive.read("udhr2/ast.txt").decode("utf-8").split("\n")
    texts = [line for line in lines if len(line.split()) > 2]
    table = classifier.confusion({"ast_Latn": texts})
    assert table.n("ast_Latn") == 61
    assert table.wrong("ast_Latn") <= 5  # lid.176 misses 38
