"""Teacher prompts as versioned files; the user's prompt is fenced, since it may be hostile."""

import re
from importlib import resources
from string import Template

from whyguard.core.errors import ConfigError, fail
from whyguard.core.languages import ENGLISH, language_name
from whyguard.core.nearest import suggest
from whyguard.core.values import CATEGORY_CODES, NOT_WRITTEN
from whyguard.curation.taxonomy import category_name

Messages = tuple[tuple[str, str], ...]
_FOLDER = resources.files("whyguard.generation").joinpath("data/templates")
_MARKS = re.compile(r"(<(?=<)|>(?=>))")


def load_template(name: str) -> str:
    """The template file of that name.

    Raises:
        ConfigError: there is none.
    """
    known = [item.name.removesuffix(".txt") for item in _FOLDER.iterdir()]
    if name not in known:
        fail(ConfigError, where="teacher.template", expected="the name of a template",
             found=f"'{name}'", do=suggest(name, known))  # fmt: skip
    return _FOLDER.joinpath(f"{name}.txt").read_text("utf-8")


def fence(text: str) -> str:
    """The prompt as data: fence marks inside it are broken, so that it cannot close its fence."""
    return _MARKS.sub(r"\1 ", text)


def fill(name: str, prompt: str, language: str, label: str) -> Messages:
    """Messages of one call: the template before `---` is the system's part, after it the user's.

    Raises:
        ConfigError: there is no template of that name.
    """
    written = [code for code in CATEGORY_CODES if code not in NOT_WRITTEN]
    values = {
        "policy": "\n".join(f"{code}: {category_name(code, ENGLISH)}" for code in written),
        "prompt": fence(prompt),
        "language": language_name(language),
        "label": label,
    }
    # The template is cut before it is filled: a prompt may hold the line that cuts it.
    system, _, user = load_template(name).partition("\n---\n")
    parts = (("system", system), ("user", user))
    return tuple((role, Template(part).substitute(values).strip()) for role, part in parts)
