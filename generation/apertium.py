"""Machine translation by Apertium: batched, placeholders masked, unknown words counted."""

import functools
import re
import shutil
import subprocess
from collections.abc import Sequence
from typing import NamedTuple

from whyguard.core.errors import ConfigError, MissingToolError, TeacherError, fail
from whyguard.core.nearest import suggest
from whyguard.generation.masking import mask, unmask

MODES: dict[tuple[str, str], str] = {
    ("spa_Latn", "ast_Latn"): "spa-ast",
    ("spa_Latn", "arg_Latn"): "spa-arg",
    ("spa_Latn", "glg_Latn"): "es-gl",
    ("spa_Latn", "oci_Latn"): "es-oc",
    ("spa_Latn", "cat_Latn"): "spa-cat",
    ("spa_Latn", "eng_Latn"): "spa-eng",
    ("eng_Latn", "spa_Latn"): "eng-spa",
    ("arg_Latn", "spa_Latn"): "arg-spa",
    ("glg_Latn", "spa_Latn"): "gl-es",
    ("oci_Latn", "spa_Latn"): "oc-es",
    ("cat_Latn", "spa_Latn"): "cat-spa",
}
"""Engine mode of a language pair, as Debian's packages name them."""

_UNKNOWN = re.compile(r"[*#@](?=\w)")
_SPACE_BEFORE = re.compile(r"\s+([,.;:!?])")
_END = re.compile(r"[.!?…]+[\"'»”)]*$")
_BATCH_LINES = 200
_TIMEOUT_SECONDS = 120


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
            pairs = [f"{a} -> {b}" for a, b in MODES]
            fail(ConfigError, where="apertium", expected="a language pair the engine has",
                 found=f"{source} -> {target}", do=suggest(f"{source} -> {target}", pairs))  # fmt: skip
        self.mode = MODES[source, target]
        if self.mode not in _installed_modes():
            fail(MissingToolError, where=f"apertium {self.mode}", expected="an installed mode",
                 found="not installed", do="apt-get install --no-install-recommends apertium "
                 "apertium-spa-ast apertium-spa-arg apertium-es-gl apertium-oc-es "
                 "apertium-spa-cat apertium-eng-spa")  # fmt: skip

    @property
    def name(self) -> str:
        """Engine, mode and versions, as stored in `translator`."""
        return f"apertium {_engine_version()} {self.mode}{_data_version(self.mode)}"

    def translate(self, texts: Sequence[str]) -> list[Translated]:
        """Translate texts (of any number of lines each), in order."""
        pieces: list[str] = []
        spans: list[tuple[int, int]] = []
        masks = [mask(text) for text in texts]
        for masked in masks:
            lines = masked.text.split("\n")
            spans.append((len(pieces), len(pieces) + len(lines)))
            pieces.extend(lines)
        done: list[str] = []
        for start in range(0, len(pieces), _BATCH_LINES):
            done.extend(self._call(pieces[start : start + _BATCH_LINES]))
        return [
            _finish(pieces[a:b], done[a:b], masked.originals)
            for (a, b), masked in zip(spans, masks, strict=True)
        ]

    def _call(self, lines: Sequence[str]) -> list[str]:
        command = ["apertium", "-f", "line", self.mode]
        joined = "".join(f"{line}\n" for line in lines)
        done = subprocess.run(command, input=joined, capture_output=True, text=True,
                              encoding="utf-8", timeout=_TIMEOUT_SECONDS)  # fmt: skip
        out = done.stdout.split("\n")
        if out and out[-1] == "":
            out.pop()
        if done.returncode != 0 or len(out) != len(lines):
            fail(TeacherError, where=" ".join(command), expected=f"{len(lines)} lines",
                 found=f"{len(out)} lines, exit {done.returncode}: {done.stderr.strip()[:200]}",
                 do="check that the mode works: echo Hola | apertium " + self.mode)  # fmt: skip
        return out


def _finish(source: Sequence[str], lines: Sequence[str], originals: tuple[str, ...]) -> Translated:
    unknown = sum(len(_UNKNOWN.findall(line)) for line in lines)
    tidy = [_tidy(before, after) for before, after in zip(source, lines, strict=True)]
    text, lost = unmask("\n".join(tidy), originals)
    return Translated(text, unknown, lost)


def _tidy(source: str, line: str) -> str:
    """Undo what `-f line` does to a line: unknown marks, space before stops, the lost end."""
    line = _SPACE_BEFORE.sub(r"\1", _UNKNOWN.sub("", line)).strip()
    end = _END.search(source.rstrip())
    if end and line and not _END.search(line):
        line += end.group()
    return line


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
