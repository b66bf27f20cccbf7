"""The group `whyguard review`."""

import typer

from whyguard.annotation.commands import compare, figures, glossary, people, server, sync

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
                  rich_markup_mode=None,
                  help="Review by native speakers, in Argilla or in files.")  # fmt: skip
for part in (server, people, sync, figures, glossary, compare):
    part.add(app)
