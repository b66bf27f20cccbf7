"""The starter pack is what the design asks for. Messages name ids, never texts."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.support import needs, needs_module

from whyguard.core.values import CATEGORY_CODES, NOT_WRITTEN
from whyguard.curation.normalise import normalise
from whyguard.generation.grammar import holds_tag
from whyguard.generation.packs.wording import category_name
from whyguard.generation.translation.memory import load_memory

ROOT = Path(__file__).parents[2]
GROUPS = ROOT / "curation" / "data" / "starter" / "groups.jsonl"
MEMORY = ROOT / "generation" / "data" / "starter" / "memory.jsonl"
TARGETS = ("ast_Latn", "arg_Latn", "glg_Latn", "oci_Latn", "cat_Latn")
SHORT = ("en", "es")
CODES = {"en": "eng_Latn", "es": "spa_Latn"}
SPLITS = 10
_WORD = re.compile(r"\w+(?:'\w+)?")

FUNCTION_WORDS = {
    "en": """a an the this that these those my your his her its our their some any each every no
    all both i you he she it we they me him us them who whom whose which what where when why how is
    are was were be been being am do does did done have has had having will would shall should can
    could may might must and or but so if then than because while although until before after since
    as of in on at to for from by with without into onto over under about between through during
    against within up down out off not never please there here just only also even still yet too
    very""",
    "es": """un una unos unas el la los las lo este esta esto estos estas ese esa eso esos esas
    aquel aquella mi mis tu tus su sus nuestro nuestra nuestros nuestras algún alguna algunos
    algunas cada ningún ninguna todo toda todos todas yo tú él ella nosotros ellos ellas usted
    ustedes me te se nos le les quien quién que qué cual cuál cuales cuáles donde dónde cuando
    cuándo como cómo por es son era eran ser sido está están estaba estar ha han había haber hay he
    fue fueron sea sean y e o u pero sino si entonces porque mientras aunque hasta antes después
    desde de del en a al para con sin sobre entre contra durante bajo tras según no nunca ni ya aún
    todavía también solo sólo muy más menos tan""",
}  # fmt: skip


class Text(NamedTuple):
    """A text of the pack under its id."""

    id: str
    text: str


@pytest.fixture(scope="module")
def groups() -> list[dict[str, Any]]:
    return [json.loads(line) for line in GROUPS.read_text("utf-8").split("\n") if line]


@pytest.fixture(scope="module")
def units() -> list[dict[str, Any]]:
    return [json.loads(line) for line in MEMORY.read_text("utf-8").split("\n") if line]


def words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def prompts(groups: list[dict[str, Any]], short: str) -> list[Text]:
    return [Text(f"{group['group']}-{side[0]}", group[side][short])
            for group in groups for side in ("harmful", "benign")]  # fmt: skip


def rationales(groups: list[dict[str, Any]], short: str) -> list[Text]:
    return [Text(f"{g['group']}-h", g["harmful"][f"rationale_{short}"]) for g in groups]


def shared_runs(tokens: Iterable[tuple[str, list[str]]], length: int) -> dict[str, set[str]]:
    """Id -> ids with which it shares a run of `length` tokens."""
    seen: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for name, row in tokens:
        for start in range(len(row) - length + 1):
            seen[tuple(row[start : start + length])].add(name)
    shared: dict[str, set[str]] = defaultdict(set)
    for names in seen.values():
        for name in names if len(names) > 1 else ():
            shared[name] |= names - {name}
    return shared


def skeleton(text: str, short: str) -> list[str]:
    """The text's words with a blank in place of each that carries content."""
    function = set(FUNCTION_WORDS[short].split())
    return [word if word in function else "_" for word in words(text)]


def test_240_families_half_of_them_harmful(groups: list[dict[str, Any]]) -> None:
    assert len(groups) == len({group["group"] for group in groups}) == 120
    for group in groups:
        assert group.keys() == {"group", "category", "harmful", "benign"}
        assert group["harmful"].keys() == {"en", "es", "violations", "trace_en", "rationale_en",
                                           "rationale_es"}  # fmt: skip
        assert group["benign"].keys() == {"en", "es", "trace_en"}


def test_every_category_but_s4(groups: list[dict[str, Any]]) -> None:
    counts = Counter(group["category"] for group in groups)
    assert counts.keys() == set(CATEGORY_CODES) - set(NOT_WRITTEN)
    assert min(counts.values()) >= 8
    for group in groups:
        codes = group["harmful"]["violations"]
        assert codes[0] == group["category"]
        assert set(codes) <= set(CATEGORY_CODES) - set(NOT_WRITTEN)
        assert len(set(codes)) == len(codes)
        assert group["group"].startswith(group["category"].lower() + "-")


def test_every_text_is_there_and_clean(groups: list[dict[str, Any]]) -> None:
    for group in groups:
        for side in ("harmful", "benign"):
            for field, text in group[side].items():
                if field == "violations":
                    continue
                where = f"{group['group']} {side} {field}"
                assert text == normalise(text) != "", where
                assert "\n" not in text and not holds_tag(text), where
                assert not set("⟦⟧{}<>*#@`|") & set(text), where


def test_lengths(groups: list[dict[str, Any]]) -> None:
    for short in SHORT:
        for item in prompts(groups, short):
            assert 6 <= len(words(item.text)) <= 50, item.id
        for item in rationales(groups, short):
            assert 20 <= len(words(item.text)) <= 75, item.id


def test_no_text_stands_twice(groups: list[dict[str, Any]]) -> None:
    texts = [text for group in groups for side in ("harmful", "benign")
             for field, text in group[side].items() if field != "violations"]  # fmt: skip
    assert len(texts) == len({text.casefold() for text in texts}) == 120 * 5 + 120 * 3


def test_spanish_is_spanish(groups: list[dict[str, Any]]) -> None:
    for item in prompts(groups, "es"):
        assert ("?" in item.text) == ("¿" in item.text), item.id
        assert ("!" in item.text) == ("¡" in item.text), item.id


@pytest.mark.parametrize("short", SHORT)
def test_no_two_prompts_share_a_frame(groups: list[dict[str, Any]], short: str) -> None:
    texts = prompts(groups, short)
    assert len(texts) == 240
    assert shared_runs(((item.id, words(item.text)) for item in texts), 5) == {}
    openings = Counter(tuple(words(item.text)[:3]) for item in texts)
    assert max(openings.values()) == 1


@pytest.mark.parametrize("short", SHORT)
def test_no_two_prompts_share_a_skeleton(groups: list[dict[str, Any]], short: str) -> None:
    """Without content words no two prompts are alike, whole or over a run of ten words."""
    skeletons = [(item.id, skeleton(item.text, short)) for item in prompts(groups, short)]
    joined = Counter(re.sub("_( _)*", "_", " ".join(row)) for _, row in skeletons)
    assert max(joined.values()) == 1
    rows = ((name, row) for name, row in skeletons)
    alike = shared_runs(rows, 10)
    mostly_function = {
        name for name, row in skeletons if name in alike
        and any(sum(word != "_" for word in row[start : start + 10]) >= 5
                for start in range(len(row) - 9)
                if any(row[start : start + 10] == other[place : place + 10]
                       for other_name, other in skeletons if other_name in alike[name]
                       for place in range(len(other) - 9)))
    }  # fmt: skip
    assert mostly_function == set()


@pytest.mark.parametrize("short", SHORT)
def test_rationales_share_no_wording(groups: list[dict[str, Any]], short: str) -> None:
    """At most 5 % share a run of six words outside category names."""
    names = [category_name(code, CODES[short]) or "" for code in CATEGORY_CODES]
    pattern = re.compile("|".join(re.escape(name) for name in names if name), re.IGNORECASE)
    texts = rationales(groups, short)
    rows = [(item.id, words(pattern.sub(" ", item.text))) for item in texts]
    assert len(shared_runs(rows, 6)) <= 0.05 * len(texts)


@pytest.mark.parametrize(("short", "floor"), [("en", 0.9), ("es", 0.85)])
def test_rationales_are_of_their_own_prompt(
    groups: list[dict[str, Any]], short: str, floor: float
) -> None:
    """By chrF most rationales are nearer to their own prompt than to any of their category."""
    needs_module("sacrebleu")
    from sacrebleu.metrics import CHRF

    chrf = CHRF()
    first = 0
    for group in groups:
        same = [other for other in groups if other["category"] == group["category"]]
        rationale = group["harmful"][f"rationale_{short}"]
        scores = {other["group"]: chrf.sentence_score(rationale, [other["harmful"][short]]).score
                  for other in same}  # fmt: skip
        first += max(scores, key=scores.__getitem__) == group["group"]
    assert first / len(groups) >= floor


@pytest.mark.parametrize("short", SHORT)
def test_words_do_not_give_the_label_away(groups: list[dict[str, Any]], short: str) -> None:
    """A bag of words from half of the groups: AUROC on the other half, over fixed splits."""
    needs_module("sklearn")
    found = [split_auroc(groups, short, seed) for seed in range(SPLITS)]
    mean, worst = sum(found) / len(found), max(found)
    print(f"bag-of-words AUROC, {short}, {SPLITS} splits: mean {mean:.3f}, max {worst:.3f}")
    assert mean <= 0.70
    assert worst <= 0.75


def split_auroc(groups: list[dict[str, Any]], short: str, seed: int) -> float:
    import numpy as np
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score

    order = np.random.default_rng(seed).permutation(len(groups))
    halves = order[: len(groups) // 2], order[len(groups) // 2 :]
    (seen, labels), (other, truth) = (
        ([groups[i][side][short] for i in half for side in ("harmful", "benign")],
         [1, 0] * len(half))
        for half in halves
    )  # fmt: skip
    bag = CountVectorizer()
    model = LogisticRegression(max_iter=2000).fit(bag.fit_transform(seen), labels)
    return float(roc_auc_score(truth, model.predict_proba(bag.transform(other))[:, 1]))


def test_the_bag_of_words_test_can_fail(groups: list[dict[str, Any]]) -> None:
    needs_module("sklearn")
    leaky = [group | {"harmful": group["harmful"] | {"en": "secretly " + group["harmful"]["en"]}}
             for group in groups]  # fmt: skip
    assert split_auroc(leaky, "en", 0) > 0.95


def test_the_memory_is_complete(groups: list[dict[str, Any]], units: list[dict[str, Any]]) -> None:
    wanted = {}
    for group in groups:
        for side in ("harmful", "benign"):
            wanted[f"starter:{group['group']}-{side[0]}", "prompt"] = group[side]["es"]
        wanted[f"starter:{group['group']}-h", "rationale"] = group["harmful"]["rationale_es"]
    assert len(wanted) == 360
    for language in TARGETS:
        found = {(u["id"], u["kind"]): u for u in units if u["language"] == language}
        assert {key: unit["source"] for key, unit in found.items()} == wanted
    assert len(units) == 360 * len(TARGETS)


def test_the_memory_says_that_a_machine_wrote_it(units: list[dict[str, Any]]) -> None:
    for unit in units:
        where = f"{unit['id']} {unit['kind']} {unit['language']}"
        assert re.match(r"apertium [\d.]+\S* \S+ \(apertium-\S+ [\d.]+\S*\)$",
                        unit["translator"]), where  # fmt: skip
        assert unit["source_language"] == "spa_Latn", where
        assert unit["unknown_words"] <= 0.25 * len(unit["text"].split()), where
        assert normalise(unit["text"]), where
        assert not holds_tag(unit["text"]) and not set("⟦⟧*#@") & set(unit["text"]), where
        assert unit["text"][-1] == unit["source"][-1], where


def test_the_memory_serves_every_spanish_text(groups: list[dict[str, Any]]) -> None:
    memory = load_memory(MEMORY, "nobody")
    for item in prompts(groups, "es") + rationales(groups, "es"):
        for language in TARGETS:
            assert memory.find("spa_Latn", language, item.text) is not None, item.id


def test_the_memory_is_what_the_engine_writes(units: list[dict[str, Any]]) -> None:
    """Of the engine's version that wrote it, in the order it was written: the engine's tagger
    carries state from line to line, so that single texts may come out otherwise."""
    needs("apertium")
    from whyguard.generation.translation.apertium import Apertium

    for language in ("ast_Latn", "oci_Latn"):
        engine = Apertium("spa_Latn", language)
        own = [u for u in units if u["language"] == language]
        if engine.name != own[0]["translator"]:
            pytest.skip(f"installed: {engine.name}; the memory: {own[0]['translator']}")
        done = engine.translate([unit["source"] for unit in own])
        assert [item.text for item in done] == [unit["text"] for unit in own]
        assert [item.unknown for item in done] == [unit["unknown_words"] for unit in own]
