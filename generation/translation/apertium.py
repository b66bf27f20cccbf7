"""Machine translation by Apertium: batched, placeholders masked, unknown words counted."""

import functools
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from typing import NamedTuple, NoReturn

from whyguard.core.artefact import ModelUse
from whyguard.core.errors import ConfigError, MissingToolError, TeacherError, fail
from whyguard.core.nearest import suggest
from whyguard.generation.translation.chain import Raw, Terms
from whyguard.generation.translation.masking import mask, unmask
from whyguard.generation.translation.sentences import BREAKS

MODES: dict[tuple[str, str], str] = {
    ("spa_Latn", "ast_Latn"): "spa-ast",
    ("spa_Latn", "arg_Latn"): "spa-arg",
    ("spa_Latn", "glg_Latn"): "es-gl",
    ("spa_Latn", "oci_Latn"): "es-oc",
    ("spa_Latn", "cat_Latn"): "spa-cat",
    ("spa_Latn", "eng_Latn"): "spa-eng",
    ("spa_Latn", "ita_Latn"): "spa-ita",
    ("eng_Latn", "spa_Latn"): "eng-spa",
    ("arg_Latn", "spa_Latn"): "arg-spa",
    ("glg_Latn", "spa_Latn"): "gl-es",
    ("oci_Latn", "spa_Latn"): "oc-es",
    ("cat_Latn", "spa_Latn"): "cat-spa",
    ("ita_Latn", "spa_Latn"): "ita-spa",
}
"""Engine mode of a language pair, as Debian's packages name them."""

_UNKNOWN = re.compile(r"[*#@](?=\w)")
_SPACE_BEFORE = re.compile(r"\s+(?=[,.;:!?])")
_FINAL_STOPS = re.compile(r"\.+$")
_BATCH_LINES = 200
_TIMEOUT_SECONDS = 120
_PACKAGES = ("apertium apertium-eng-spa apertium-spa-ast apertium-spa-arg apertium-es-gl "
             "apertium-spa-cat apertium-spa-ita apertium-oc-es")  # fmt: skip


def check_hops(hops: Sequence[tuple[str, str]], where: str) -> None:
    """Refuse a way that the engine cannot go, before any text is translated.

    Args:
        hops: language pairs.
        where: names the backend's entry.

    Raises:
        ConfigError: no mode is known for a pair; the message names a pivot, if there is one.
        MissingToolError: the engine, or a mode's language data, is not installed.
    """
    for source, target in hops:
        pivots = [code for first, code in MODES if first == source and (code, target) in MODES]
        if (source, target) not in MODES and pivots and len(hops) == 1:
            fail(ConfigError, where=where, expected="a language pair the engine has",
                 found=f"{source} -> {target}",
                 do=f"add `pivot: {pivots[0]}` to this entry")  # fmt: skip
        if (source, target) not in MODES:
            fail(ConfigError, where=where, expected="a language pair the engine has",
                 found=f"{source} -> {target}", do="name under `languages:` of this entry those it "
                 "may translate into, or another backend")  # fmt: skip
        Apertium(source, target)


class Translated(NamedTuple):
    """A translation; `unknown` words were left as they stood, `lost` placeholders vanished."""

    text: str
    unknown: int
    lost: int


class Apertium:
    """One direction of the engine.

    Raises:
        ConfigError: no mode is known for the pair.
        MissingToolError: the engine, or the mode's language data, is not installed.
    """

    def __init__(self, source: str, target: str) -> None:
        if (source, target) not in MODES:
            pairs, pair = [f"{a} -> {b}" for a, b in MODES], f"{source} -> {target}"
            fail(ConfigError, where="apertium", expected="a language pair the engine has",
                 found=pair, do=suggest(pair, pairs))  # fmt: skip
        self.mode = MODES[source, target]
        if self.mode not in _installed_modes():
            fail(MissingToolError, where=f"apertium {self.mode}", expected="an installed mode",
                 found="not installed" if shutil.which("apertium") else "no apertium at all",
                 do=f"apt-get install --no-install-recommends {_PACKAGES}")  # fmt: skip

    @property
    def name(self) -> str:
        """Engine, mode and versions, as stored in `translator`."""
        return f"apertium {_engine_version()} {self.mode}{_data_version(self.mode)}"

    def translate(self, texts: Sequence[str]) -> list[Translated]:
        """Translate texts (of any number of lines each), in order.

        Line breaks of every kind, blank lines and blanks at both ends of a line stay as they are.

        Raises:
            TeacherError: the engine failed, hung, or lost a line.
        """
        masks = [mask(text) for text in texts]
        done = self.translate_masked([masked.text for masked in masks])
        return [_unmasked(text, unknown, masked.originals)
                for (text, unknown), masked in zip(done, masks, strict=True)]  # fmt: skip

    def translate_masked(self, texts: Sequence[str]) -> list[tuple[str, int]]:
        """The same of texts that `mask` made: each translation, and its unknown words."""
        pieces = [BREAKS.split(text) for text in texts]
        lines = [line for parts in pieces for line in parts[0::2] if line.strip()]
        done: list[str] = []
        for start in range(0, len(lines), _BATCH_LINES):
            done.extend(self._call(lines[start : start + _BATCH_LINES]))
        answers = iter(done)
        return [_joined(parts, answers) for parts in pieces]

    def _call(self, lines: Sequence[str]) -> list[str]:
        command = ["apertium", "-f", "line", self.mode]
        sent = "".join(f"{line}\n" for line in lines).encode()
        # bytes, since text mode would turn a carriage return inside a line into a line break
        environment = os.environ | {"LC_ALL": "C.UTF-8"}
        try:
            done = subprocess.run(command, input=sent, capture_output=True, env=environment,
                                  timeout=_TIMEOUT_SECONDS)  # fmt: skip
        except subprocess.TimeoutExpired:
            self._failed(len(lines), f"no answer in {_TIMEOUT_SECONDS} s")
        out = done.stdout.decode("utf-8", "replace").split("\n")
        if out[-1] == "":
            out.pop()
        if done.returncode != 0 or len(out) != len(lines):
            said = done.stderr.decode("utf-8", "replace").strip()[:200]
            self._failed(len(lines), f"{len(out)} lines, exit {done.returncode}: {said}")
        return out

    def _failed(self, lines: int, found: str) -> NoReturn:
        fail(TeacherError, where=f"apertium -f line {self.mode}", expected=f"{lines} lines",
             found=found, do=f"try the mode by hand: echo Hola | apertium {self.mode}")  # fmt: skip


class ApertiumEngine:
    """All directions of the engine, for `chain.EngineBackend`."""

    label = "apertium"
    uses: tuple[ModelUse, ...] = ()

    def name(self, source: str, target: str) -> str:
        """See `Apertium.name`."""
        return Apertium(source, target).name

    def translate(self, source: str, target: str, pieces: Sequence[str],
                  terms: Sequence[Terms]) -> list[Raw]:  # fmt: skip
        """New translations; it reads no glossary.

        Raises:
            ConfigError, MissingToolError, TeacherError: see `Apertium`.
        """
        return [Raw(*done) for done in Apertium(source, target).translate_masked(pieces)]


def _unmasked(text: str, unknown: int, originals: tuple[str, ...]) -> Translated:
    text, lost = unmask(text, originals)
    return Translated(text, unknown, lost)


def _joined(parts: Sequence[str], answers: Iterator[str]) -> tuple[str, int]:
    """A text from its lines (even places, translated) and line breaks (odd places, kept)."""
    out: list[str] = []
    unknown = 0
    for place, part in enumerate(parts):
        if place % 2 or not part.strip():
            out.append(part)
            continue
        answer = next(answers)
        unknown += len(_UNKNOWN.findall(answer))
        out.append(_tidy(part, answer))
    return "".join(out), unknown


def _tidy(source: str, line: str) -> str:
    """Undo what `-f line` does to a line: unknown marks, space before stops, the lost full stop."""
    core = source.strip()
    line = _UNKNOWN.sub("", line).strip()
    if not _SPACE_BEFORE.search(core):
        line = _SPACE_BEFORE.sub("", line)
    stops = _FINAL_STOPS.search(core)
    if stops:
        line = line.rstrip(" .") + stops.group()
    start = source.index(core)
    return source[:start] + line + source[start + len(core) :]


@functools.cache
def _installed_modes() -> frozenset[str]:
    if shutil.which("apertium") is None:
        return frozenset()
    done = subprocess.run(["apertium", "-l"], capture_output=True, text=True, timeout=30)
    return frozenset(done.stdout.split())


def _engine_version() -> str:
    return _package_version("apertium") or "(version unknown)"


def _data_version(mode: str) -> str:
    """The mode's language data with its version, where dpkg knows it."""
    pair = "oc-es" if mode.startswith(("es-oc", "oc-es")) else mode
    one, _, other = pair.partition("-")
    for name in (f"apertium-{pair}", f"apertium-{other}-{one}"):
        if version := _package_version(name):
            return f" ({name} {version})"
    return ""


@functools.cache
def _package_version(name: str) -> str | None:
    if shutil.which("dpkg-query") is None:
        return None
    done = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", name],
                          capture_output=True, text=True, timeout=30)  # fmt: skip
    return done.stdout if done.returncode == 0 and done.stdout else None
