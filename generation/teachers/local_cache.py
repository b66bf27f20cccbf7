"""Key-value caches of the in-process teacher: a prefix run once, buffers that are not copied.

Imports torch and transformers as it is read: import it where a model is loaded anyway.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import Cache, DynamicLayer, DynamicSlidingWindowLayer

_KEPT_PREFIXES = 4
_LAYER_TYPES = frozenset({"full_attention", "sliding_attention"})


class Prefix(NamedTuple):
    """Tokens that prompts begin with, and their keys and values a layer, each (1, H, P, D)."""

    ids: tuple[int, ...]
    layers: tuple[tuple[Tensor, Tensor], ...]


class RoomyLayer(DynamicLayer):  # type: ignore[misc]  # transformers is not followed by mypy
    """A cache layer with room for the whole answer from the start.

    `DynamicLayer` copies all keys and values for each new token; this one writes the new ones into
    its buffer and hands out a view.
    """

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self._capacity, self._filled = capacity, 0

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Make the buffers, (B, H, capacity, D)."""
        super().lazy_initialization(key_states, value_states)
        self._keys, self._values = (
            states.new_zeros(*states.shape[:2], self._capacity, states.shape[-1])
            for states in (key_states, value_states)
        )

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
               ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """Write the new keys and values behind the others; all of them."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        end = self._filled + key_states.shape[-2]
        self._keys[:, :, self._filled : end] = key_states
        self._values[:, :, self._filled : end] = value_states
        self._filled = end
        return self._show()

    def repeat(self, keys: Tensor, values: Tensor, shifts: Sequence[int]) -> None:
        """Begin each row with the prefix, moved right by the row's shift: the left is padding."""
        width, rows = keys.shape[-2], len(shifts)
        self.lazy_initialization(keys.expand(rows, -1, -1, -1), values.expand(rows, -1, -1, -1))
        for row, shift in enumerate(shifts):
            if shift < width:
                self._keys[row, :, shift:width] = keys[0, :, : width - shift]
                self._values[row, :, shift:width] = values[0, :, : width - shift]
        self._filled = width
        self._show()

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep these rows."""
        self._keys, self._values = self._keys[indices], self._values[indices]
        self._show()

    def _show(self) -> tuple[Tensor, Tensor]:
        self.keys = self._keys[:, :, : self._filled]
        self.values = self._values[:, :, : self._filled]
        return self.keys, self.values


def can_share(model: Any) -> bool:
    """Whether a prefix's cache gives exactly what the model would compute.

    True for layers that keep keys and values of past tokens, with or without a sliding window
    (the mask then hides what is outside of it); False for recurrent states and the like.
    """
    config = model.config.get_text_config(decoder=True)
    layers = DynamicCache(config=model.config).layers
    types = getattr(config, "layer_types", None) or ["full_attention"]
    known = all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers)
    return known and len(layers) == config.num_hidden_layers and _LAYER_TYPES.issuperset(types)


def roomy_cache(model: Any, capacity: int, prefix: Prefix | None, shifts: Sequence[int]) -> Cache:
    """A cache for `capacity` tokens a row that begins with the prefix, one row a shift."""
    count = len(prefix.layers) if prefix else len(DynamicCache(config=model.config).layers)
    layers = [RoomyLayer(capacity) for _ in range(count)]
    for layer, (keys, values) in zip(layers, prefix.layers if prefix else (), strict=False):
        layer.repeat(keys, values, shifts)
    return Cache(layers=layers)


class PrefixShelf:
    """Prefixes that were run, the last few of them."""

    def __init__(self, model: Any, device: str) -> None:
        self._model, self._device = model, device
        self._kept: OrderedDict[tuple[int, ...], Prefix] = OrderedDict()

    def get(self, ids: tuple[int, ...]) -> Prefix:
        """The prefix of these tokens; the model runs over them at most once while it is kept."""
        if ids not in self._kept:
            self._kept[ids] = self._run(ids)
            while len(self._kept) > _KEPT_PREFIXES:
                self._kept.popitem(last=False)
        self._kept.move_to_end(ids)
        return self._kept[ids]

    def _run(self, ids: tuple[int, ...]) -> Prefix:
        cache = DynamicCache()  # whole length in every layer, sliding ones too: rows move it right
        self._model(input_ids=torch.tensor([ids], device=self._device), past_key_values=cache,
                    use_cache=True, logits_to_keep=1)  # fmt: skip
        return Prefix(ids, tuple((layer.keys, layer.values) for layer in cache.layers))


def common_prefix(prompts: Iterable[Sequence[int]]) -> tuple[int, ...]:
    """What all prompts begin with, without the last token of any: that one has to be run."""
    shared: Sequence[int] | None = None
    for prompt in prompts:
        first = prompt if shared is None else shared
        limit = min(len(first), len(prompt) - 1)
        length = next((i for i in range(limit) if first[i] != prompt[i]), limit)
        shared = first[:length]
    return tuple(shared or ())
