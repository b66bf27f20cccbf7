"""curation/langid.py and curation/langid_train.py, on starter English and Spanish."""

import json
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

from whyguard.core.errors import (
    ArtefactError,
    ConfigError,
    DataError,
    MissingFileError,
    UnknownLanguageError,
)
from whyguard.curation.langid import (
    FACTS_FILE,
    HELD_OUT_LINES,
    MODEL_FILE,
    UNDETERMINED,
    Classifier,
    ErrorRate,
    LangidConfig,
    train_classifier,
)

CONFIG = LangidConfig(rows=600, buckets=2000, dim=8)
PROBE = ["the bus stops near the old bridge", "no hay pan en la casa", "this is una mezcla of both"]


@pytest.fixture(scope="session")
def texts() -> dict[str, list[str]]:
    raw = resources.files("whyguard.curation").joinpath("data/starter/groups.jsonl")
    groups = [json.loads(line) for line in raw.read_text("utf-8").split("\n") if line]
    return {
        "eng_Latn": [group["benign"]["en"] for group in groups],
        "spa_Latn": [group["benign"]["es"] for group in groups],
    }


@pytest.fixture(scope="session")
def classifier(texts: dict[str, list[str]]) -> Classifier:
    return train_classifier(texts, CONFIG)


def test_recognises_held_out_lines(classifier: Classifier) -> None:
    assert classifier.languages == ("eng_Latn", "spa_Latn")
    for language in classifier.languages:
        rate = classifier.error(language)
        assert rate.n >= 10
        assert rate.text == HELD_OUT_LINES
        assert classifier.error_of(language) == rate.wrong / rate.n <= 0.1


def test_predict_keeps_order_and_bounds(classifier: Classifier) -> None:
    found = classifier.predict([PROBE[0], "", "42 !", PROBE[1]])
    assert [p.language for p in found] == ["eng_Latn", UNDETERMINED, UNDETERMINED, "spa_Latn"]
    assert found[1].probability == 0.0
    assert all(0.5 <= p.probability <= 1.0 for p in (found[0], found[3]))
    assert classifier.predict([]) == []


def test_right_language(classifier: Classifier) -> None:
    assert classifier.right_language(PROBE[1], "spa_Latn") is True
    assert classifier.right_language(PROBE[1], "eng_Latn") is False
    assert classifier.right_language("dos palabras", "spa_Latn") is None
    assert classifier.right_language(PROBE[1], "ben_Beng") is None


def test_confusion_counts(classifier: Classifier) -> None:
    table = classifier.confusion({"spa_Latn": [*PROBE[:2], "7"], "glg_Latn": [], "eng_Latn": PROBE})
    assert table.counts["spa_Latn"] == {"eng_Latn": 1, "spa_Latn": 1, UNDETERMINED: 1}
    assert (table.n("spa_Latn"), table.wrong("spa_Latn")) == (3, 2)
    assert table.right_share("spa_Latn") == pytest.approx(1 / 3)
    assert table.right_share("glg_Latn") != table.right_share("glg_Latn")  # NaN: nothing to count


def test_error_of_an_unknown_language(classifier: Classifier) -> None:
    with pytest.raises(UnknownLanguageError, match="one of eng_Latn, spa_Latn"):
        classifier.error_of("ast_Latn")


def test_measured_figures_come_first(classifier: Classifier, tmp_path: Path) -> None:
    classifier.save(tmp_path)
    rate = ErrorRate(n=100, wrong=7, text="independent text")
    loaded = Classifier.load(tmp_path, {"spa_Latn": rate})
    assert loaded.error_of("spa_Latn") == 0.07
    assert loaded.error("eng_Latn").text == HELD_OUT_LINES


def test_saved_classifier_predicts_the_same(classifier: Classifier, tmp_path: Path) -> None:
    classifier.save(tmp_path / "saved")
    assert sorted(p.name for p in (tmp_path / "saved").iterdir()) == [FACTS_FILE, MODEL_FILE]
    loaded = Classifier.load(tmp_path / "saved")
    assert loaded.predict(PROBE) == classifier.predict(PROBE)
    assert loaded.facts == classifier.facts


def test_changed_binary_is_refused(classifier: Classifier, tmp_path: Path) -> None:
    classifier.save(tmp_path)
    with (tmp_path / MODEL_FILE).open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(ArtefactError, match="sha256"):
        Classifier.load(tmp_path)
    (tmp_path / FACTS_FILE).write_text("{}", encoding="utf-8")
    with pytest.raises(ArtefactError, match="facts of a classifier"):
        Classifier.load(tmp_path)


def test_missing_classifier(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no such folder"):
        Classifier.load(tmp_path / "nowhere")


_SECOND = """
import json, sys
import numpy as np
from pathlib import Path
from whyguard.curation.langid import LangidConfig, train_classifier
job = json.loads(Path(sys.argv[1]).read_text("utf-8"))
junk = [np.full(500_000, np.nan, dtype="f4") for _ in range(5)]
del junk
classifier = train_classifier(job["texts"], LangidConfig.model_validate(job["config"]))
print(json.dumps([classifier.facts.model_dump(mode="json"), classifier.predict(job["probe"])]))
"""


def test_a_second_process_trains_the_same_classifier(
    classifier: Classifier, texts: dict[str, list[str]], tmp_path: Path
) -> None:
    job = tmp_path / "job.json"
    facts = {"texts": texts, "config": CONFIG.model_dump(mode="json"), "probe": PROBE}
    job.write_text(json.dumps(facts), encoding="utf-8")
    command = [sys.executable, "-c", _SECOND, str(job)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""  # no banner of fastText
    expected = [classifier.facts.model_dump(mode="json"), classifier.predict(PROBE)]
    assert json.loads(done.stdout) == json.loads(json.dumps(expected))


def test_training_again_in_a_used_process_changes_nothing(
    classifier: Classifier, texts: dict[str, list[str]]
) -> None:
    assert train_classifier(texts, CONFIG).facts == classifier.facts


def test_config_changes_the_classifier(classifier: Classifier, texts: dict[str, list[str]]) -> None:
    other = train_classifier(texts, CONFIG.model_copy(update={"seed": 2}))
    assert other.facts.training_sha256 != classifier.facts.training_sha256
    assert other.facts.model_sha256 != classifier.facts.model_sha256


def test_one_language_is_not_enough(texts: dict[str, list[str]]) -> None:
    with pytest.raises(ConfigError, match="two or more languages"):
        train_classifier({"eng_Latn": texts["eng_Latn"]}, CONFIG)


def test_unknown_code(texts: dict[str, list[str]]) -> None:
    with pytest.raises(UnknownLanguageError, match="did you mean"):
        train_classifier({**texts, "ast_Latin": ["x"]}, CONFIG)


def test_repeated_lines_do_not_count_as_text(texts: dict[str, list[str]]) -> None:
    with pytest.raises(DataError, match=r"training text of ast_Latn\n.*20 or more different"):
        train_classifier({**texts, "ast_Latn": ["Equí nun hai nada.", "42"] * 50}, CONFIG)


def test_diverging_training_is_an_error(texts: dict[str, list[str]]) -> None:
    wild = CONFIG.model_copy(update={"learning_rate": 1e30})
    with pytest.raises(DataError, match="lower learning_rate"):
        train_classifier(texts, wild)
