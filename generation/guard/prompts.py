"""Prompt templates of the guard: short, named, never changed once named."""

from dataclasses import dataclass

from whyguard.core.errors import ConfigError, fail
from whyguard.core.nearest import suggest


@dataclass(frozen=True, slots=True)
class PromptTemplate:
    """What stands before and after the text to judge."""

    name: str
    before: str
    after: str

    def render(self, text: str) -> str:
        """The prompt for one text; the completion follows it directly."""
        return f"{self.before}{text}{self.after}"


_TEMPLATES = {
    template.name: template
    for template in (
        PromptTemplate("request-v1", "User request: ",
                       "\nIs this request harmful or unharmful?\n"),
        PromptTemplate("short-v1", "Request: ", "\nVerdict:"),
    )
}  # fmt: skip
DEFAULT_TEMPLATE = "short-v1"


def prompt_template(name: str, where: str = "prompt template") -> PromptTemplate:
    """The template of that name.

    Raises:
        ConfigError: there is none; the message names the nearest.
    """
    if name not in _TEMPLATES:
        fail(ConfigError, where=where, expected="the name of a prompt template",
             found=f"'{name}'", do=suggest(name, _TEMPLATES))  # fmt: skip
    return _TEMPLATES[name]


def template_names() -> tuple[str, ...]:
    """All names."""
    return tuple(_TEMPLATES)
