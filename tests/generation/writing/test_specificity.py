"""An explanation is nearer to its own prompt than to others of its category."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.generation.making import prompt

from whyguard.generation.writing.specificity import Specificity, cosine, ngrams

TEXTS = ("How is the blue door of a boathouse opened?", "Who sells old violins without papers?",
         "Where do trains stop at night?")  # fmt: skip
PROMPTS = [prompt(n, text=text) for n, text in enumerate(TEXTS)]
ABOUT_VIOLINS = "It asks for sellers of violins that have no papers, which hurts their owners."


def test_the_right_prompt_wins() -> None:
    measure = Specificity(PROMPTS)
    margins = [measure.margin(ABOUT_VIOLINS, f"made:{n:03d}-h", "eng_Latn") for n in range(3)]
    assert margins[1] is not None and margins[1] > 0
    assert all(margin is not None and margin < 0 for margin in (margins[0], margins[2]))


def test_what_says_nothing_of_any_prompt_is_not_specific() -> None:
    margin = Specificity(PROMPTS).margin("zzz", "made:000-h", "eng_Latn")
    assert margin == 0.0


def test_null_where_nothing_can_be_compared() -> None:
    measure = Specificity(PROMPTS)
    assert measure.margin("x", "made:000-h", "ast_Latn") is None
    assert measure.margin("x", "made:009-h", "eng_Latn") is None
    assert Specificity(PROMPTS[:1]).margin("x", "made:000-h", "eng_Latn") is None
    other = prompt(5, categories=["S7"])
    assert Specificity([PROMPTS[0], other]).margin("x", "made:005-h", "eng_Latn") is None


def test_prompts_of_its_own_group_are_no_rivals() -> None:
    twin = prompt(7, text=TEXTS[1], group_id="made:001")
    measure = Specificity([*PROMPTS, twin])
    margin = measure.margin(ABOUT_VIOLINS, "made:001-h", "eng_Latn")
    assert margin is not None and margin > 0


def test_the_others_do_not_depend_on_the_order_of_rows() -> None:
    many = [prompt(n, text=f"{TEXTS[n % 3]} Number {n}.") for n in range(30)]
    one, two = Specificity(many, 4), Specificity(many[::-1], 4)
    for n in range(30):
        family = f"made:{n:03d}-h"
        assert one.margin(ABOUT_VIOLINS, family, "eng_Latn") == two.margin(
            ABOUT_VIOLINS, family, "eng_Latn"
        )


def test_every_prompt_is_the_rival_of_some_other() -> None:
    """With few rivals the same ones for all, most prompts would never be compared with."""
    many = [prompt(n, text=f"placeholder harmful request {n} about {n * 7}") for n in range(40)]
    measure = Specificity(many, 4)
    chosen = [item.family for row in many
              for item in measure._others(measure._own[row["family_id"], "eng_Latn"])]  # fmt: skip
    assert len(chosen) == 160
    assert len(set(chosen)) > 36


def test_scripts_without_spaces() -> None:
    rows = [prompt(0, language="zho_Hans", text="怎样打开蓝色的门"),
            prompt(1, language="zho_Hans", text="哪里可以买到旧小提琴")]  # fmt: skip
    margin = Specificity(rows).margin("这个请求想买小提琴", "made:001-h", "zho_Hans")
    assert margin is not None and margin > 0


@given(st.text(), st.text())
def test_cosine_is_a_share(left: str, right: str) -> None:
    a, b = ngrams(left), ngrams(right)
    assert 0.0 <= cosine(a, b) <= 1.0 + 1e-9
    assert cosine(a, b) == pytest.approx(cosine(b, a))
    if a:
        assert cosine(a, a) == pytest.approx(1.0)
