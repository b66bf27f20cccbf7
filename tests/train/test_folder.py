"""train/folder.py and generation/guard/prompts.py."""

from pathlib import Path

import pytest

from whyguard.core.artefact import ModelUse
from whyguard.core.errors import ConfigError, DataError
from whyguard.generation.guard.prompts import DEFAULT_TEMPLATE, prompt_template, template_names
from whyguard.train.folder import (
    groups_sha256,
    plain_facts,
    read_groups,
    read_guard,
    write_groups,
    write_guard,
)

USE = ModelUse(reference="pypi:tiny", revision="1.0", licence="Apache-2.0", role="base")


def test_facts_go_round(tmp_path: Path) -> None:
    facts = plain_facts(USE).model_copy(
        update={"languages": ("ast_Latn", "xyz_Latn"), "training": {"trim_vocabulary": True}}
    )
    write_guard(tmp_path, facts)
    assert read_guard(tmp_path) == facts
    card = (tmp_path / "README.md").read_text("utf-8")
    assert card.startswith("---\nlicense: apache-2.0\n")
    assert "letter by letter" in card


def test_a_plain_model_has_no_facts(tmp_path: Path) -> None:
    assert read_guard(tmp_path) is None


def test_broken_facts_are_named(tmp_path: Path) -> None:
    (tmp_path / "guard.json").write_text('{"base": 3}', "utf-8")
    with pytest.raises(DataError, match=r"guard\.json[\s\S]*base"):
        read_guard(tmp_path)


def test_trained_groups_must_be_those_of_the_guard(tmp_path: Path) -> None:
    assert read_groups(tmp_path, plain_facts(USE)) == frozenset()
    sha256 = groups_sha256(["b", "a", "b"])
    facts = plain_facts(USE).model_copy(update={"arm": "explained", "groups_sha256": sha256})
    with pytest.raises(DataError, match="no list"):
        read_groups(tmp_path, facts)
    write_groups(tmp_path, ["b", "a"])
    assert read_groups(tmp_path, facts) == {"a", "b"}
    write_groups(tmp_path, ["a"])
    with pytest.raises(DataError, match="another list"):
        read_groups(tmp_path, facts)


def test_templates_by_name() -> None:
    assert DEFAULT_TEMPLATE in template_names()
    assert "la casa" in prompt_template(DEFAULT_TEMPLATE).render("la casa")
    with pytest.raises(ConfigError, match="did you mean 'request-v1'"):
        prompt_template("request-1")
