"""What packs say before a text is translated: locks, local names, open terms."""

from pathlib import Path

import pytest
import yaml

from whyguard.generation.packs.culture import POSSESSIVE
from whyguard.generation.translation.backends import NO_GUIDE
from whyguard.generation.translation.guides import SHIPPED, Guides, family_key
from whyguard.generation.translation.masking import mask, unmask

PACK = {
    "pack": {"code": "ast_Latn", "autonym": "asturianu", "script": "Latn", "direction": "ltr",
             "reviewed": False, "drafted_by": "a test"},
    "glossary": {"terms": [
        {"source": "hate speech", "target": "discursu d'odiu", "lock": True},
        {"source": "scam", "target": "estafa"},
        {"source": "casa", "target": "casa", "language": "spa_Latn", "lock": True},
    ]},
    "culture": {"substitutions": [
        {"kind": "name", "source": "John", "targets": ["Xuan", "Pelayo"]},
        {"kind": "place", "source": "hate speech hall", "targets": ["Uviéu"]},
    ]},
}  # fmt: skip


@pytest.fixture(scope="module")
def packs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packs")
    (folder / "ast_Latn").mkdir()
    for name, content in PACK.items():
        (folder / "ast_Latn" / f"{name}.yaml").write_text(yaml.safe_dump(content), "utf-8")
    return folder


def guides(packs: Path | str | None, *, glossary: bool = True, culture: bool = True) -> Guides:
    return Guides("ast_Latn", str(packs), glossary=glossary, culture=culture)


def test_locks_names_and_open_terms(packs: Path) -> None:
    text = "John calls hate speech a scam; the scam of John."
    guide = guides(packs).of(text, "eng_Latn", "made:1")
    masked = mask(text, guide.spans)
    assert masked.text == "⟦0⟧ calls ⟦1⟧ a scam; the scam of ⟦2⟧."
    assert masked.originals[1] == "discursu d'odiu"
    assert masked.originals[0] == masked.originals[2]
    assert masked.originals[0] in ("Xuan", "Pelayo")
    assert masked.edits[0] == f"name: John -> {masked.originals[0]}"
    assert guide.terms == (("scam", "estafa"),)


def test_a_lock_comes_before_a_local_name(packs: Path) -> None:
    text = "in hate speech hall"
    masked = mask(text, guides(packs).of(text, "eng_Latn", "k").spans)
    assert unmask(masked.text, masked.originals)[0] == "in discursu d'odiu hall"
    local = mask(text, guides(packs, glossary=False).of(text, "eng_Latn", "k").spans)
    assert unmask(local.text, local.originals)[0] == "in Uviéu"


def test_the_language_of_the_source_counts(packs: Path) -> None:
    assert guides(packs).of("la casa de hate speech", "spa_Latn", "k").spans[0].text == "casa"
    assert guides(packs).of("casa", "eng_Latn", "k") == NO_GUIDE


def test_off_means_off(packs: Path) -> None:
    text = "John, hate speech, scam"
    assert guides(packs, glossary=False, culture=False).of(text, "eng_Latn", "k") == NO_GUIDE
    only = guides(packs, culture=False).of(text, "eng_Latn", "k")
    assert [span.text for span in only.spans] == ["discursu d'odiu"]
    assert guides(packs, glossary=False).of(text, "eng_Latn", "k").terms == ()


@pytest.mark.parametrize(("text", "translation", "wanted"), [
    ("no hate speech", "ensin discursu d'odiu", 0.0),
    ("no hate speech", "ensin odiu", 1.0),
    ("a scam", "una estafa", None),
])  # fmt: skip
def test_violations(packs: Path, text: str, translation: str, wanted: float | None) -> None:
    assert guides(packs).violations(text, translation, "eng_Latn") == wanted
    assert guides(packs, glossary=False).violations(text, translation, "eng_Latn") is None


def test_a_language_without_a_pack(packs: Path) -> None:
    none = Guides("quy_Latn", str(packs), glossary=True, culture=True)
    assert none.of("John", "eng_Latn", "k") == NO_GUIDE
    assert none.violations("hate speech", "", "eng_Latn") is None
    assert none.state == "no pack"


def test_the_packs_of_the_package(packs: Path) -> None:
    shipped = guides(SHIPPED)
    assert shipped.pack is not None
    assert shipped.state == "not reviewed"
    assert guides(packs).pack != shipped.pack


def test_a_prompt_and_its_rationale_share_a_key() -> None:
    prompt = {"prompt_id": "made:001-h:eng_Latn", "family_id": "made:001-h"}
    assert family_key(prompt) == family_key({"prompt_id": "made:001-h:eng_Latn"}) == "made:001-h"
    assert family_key({"prompt_id": "a:b"}) == "a:b"


def test_a_rationale_takes_the_family_of_its_prompt() -> None:
    prompts = {"row-7": {"prompt_id": "row-7", "family_id": "made:007"}}
    assert family_key({"prompt_id": "row-7"}, prompts) == "made:007"
    assert family_key({"prompt_id": "row-7"}) == "row-7"
    assert family_key({"prompt_id": "row-8:eng_Latn"}, prompts) == "row-8"


def test_what_was_left_is_said(packs: Path) -> None:
    guide = guides(packs).of("John's house", "eng_Latn", "k")
    assert (guide.spans, guide.left) == ((), (POSSESSIVE,))
    assert guides(packs, culture=False).of("John's house", "eng_Latn", "k").left == ()
    assert guides(packs).of("John", "eng_Latn", "k", "John's house").left == (POSSESSIVE,)
