"""What scoring reads of a guard's folder."""

from pathlib import Path

import pytest

from whyguard.core.errors import DataError
from whyguard.generation.guard.facts import GUARD_FILE, read_use
from whyguard.generation.guard.prompts import DEFAULT_TEMPLATE
from whyguard.train.folder import GuardFacts, label_strings, write_guard

FACTS = GuardFacts(base="b", base_revision="r", licence="MIT", arm="explained", languages=(),
                   prompt_template="request-v1", seed=1, examples=2, examples_sha256="e",
                   labels=label_strings())  # fmt: skip


def test_what_training_wrote(tmp_path: Path) -> None:
    write_guard(tmp_path, FACTS)
    use = read_use(tmp_path)
    assert use.prompt_template == "request-v1"
    assert use.label_strings() == label_strings()


def test_an_untrained_model(tmp_path: Path) -> None:
    use = read_use(tmp_path)
    assert use.prompt_template == DEFAULT_TEMPLATE
    assert use.label_strings() == label_strings()


@pytest.mark.parametrize("text", [
    "", "{", '{"labels": {}}', '{"prompt_template": "x", "labels": {"bad": "x"}}'
])  # fmt: skip
def test_broken_facts(tmp_path: Path, text: str) -> None:
    (tmp_path / GUARD_FILE).write_text(text, "utf-8")
    with pytest.raises(DataError, match="guard facts of format 1"):
        read_use(tmp_path)
