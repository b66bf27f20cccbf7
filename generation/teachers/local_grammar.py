"""JSON schemas that hold an answer, token by token (llguidance)."""

from typing import TYPE_CHECKING, Any

from whyguard.core.errors import ConfigError, fail
from whyguard.core.optional import require

if TYPE_CHECKING:
    from torch import Tensor

_EXTRA = "generate"


class Grammars:
    """One grammar a schema, made once; each row follows a copy of it.

    JSON is written on one line with `, ` and `: ` between its parts: with free blanks a weak model
    may write nothing else. llguidance (3 MB, no dependencies) is used rather than xgrammar, which
    installs triton (a 286 MB wheel) even where there is no GPU.

    Raises:
        ConfigError: the tokenizer is not of the kind that the grammar engine reads.
        MissingExtraError: llguidance is not installed.
    """

    def __init__(self, tokenizer: Any, vocabulary: int, ends: frozenset[int]) -> None:
        self._engine = require("llguidance", _EXTRA)
        hf = require("llguidance.hf", _EXTRA)
        try:
            self._tokenizer = hf.from_tokenizer(tokenizer, n_vocab=vocabulary,
                                                eos_token=sorted(ends) or None)  # fmt: skip
        except ValueError as error:
            fail(ConfigError, where="teacher.form", expected="a tokenizer of the fast kind (form "
                 "json)", found=str(error)[:200], do="say form: tags for this model")  # fmt: skip
        self._known: dict[str, Any] = {}

    def follow(self, schema: str) -> "Follower":
        """A row at the beginning of its answer.

        Raises:
            ConfigError: the schema says what the grammar engine does not know.
        """
        if schema not in self._known:
            self._known[schema] = self._compiled(schema)
        return Follower(self._known[schema].deep_copy())

    def _compiled(self, schema: str) -> Any:
        text = self._engine.LLMatcher.grammar_from_json_schema(
            schema, overrides={"whitespace_flexible": False, "item_separator": ", ",
                               "key_separator": ": "})  # fmt: skip
        matcher = self._engine.LLMatcher(self._tokenizer, text)
        if matcher.is_error():
            fail(ConfigError, where="the answer's schema", expected="a JSON schema that the "
                 "grammar engine knows", found=matcher.get_error()[:200],
                 do="simplify the schema, or say form: tags")  # fmt: skip
        return matcher


class Follower:
    """Where in its grammar one row stands."""

    def __init__(self, matcher: Any) -> None:
        self._matcher = matcher

    def hide(self, scores_V: "Tensor") -> None:
        """Set what may not come next to minus infinity, in place."""
        torch = require("torch", _EXTRA)
        bias = torch.frombuffer(bytearray(self._matcher.compute_logit_bias()), dtype=torch.uint8)
        open_V = torch.zeros(len(scores_V), dtype=torch.bool)
        open_V[: len(bias)] = bias[: len(scores_V)] > 0
        scores_V.masked_fill_(~open_V.to(scores_V.device), -torch.inf)

    def take(self, token: int) -> bool:
        """Go on by a token; whether the answer is complete with it."""
        self._matcher.consume_token(token)
        return bool(self._matcher.is_stopped())
