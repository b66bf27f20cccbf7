"""How messages become a model's text: its chat template, and hostile text that stays data."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from whyguard.core.errors import DataError, fail
from whyguard.core.hashing import sha256_file, sha256_json
from whyguard.core.optional import require
from whyguard.generation.grammar import TAGS

_SHAPING_FILES = ("tokenizer", "vocab", "spiece", "sentencepiece", "merges", "tekken",
                  "special_tokens", "added_tokens", "chat_template", "additional_chat_templates",
                  "generation_config")  # fmt: skip
"""What names of the files begin with that turn messages into tokens, or say where answers end."""

Messages = Sequence[tuple[str, str]]


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of a model folder, without the model.

    Raises:
        DataError: transformers cannot load it.
    """
    transformers = require("transformers", "generate")
    try:
        return transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=False,
                                                          local_files_only=True)  # fmt: skip
    except (OSError, ValueError, TypeError, KeyError, RuntimeError) as error:
        lines = str(error).strip().splitlines()
        fail(DataError, where=f"model folder {folder}",
             expected="a tokenizer that transformers can load",
             found=(lines[0] if lines else type(error).__name__)[:200],
             do="save the tokenizer there with save_pretrained")  # fmt: skip


def template_sha256(folder: Path) -> str:
    """Hash of the files that shape a prompt: tokenizer, chat template, end tokens.

    It stands in a call's key beside the revision of the weights.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file()
                   and path.relative_to(folder).parts[0].startswith(_SHAPING_FILES))  # fmt: skip
    return sha256_json({path.relative_to(folder).as_posix(): sha256_file(path) for path in files})


def is_prefilled(messages: Messages) -> bool:
    """Whether the last message is the beginning of the answer."""
    return bool(messages) and messages[-1][0] == "assistant"


def chat_text(tokenizer: Any, messages: Messages) -> str:
    """The messages in the model's chat template, up to where the answer begins or goes on.

    Some templates know no system part: all messages then go into one of the user's. Without a
    template the contents follow each other with blank lines between them. Special tokens inside
    contents are broken, so that hostile text cannot end its turn; tags of the grammar are not,
    which some models have as special tokens too: templates and prefills need them, and
    `templates.fence` has broken those of the prompt.
    """
    clean = [{"role": role, "content": without_specials(tokenizer, content)}
             for role, content in messages]  # fmt: skip
    prefix = [clean.pop()] if is_prefilled(messages) else []
    joined = "\n\n".join(message["content"] for message in clean)
    if not tokenizer.chat_template:
        return f"{joined}\n\n" + "".join(message["content"] for message in prefix)
    lay_out = functools.partial(tokenizer.apply_chat_template, tokenize=False,
                                add_generation_prompt=not prefix,
                                continue_final_message=bool(prefix))  # fmt: skip
    try:
        text: str = lay_out(clean + prefix)
    except require("jinja2", "generate").TemplateError:
        text = lay_out([{"role": "user", "content": joined}, *prefix])
    return text


def prompt_ids(tokenizer: Any, messages: Messages) -> list[int]:
    """The messages as tokens; a chat template writes the model's special tokens itself."""
    text = chat_text(tokenizer, messages)
    plain = not tokenizer.chat_template
    ids: list[int] = tokenizer(text, add_special_tokens=plain)["input_ids"]
    if plain and is_prefilled(messages) and ids and ids[-1] == tokenizer.eos_token_id:
        ids.pop()  # some tokenizers end every text: nothing would be left to continue
    return ids


def without_specials(tokenizer: Any, text: str) -> str:
    """The text with a blank inside each of the model's special tokens: it cannot end its turn.

    The blank goes between visible characters: a token of blanks, or with one visible character,
    cannot be broken so, and stays.
    """
    for special in _specials(tokenizer):
        core = special.strip()
        broken = special.replace(core, f"{core[:1]} {core[1:]}", 1)
        while len(core) > 1 and special in text:
            text = text.replace(special, broken)
    return text


def decoded(tokenizer: Any, ids: Sequence[int]) -> str:
    """Generated tokens as text, without special tokens but with the grammar's tags."""
    hidden = _hidden_ids(tokenizer)
    if hidden is None:
        return str(tokenizer.decode(ids, skip_special_tokens=True))
    shown = [token for token in ids if token not in hidden]
    return str(tokenizer.decode(shown, skip_special_tokens=False))


@functools.lru_cache(maxsize=4)
def _specials(tokenizer: Any) -> tuple[str, ...]:
    """Longest first, without tags of the grammar; kept, since some tokenizers have thousands."""
    found = set(_special_tokens(tokenizer).values()) - TAGS
    return tuple(sorted(found, key=lambda token: (-len(token), token)))


@functools.lru_cache(maxsize=4)
def _hidden_ids(tokenizer: Any) -> frozenset[int] | None:
    """Special tokens that are no tag of the grammar; None where no tag is a special token."""
    tokens = _special_tokens(tokenizer)
    if TAGS.isdisjoint(tokens.values()):
        return None
    return frozenset(token for token, text in tokens.items() if text not in TAGS)


def _special_tokens(tokenizer: Any) -> dict[int, str]:
    return {number: str(token) for number, token in tokenizer.added_tokens_decoder.items()
            if token.special}  # fmt: skip
