"""Rationales under a forced prefix: each arm is given the verdict and the opening tag."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import polars as pl

from whyguard.core.progress import Task
from whyguard.core.values import Label
from whyguard.generation.grammar import EXPLANATION_CLOSE, EXPLANATION_OPEN, holds_tag
from whyguard.generation.guard.prompts import PromptTemplate, prompt_template
from whyguard.generation.guard.scoring import encode_pieces, encode_prompt, length_batches, pad_left
from whyguard.generation.models import Loaded
from whyguard.train.folder import GuardFacts
from whyguard.train.justify import Rationale, builtin_right_language, measure, signal_rows

_TAIL_TOKENS = 12
"""Tokens in which a closing tag is looked for after each new token."""


class Explaining(NamedTuple):
    """How rationales are asked for."""

    max_new_tokens: int
    batch_size: int


def explained_rows(loaded: Loaded, facts: GuardFacts, asked: pl.DataFrame, how: Explaining,
                   task: Task) -> dict[str, dict[str, Any]]:  # fmt: skip
    """Explanation, reference and signals by example id: columns of Score.

    Args:
        loaded: model and tokenizer.
        facts: template and verdict strings.
        asked: harmful rows (Example) of one language: signals compare rows with each other.
        how: lengths and batches.
        task: advanced by one a row.
    """
    rows = asked.to_dicts()
    texts = forced_explanations(loaded, prompt_template(facts.prompt_template),
                                asked["text"].to_list(), facts.labels[Label.HARMFUL.value],
                                how.max_new_tokens, how.batch_size, task)  # fmt: skip
    items = [Rationale(text, row["language"], (row["categories"] or [""])[0], row["explanation"])
             for text, row in zip(texts, rows, strict=True)]  # fmt: skip
    measured = measure(items, builtin_right_language())
    return {
        row["example_id"]: {"explanation": item.text, "reference": item.reference,
                            "signals": signal_rows(signals)}
        for row, item, signals in zip(rows, items, measured, strict=True)
    }  # fmt: skip


def forced_explanations(loaded: Loaded, template: PromptTemplate, texts: Sequence[str],
                        verdict: str, max_new_tokens: int, batch_size: int,
                        task: Task) -> list[str]:  # fmt: skip
    """What the model writes after prompt, verdict and `<explanation>`, decoded greedily.

    Args:
        loaded: model and tokenizer.
        template: the prompt the model was trained with.
        texts: N texts; batches are made by length.
        verdict: the verdict string that is forced.
        max_new_tokens: where an explanation without an end is cut.
        batch_size: prompts at once.
        task: advanced by one a text.

    Returns:
        N explanations, cut before the closing tag (or any tag), stripped; possibly empty.
    """
    prefix = encode_pieces(loaded.tokenizer, [verdict, EXPLANATION_OPEN])
    prompts = [encode_prompt(loaded.tokenizer, template, text) + prefix for text in texts]
    written = [""] * len(texts)
    for batch in length_batches(prompts, batch_size):
        outputs = _generate(loaded, [prompts[i] for i in batch], max_new_tokens)
        for index, text in zip(batch, outputs, strict=True):
            written[index] = cut_explanation(text)
        task.advance(len(batch))
    return written


def cut_explanation(text: str) -> str:
    """The text up to the closing tag, or to the first other tag of the grammar."""
    text = text.split(EXPLANATION_CLOSE, 1)[0]
    while holds_tag(text):
        text = text[: text.rfind("<")]
    return text.strip()


def _generate(loaded: Loaded, prompts: Sequence[Sequence[int]], new_tokens: int) -> list[str]:
    import torch
    from transformers import GenerationConfig, StoppingCriteriaList

    tokenizer = loaded.tokenizer
    batch = pad_left(prompts, tokenizer.pad_token_id, loaded.device)
    greedy = GenerationConfig(do_sample=False, max_new_tokens=new_tokens,
                              pad_token_id=tokenizer.pad_token_id,
                              eos_token_id=tokenizer.eos_token_id)  # fmt: skip
    start = batch.ids.shape[1]
    stop = StoppingCriteriaList([_closed(tokenizer, start)])
    with torch.no_grad():
        out_B_S = loaded.model.generate(
            input_ids=batch.ids, attention_mask=batch.mask, generation_config=greedy,
            stopping_criteria=stop)  # fmt: skip
    texts: list[str] = tokenizer.batch_decode(out_B_S[:, start:], skip_special_tokens=True)
    return texts


def _closed(tokenizer: Any, start: int) -> Any:
    """A criterion that ends a row once its closing tag is written, however it is tokenized."""
    import torch

    def done(ids_B_S: Any, scores: Any, **kwargs: Any) -> Any:
        tails = tokenizer.batch_decode(ids_B_S[:, max(start, ids_B_S.shape[1] - _TAIL_TOKENS) :])
        return torch.tensor([EXPLANATION_CLOSE in tail for tail in tails], device=ids_B_S.device)

    return done
