"""train/loops/toy.py and batch.py: the planted rule, the rows, sampling and log-probabilities."""

import itertools

import pytest
import torch

from whyguard.core.values import Label
from whyguard.generation.grammar import parse_guard
from whyguard.train.loops import toy
from whyguard.train.loops.batch import collate, epochs, row_logps, sample, verdict_accuracy
from whyguard.train.loops.pairs import build_pairs
from whyguard.train.segments import END_WEIGHT, IGNORED

torch.set_num_threads(1)
FAMILIES = toy.families(60, seed=0)


def test_harmful_is_an_act_with_a_target() -> None:
    for family in FAMILIES:
        both = bool({*toy.ACTS} & {*family.concepts}) and bool({*toy.TARGETS} & {*family.concepts})
        assert (family.label == Label.HARMFUL) == both == (family.category is not None)
    assert sum(family.label == Label.HARMFUL for family in FAMILIES) == 30
    assert toy.families(60, seed=0) == FAMILIES != toy.families(60, seed=1)


def test_every_nth_family_is_of_both_labels() -> None:
    for step in (2, 3, 6):
        assert {family.label for family in FAMILIES[::step]} == {*Label}


def test_languages_share_cognates_only() -> None:
    words = [{toy.word(c, speech) for c in range(toy.OTHERS.stop)} for speech in toy.Speech]
    assert words[0] & words[1] == {toy.word(c, toy.Speech.E) for c in range(0, 100, 6)}
    assert len(toy.VOCABULARY) == len(toy.IDS) == 216


@pytest.mark.parametrize("speech", toy.Speech)
def test_completions_are_of_the_grammar(speech: toy.Speech) -> None:
    for family in FAMILIES:
        row = toy.encoded(family, speech)
        start = row.labels.index(toy.IDS["<think>"])
        parsed = parse_guard(toy.text_of(row.input_ids[start:]))
        assert row.input_ids[:start] == toy.prompt_ids(family, speech)
        assert row.labels[:start] == [IGNORED] * start and row.input_ids[-1] == toy.EOS
        assert parsed.verdict == family.label
        assert parsed.violations == ((family.category,) if family.category else ())
        assert (parsed.explanation is not None) == (family.label == Label.HARMFUL)
        assert sum(row.loss_weights) == pytest.approx(
            len(toy.segments(family, speech)) + END_WEIGHT
        )


def test_mixed_rows_say_how_many_are_in_t() -> None:
    rows = toy.mixed_rows(FAMILIES, 20)
    in_t = [n for n, f in enumerate(FAMILIES) if rows[n] == toy.encoded(f, toy.Speech.T)]
    assert in_t == [0, 20, 40]


def test_the_model_is_as_large_as_it_says_and_follows_its_seed() -> None:
    models = [toy.toy_model(seed) for seed in (0, 0, 1)]
    assert sum(weight.numel() for weight in models[0].parameters()) == 96_064
    first, again, other = (next(iter(model.parameters())) for model in models)
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_row_logps_equal_transformers_own_loss_1e_5() -> None:
    model, row = toy.toy_model(0), toy.encoded(FAMILIES[0], toy.Speech.T)
    longer = toy.encoded(max(FAMILIES, key=lambda f: len(f.concepts)), toy.Speech.E)
    together = row_logps(model, collate([row, longer]))[0].item()
    loss = model(input_ids=torch.tensor([row.input_ids]), labels=torch.tensor([row.labels])).loss
    tokens = sum(label != IGNORED for label in row.labels)
    assert together == pytest.approx(-loss.item() * tokens, rel=1e-5)


def test_greedy_sampling_in_a_batch_equals_forwards_without_cache() -> None:
    model = toy.toy_model(0, initializer_range=0.5)
    prompts = [toy.prompt_ids(family, toy.Speech.E) for family in FAMILIES[:4]]
    assert len({len(prompt) for prompt in prompts}) > 1
    for prompt, written in zip(prompts, sample(model, prompts, 8, 0.0), strict=True):
        ids = list(prompt)
        for _ in written:
            ids.append(int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
        assert ids[len(prompt) :] == written


def test_sampling_follows_its_generator_and_stops_at_the_end_token() -> None:
    model = toy.toy_model(0, initializer_range=0.01)
    prompts = [toy.prompt_ids(FAMILIES[0], toy.Speech.E)] * 64
    first, again = (
        sample(model, prompts, 200, 1.0, torch.Generator().manual_seed(4)) for _ in "ab"
    )
    assert first == again
    ended = [ids for ids in first if toy.EOS in ids]
    assert ended and all(ids.index(toy.EOS) == len(ids) - 1 for ids in ended)


def test_epochs_take_every_item_once() -> None:
    batches = epochs(list(range(6)), 2, seed=0)
    seen = [next(batches) for _ in range(6)]
    for epoch in (seen[:3], seen[3:]):
        assert sorted(itertools.chain(*epoch)) == list(range(6))
    assert next(epochs([1, 2], 5, seed=0)) in ([1, 2], [2, 1])


def test_an_untrained_model_is_never_right_and_gives_no_pair() -> None:
    model = toy.toy_model(0)
    assert verdict_accuracy(model, FAMILIES[:8], toy.Speech.E) == 0.0
    assert build_pairs(model, FAMILIES[:8], samples=1, temperature=1.0, seed=0) == []
