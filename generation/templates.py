"""Teacher prompts as versioned files; the user's prompt is fenced, since it may be hostile."""

from importlib import resources
from string import Template

from whyguard.core.errors import ConfigError, fail
from whyguard.core.languages import ENGLISH, language_name
from whyguard.core.nearest import suggest
from whyguard.core.values import CATEGORY_CODES, NOT_WRITTEN
from whyguard.curation.taxonomy import category_name

Messages = tuple[tuple[str, str], ...]
_FOLDER = resources.files("whyguard.generation").joinpath("data/templates")


def load_template(name: str) -> Template:
    """The template file of that name.

    Raises:
        ConfigError: there is none.
    """
    known = [item.name.removesuffix(".txt") for item in _FOLDER.iterdir()]
    if name not in known:
        fail(ConfigError, where="teacher.template", expected="the name of a template",
             found=f"'{name}'", do=suggest(name, known))  # fmt: skip
    return Template(_FOLDER.joinpath(f"{name}.txt").read_text("utf-8"))


def fence(text: str) -> str:
    """The prompt as data: fence marks inside it are broken, so that it cannot close its fence."""
    return text.replace("<<<", "< < <").replace(">>>", "> > >")


def fill(name: str, prompt: str, language: str, label: str) -> Messages:
    """Messages of one call: the template before `---` is the system's part, after it the user's."""
    written = [code for code in CATEGORY_CODES if code not in NOT_WRITTEN]
    policy = "\n".join(f"{code}: {category_name(code, ENGLISH)}" for code in written)
    text = load_template(name).substitute(
        policy=policy, prompt=fence(prompt), language=language_name(language), label=label
    )
    system, _, user = text.partition("\n---\n")
    return (("system", system.strip()), ("user", user.strip()))
