"""Encoder-decoder translation models: NLLB-200, M2M-100, MADLAD-400, OPUS-MT (transformers)."""

import functools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from whyguard.core.artefact import ModelUse
from whyguard.core.hashing import sha256_json
from whyguard.core.optional import require
from whyguard.core.progress import Progress
from whyguard.core.refs import parse_model_ref
from whyguard.core.steps import Room
from whyguard.generation.calls.ask import ask
from whyguard.generation.models import (
    Loaded,
    Located,
    locate_model,
    pick_device,
    quiet_transformers,
    readable,
    torch_type,
)
from whyguard.generation.teachers.base import Answer, Task, TeacherConfig, TeacherRuntime
from whyguard.generation.translation.backends import BackendConfig
from whyguard.generation.translation.chain import Raw, Terms
from whyguard.generation.translation.masking import TOKEN
from whyguard.generation.translation.tags import (
    Vocabulary,
    check_pair,
    family_rule,
    tag_of,
    token_of,
)

SETUP = 1
"""Version of how texts are laid out for these models: part of the calls' key."""
_TOKEN_FORMS = ("⟦{n}⟧", "[{n}]", "{{{n}}}", "#{n}")
"""How a mask's token may look to a model; masked texts hold none of these signs otherwise."""
_UNBOUNDED = 1_000_000


class Tags(NamedTuple):
    """A pair of languages as the model calls them; None where it takes no tag."""

    source: str | None
    target: str | None


class Seq2SeqEngine:
    """Asks a `Seq2SeqTeacher` through the call ledger: a rerun translates only what is missing.

    Raises:
        ConfigError, MissingFileError, OfflineError, DataError: see `models.locate_model`.
    """

    def __init__(self, entry: BackendConfig, room: Room, runtime: TeacherRuntime) -> None:
        self._config, self._room, self._runtime = key_config(entry), room, runtime
        self._teacher = Seq2SeqTeacher(entry, runtime, room.progress)
        self.label = f"seq2seq {self._teacher.generator}"
        self.uses: tuple[ModelUse, ...] = (self._teacher.use,) if self._teacher.use else ()

    def name(self, source: str, target: str) -> str:
        """Family and model."""
        return self._teacher.generator

    def translate(self, source: str, target: str, pieces: Sequence[str],
                  terms: Sequence[Terms]) -> list[Raw]:  # fmt: skip
        """New translations; it reads no glossary.

        Raises:
            ConfigError: the model does not know one of the languages.
        """
        if not pieces:
            return []
        self._teacher.check(source, target)
        tasks = seq2seq_tasks(source, target, pieces)
        done = ask(self._teacher, tasks, self._config, self._runtime, self._room)
        return [Raw(item.answer.text, None, item.answer.reason) for item in done]


def seq2seq_tasks(source: str, target: str, pieces: Sequence[str]) -> list[Task]:
    """One task a piece; its messages name the pair, since that shapes the answer."""
    return [translation_task(piece, target, (("source", source), ("target", target),
                                             ("user", piece)))
            for piece in pieces]  # fmt: skip


def translation_task(piece: str, target: str, messages: tuple[tuple[str, str], ...],
                     schema: str | None = None) -> Task:  # fmt: skip
    """A task named by the text that it is to translate."""
    name = "text-" + sha256_json(piece)[:16]
    return Task("translation", name, name, "", (), target, 0, messages, schema)


def key_config(entry: BackendConfig) -> TeacherConfig:
    """The teacher config that stands for an entry in the calls' key (the teacher's `identity`
    holds the rest)."""
    return TeacherConfig(kind="transformers", model=entry.model, precision=entry.precision,
                         max_new_tokens=entry.max_new_tokens)  # fmt: skip


def identity_of(entry: BackendConfig) -> tuple[str, ...]:
    """The `identity` of an entry's teacher; locates the model, and opens nothing.

    Raises:
        ConfigError, MissingFileError, OfflineError, DataError: see `models.locate_model`.
    """
    return _identity(entry, locate_model(str(entry.model), role="translator"))


def _identity(entry: BackendConfig, located: Located) -> tuple[str, ...]:
    return (f"seq2seq {SETUP}", str(entry.family), *_content(located), f"beams {entry.beams}",
            sha256_json(dict(entry.tags)))  # fmt: skip


class Seq2SeqTeacher:
    """The model as a `BatchTeacher`; loaded when the first answer is asked for.

    Greedy or beam search, never sampling: in fp32 a rerun gives equal answers.
    """

    def __init__(self, entry: BackendConfig, runtime: TeacherRuntime, progress: Progress) -> None:
        self._entry, self._runtime = entry, runtime
        self._family = str(entry.family)
        self._rule = family_rule(self._family)
        self._forces = self._rule.target == "first_token"
        self._located = locate_model(str(entry.model), role="translator", progress=progress)
        self._opened: Loaded | None = None
        self.use: ModelUse | None = self._located.use
        self.generator = f"{self._family} {_short(self._located)}"
        self.identity = _identity(entry, self._located)

    def check(self, source: str, target: str) -> Tags:
        """Tags of both languages; reads the tokenizer, not the model.

        Raises:
            ConfigError: the model does not know one of them; the message names the nearest.
        """
        own, vocabulary = dict(self._entry.tags), self._vocabulary
        target_tag = tag_of(self._family, target, vocabulary, own)
        if self._rule.source == "language_token":
            return Tags(tag_of(self._family, source, vocabulary, own), target_tag)
        if target_tag is None:
            check_pair(source, target, vocabulary)
        return Tags(None, target_tag)

    def batches(self, tasks: Sequence[Task]) -> list[list[Task]]:
        """Of one pair and like length each: short texts do not wait for long ones."""
        out: list[list[Task]] = []
        for task in sorted(tasks, key=_pair_and_length):
            full = not out or len(out[-1]) >= self._runtime.batch_size
            if full or _pair(out[-1][0]) != _pair(task):
                out.append([])
            out[-1].append(task)
        return out

    def answer_batch(self, tasks: Sequence[Task]) -> list[Answer]:
        """Translations; a text that does not fit the model, or whose translation does not end,
        has none but a reason."""
        tags = self.check(*_pair(tasks[0]))
        if tags.source is not None:
            self._tokenizer.src_lang = tags.source
        texts = [self._laid_out(task.messages[-1][1], tags) for task in tasks]
        lengths = [len(self._tokenizer(text)["input_ids"]) for text in texts]
        most = self._positions()
        fitting = [n for n, length in enumerate(lengths) if length <= most]
        reason = f"longer than the model has room for ({most} tokens)"
        answers = [Answer(None, reason, prompt_tokens=length) for length in lengths]
        if fitting:
            done = self._generate([texts[n] for n in fitting], tags.target)
            for n, answer in zip(fitting, done, strict=True):
                answers[n] = answer
        return answers

    def _laid_out(self, text: str, tags: Tags) -> str:
        """A text as the model gets it."""
        shown = TOKEN.sub(lambda match: self._form.format(n=match[1]), text)
        if self._rule.target == "prefix" and tags.target is not None:
            return f"{token_of(self._family, tags.target)} {shown}"
        return shown

    def _positions(self) -> int:
        """Tokens of a text at most; relative positions have no end but the tokenizer's."""
        most = getattr(self._loaded.model.config, "max_position_embeddings", None)
        return min(most or _UNBOUNDED, self._tokenizer.model_max_length or _UNBOUNDED)

    def _generate(self, texts: Sequence[str], target_tag: str | None) -> list[Answer]:
        torch, loaded = require("torch", "generate"), self._loaded
        batch = self._tokenizer(list(texts), padding=True, return_tensors="pt").to(loaded.device)
        options: dict[str, Any] = {"max_new_tokens": self._entry.max_new_tokens,
                                   "num_beams": self._entry.beams, "do_sample": False}  # fmt: skip
        if self._forces and target_tag is not None:
            first = token_of(self._family, target_tag)
            options["forced_bos_token_id"] = self._tokenizer.convert_tokens_to_ids(first)
        with torch.inference_mode():
            rows = loaded.model.generate(**batch, **options).tolist()
        lengths = batch["attention_mask"].sum(dim=1).tolist()
        return [self._answer(row, length) for row, length in zip(rows, lengths, strict=True)]

    def _answer(self, row: list[int], prompt_tokens: int) -> Answer:
        # the first token starts the decoder, and a forced one after it is no text
        written, end = row[1 + self._forces :], self._tokenizer.eos_token_id
        if end not in written:
            reason = f"no end within {self._entry.max_new_tokens} tokens"
            return Answer(None, reason, len(written), None, prompt_tokens, "length")
        length = written.index(end) + 1
        text = self._tokenizer.decode(written[:length], skip_special_tokens=True).strip()
        text = _pattern_of(self._form).sub(r"⟦\1⟧", text)
        reason = "" if text else "an empty answer"
        return Answer(text or None, reason, length, None, prompt_tokens, "stop")

    @functools.cached_property
    def _tokenizer(self) -> Any:
        transformers = quiet_transformers()
        if self._family in ("m2m", "opus"):
            require("sentencepiece", "generate")
        if self._family == "opus":
            require("sacremoses", "generate")  # without it punctuation would be read otherwise
        with readable(self._located.folder, "a tokenizer that transformers can load"):
            return transformers.AutoTokenizer.from_pretrained(
                self._located.folder, trust_remote_code=False, local_files_only=True)  # fmt: skip

    @functools.cached_property
    def _vocabulary(self) -> Vocabulary:
        tokenizer = self._tokenizer
        names = [getattr(tokenizer, name, None) for name in ("source_lang", "target_lang")]
        # M2M-100's tokenizer keeps its languages beside its vocabulary
        tokens = {*tokenizer.get_vocab(), *getattr(tokenizer, "lang_token_to_id", ())}
        return Vocabulary(frozenset(tokens), *names)

    @functools.cached_property
    def _form(self) -> str:
        """How masks' tokens are shown: the first form that the vocabulary can spell."""
        for form in _TOKEN_FORMS:
            shown = f"a {form.format(n=12)} b"
            ids = self._tokenizer(shown)["input_ids"]
            spelt = self._tokenizer.decode(ids, skip_special_tokens=True)
            if (found := _pattern_of(form).search(spelt)) and found[1] == "12":
                return form
        return _TOKEN_FORMS[0]

    @functools.cached_property
    def _loaded(self) -> Loaded:
        torch, transformers = require("torch", "generate"), quiet_transformers()
        if self._runtime.threads:
            torch.set_num_threads(self._runtime.threads)
        place = pick_device(self._runtime.device)
        with readable(self._located.folder, "an encoder-decoder that transformers can load"):
            model = transformers.AutoModelForSeq2SeqLM.from_pretrained(
                self._located.folder, dtype=torch_type(torch, self._entry.precision),
                use_safetensors=True, trust_remote_code=False, local_files_only=True)  # fmt: skip
        model.generation_config.max_length = None  # max_new_tokens is the limit
        model.generation_config.forced_eos_token_id = None  # it would hide that an answer was cut
        return Loaded(model.to(place).eval(), self._tokenizer, self._located.use, place)


def _pair(task: Task) -> tuple[str, str]:
    return task.messages[0][1], task.messages[1][1]


def _pair_and_length(task: Task) -> tuple[tuple[str, str], int, str]:
    text = task.messages[-1][1]
    return _pair(task), len(text), text


def _pattern_of(form: str) -> re.Pattern[str]:
    """Finds tokens of that form, with blanks that a model put in."""
    before, after = (re.escape(part) for part in form.format(n="|").split("|"))
    return re.compile(rf"{before}\s*([0-9]{{1,6}})" + (rf"\s*{after}" if after else ""))


def _short(located: Located) -> str:
    """What rows name: the reference, and for a folder its name and content, not its place."""
    parsed = parse_model_ref(located.use.reference)
    if parsed.kind != "path":
        return located.use.reference
    return f"path:{Path(parsed.name).resolve().name}@{located.use.revision}"


def _content(located: Located) -> tuple[str, ...]:
    """Stands for weights and tokenizer in the key: a folder's content, else its revision."""
    if parse_model_ref(located.use.reference).kind == "path":
        return (located.use.revision,)
    return (located.use.reference, located.use.revision)
