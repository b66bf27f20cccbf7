"""Teacher prompts as versioned files; the user's prompt is fenced, since it may be hostile."""

import re
from collections.abc import Mapping
from importlib import resources
from string import Template

from whyguard.core.errors import ConfigError, fail
from whyguard.core.languages import language_name
from whyguard.core.nearest import suggest
from whyguard.core.values import CATEGORY_CODES, NOT_WRITTEN
from whyguard.curation.taxonomy import category

Messages = tuple[tuple[str, str], ...]
_FOLDER = resources.files("whyguard.generation").joinpath("data/templates")
_HIDDEN = "[\u034f\u200b-\u200f\u2060-\u2064\ufeff]*"
_MARKS = re.compile(
    rf"[<\uff1c\ufe64](?=\S)|[>\uff1e\ufe65](?={_HIDDEN}[>\uff1e\ufe65])"
    rf"|\[(?={_HIDDEN}(?:[|/]|(?i:inst)\b|[a-z]*[A-Z]{{2}}[\w-]*\]))"
)
"""What could close the fence, open a tag of the grammar or look like a special token of a chat: in
angles (ASCII, or wide ones that compatibility folding makes so) or in square brackets (a bar, a
slash or capitals after the bracket); joiners between the marks count for nothing."""


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
    """The text as data: a blank breaks each mark that could mean more than itself.

    Those are the fence's own marks, tags (`<think>`), and special tokens of chat formats
    (`<|im_end|>`, `</s>`, `[INST]`, `[TOOL_RESULTS]`, `[|endofturn|]`): a server reads some of
    them in plain text.
    """
    return _MARKS.sub(r"\g<0> ", text)


def fill(name: str, prompt: str, language: str, label: str | None = None,
         data: Mapping[str, str] | None = None) -> Messages:  # fmt: skip
    """Messages of one call: the template before `---` is the system's part, after it the user's.

    Args:
        name: of the template.
        prompt: `$prompt`, fenced.
        language: code; `$language` is its English name.
        label: `$label`; None where the teacher must not know it.
        data: further fields of the template by name, fenced.

    Raises:
        ConfigError: there is no template of that name, or it has a field that is not given here.
    """
    fields = {"prompt": prompt} | dict(data or {})
    values = {key: fence(text) for key, text in fields.items()}
    values |= {"policy": policy(), "language": language_name(language)}
    if label is not None:
        values["label"] = label
    # The template is cut before it is filled: a prompt may hold the line that cuts it.
    system, _, user = load_template(name).partition("\n---\n")
    parts = (("system", system), ("user", user))
    return tuple((role, _substituted(part, values, name)) for role, part in parts)


def policy() -> str:
    """`$policy`: the written categories, one a line."""
    written = [code for code in CATEGORY_CODES if code not in NOT_WRITTEN]
    return "\n".join(f"{code}: {category(code).name}" for code in written)


def _substituted(part: str, values: Mapping[str, str], name: str) -> str:
    unknown = sorted(set(Template(part).get_identifiers()) - values.keys())
    if unknown:
        given = ", ".join(sorted(values))
        fail(ConfigError, where=f"template '{name}'", expected=f"fields {given}",
             found=f"${unknown[0]}", do="use a template that is meant for this step")  # fmt: skip
    return Template(part).substitute(values).strip()
