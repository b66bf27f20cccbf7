"""Scoring mode `no_think`: P(harmful) from full-label log-probabilities right after the prompt."""

import copy
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from whyguard.core.errors import DataError, fail
from whyguard.core.progress import Task
from whyguard.core.values import Label
from whyguard.generation.guard.prompts import PromptTemplate
from whyguard.generation.models import Loaded

if TYPE_CHECKING:
    from torch import Tensor

NO_THINK = "no_think"
"""Name of the scoring mode."""


class Padded(NamedTuple):
    """A batch padded on the left: ids and mask, each (B, T)."""

    ids: "Tensor"
    mask: "Tensor"


def harmful_probabilities(loaded: Loaded, template: PromptTemplate, texts: Sequence[str],
                          labels: dict[str, str], batch_size: int, task: Task
                          ) -> NDArray[np.float64]:  # fmt: skip
    """P(harmful) of each text, in 0..1.

    exp(l_h) / (exp(l_h) + exp(l_u)), where l is the summed log-probability of all tokens of a
    label's full string after the prompt. First-token mass alone would split over tokenizations.

    Args:
        loaded: model and tokenizer.
        template: the prompt the model was trained with.
        texts: N texts, in any order; batches are made by length.
        labels: the verdict strings of `harmful` and `unharmful`.
        batch_size: prompts a forward pass.
        task: advanced by one a text.

    Raises:
        DataError: the model's numbers are not finite.
    """
    prompts = [encode_prompt(loaded.tokenizer, template, text) for text in texts]
    scores = np.zeros(len(texts))
    for batch in length_batches(prompts, batch_size):
        scores[batch] = verdict_probabilities(loaded, [prompts[i] for i in batch], labels)
        task.advance(len(batch))
    return scores


def verdict_probabilities(loaded: Loaded, prompts: Sequence[list[int]],
                          labels: dict[str, str]) -> NDArray[np.float64]:  # fmt: skip
    """P(harmful), (B,), right after prompts that are tokenized: one batch of a scoring mode."""
    options = [encode_pieces(loaded.tokenizer, [labels[label.value]])
               for label in (Label.HARMFUL, Label.UNHARMFUL)]  # fmt: skip
    # what both labels begin with cancels out: it moves into the prompt and runs once
    shared = common_length(*options)
    begun = [prompt + options[0][:shared] for prompt in prompts]
    logps_B_2 = label_logps(loaded, begun, [option[shared:] for option in options])
    if np.isnan(logps_B_2).any():
        fail(DataError, where=f"model {loaded.use.reference}", expected="log-probabilities",
             found="NaN: its weights hold numbers that are not finite",
             do="train it anew with a lower learning_rate")  # fmt: skip
    return np.asarray(1.0 / (1.0 + np.exp(logps_B_2[:, 1] - logps_B_2[:, 0])), dtype=np.float64)


def encode_prompt(tokenizer: Any, template: PromptTemplate, text: str) -> list[int]:
    """Token ids of the prompt, with the beginning token where the tokenizer wants one.

    What the text spells like a control token (`</s>`) is text: it ends and begins nothing.
    """
    ids: list[int] = tokenizer(template.render(text), split_special_tokens=True).input_ids
    return ids


def encode_pieces(tokenizer: Any, pieces: Iterable[str]) -> list[int]:
    """Token ids of pieces, each tokenized alone, without control tokens, even spelled ones."""
    ids: list[int] = []
    for piece in pieces:
        ids += tokenizer(piece, add_special_tokens=False, split_special_tokens=True).input_ids
    return ids


def common_length(left: Sequence[int], right: Sequence[int]) -> int:
    """How many tokens two sequences share at their beginning (all but the last at most)."""
    limit = min(len(left), len(right)) - 1
    return next((i for i in range(limit) if left[i] != right[i]), limit)


def length_batches(prompts: Sequence[Sequence[int]], size: int) -> Iterator[list[int]]:
    """Indices in batches of like length, longest first: memory peaks at once, not at the end."""
    order = sorted(range(len(prompts)), key=lambda i: (-len(prompts[i]), i))
    for start in range(0, len(order), size):
        yield order[start : start + size]


def pad_left(prompts: Sequence[Sequence[int]], pad_id: int, device: str) -> Padded:
    """Pad on the left, so that every prompt ends at the same position."""
    import torch

    longest = max(len(prompt) for prompt in prompts)
    ids = [[pad_id] * (longest - len(p)) + list(p) for p in prompts]
    mask = [[0] * (longest - len(p)) + [1] * len(p) for p in prompts]
    return Padded(torch.tensor(ids, device=device), torch.tensor(mask, device=device))


def label_logps(loaded: Loaded, prompts: Sequence[Sequence[int]],
                options: Sequence[Sequence[int]]) -> NDArray[np.float64]:  # fmt: skip
    """Summed log-probability of each option after each prompt, (B, number of options).

    The prompt runs once; each option continues from a copy of its key-value cache.
    """
    import torch

    model = loaded.model
    batch = pad_left(prompts, loaded.tokenizer.pad_token_id, loaded.device)
    positions_B_T = (batch.mask.cumsum(-1) - 1).clamp(min=0)
    with torch.no_grad():
        out = model(input_ids=batch.ids, attention_mask=batch.mask,
                    position_ids=positions_B_T, use_cache=True, logits_to_keep=1)  # fmt: skip
        last_B_V = out.logits[:, -1].float()
        columns = [
            _continue(model, batch.mask, positions_B_T[:, -1], last_B_V, option,
                      copy.deepcopy(out.past_key_values))
            for option in options
        ]  # fmt: skip
    return np.stack(columns, axis=1)


def _continue(model: Any, mask_B_T: "Tensor", last_position_B: "Tensor", last_B_V: "Tensor",
              option: Sequence[int], cache: Any) -> NDArray[np.float64]:  # fmt: skip
    import torch

    device = mask_B_T.device
    option_B_L = torch.tensor(option, device=device).expand(len(mask_B_T), len(option))
    logits_B_L_V = last_B_V[:, None]
    if len(option) > 1:
        given = option_B_L[:, :-1]  # nothing is predicted after the last token
        steps = torch.arange(1, given.shape[1] + 1, device=device)
        out = model(input_ids=given, past_key_values=cache, use_cache=True,
                    attention_mask=torch.cat([mask_B_T, torch.ones_like(given)], 1),
                    position_ids=last_position_B[:, None] + steps)  # fmt: skip
        logits_B_L_V = torch.cat([logits_B_L_V, out.logits.float()], 1)
    logps_B_L = torch.log_softmax(logits_B_L_V, -1).gather(2, option_B_L[..., None])[..., 0]
    return np.asarray(logps_B_L.double().sum(-1).cpu().numpy(), dtype=np.float64)
