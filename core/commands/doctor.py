"""`whyguard doctor`."""

import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
from typing import Annotated, Any, NamedTuple

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


class Finding(NamedTuple):
    """One thing that was looked at; `do` says how to get it where it is missing."""

    name: str
    ok: bool
    found: str
    do: str


_PACKAGES = {
    "fasttext": ("fasttext-numpy2-wheel", "langid"),
    "rensa": ("rensa", "langid"),
    "torch": ("torch", "train"),
    "transformers": ("transformers", "generate"),
    "llguidance": ("llguidance", "generate"),
    "sacrebleu": ("sacrebleu", "generate"),
    "sentencepiece": ("sentencepiece", "generate"),
    "trl": ("trl", "train"),
    "peft": ("peft", "train"),
    "datasets": ("datasets", "train"),
    "argilla": ("argilla", "annotate"),
    "openpyxl": ("openpyxl", "annotate"),
    "krippendorff": ("krippendorff", "annotate"),
    "jinja2": ("jinja2", "report"),
    "matplotlib": ("matplotlib", "report"),
}


def examine() -> list[Finding]:
    """Look at Python, memory, optional packages and external programs (imports nothing heavy)."""
    findings = [
        Finding("python", True, platform.python_version(), ""),
        Finding("cpus", True, str(os.cpu_count()), ""),
        Finding("free disk", True, f"{shutil.disk_usage('.').free / 1e9:.0f} GB", ""),
    ]
    for module, (package, extra) in _PACKAGES.items():
        found = importlib.util.find_spec(module) is not None
        version = _version(package) if found else "not installed"
        findings.append(Finding(module, found, version, f"pip install 'whyguard[{extra}]'"))
    vllm = importlib.util.find_spec("vllm") is not None
    findings.append(Finding("vllm", vllm, _version("vllm") if vllm else "not installed",
                            "needed only for teachers of kind vllm, in a venv of its own: "
                            "docs/vllm.md"))  # fmt: skip
    apertium = shutil.which("apertium")
    findings.append(Finding("apertium", apertium is not None, apertium or "not installed",
                            "needed only for new Apertium translations: apt install apertium "
                            "apertium-spa-ast ..."))  # fmt: skip
    offline = os.environ.get("WHYGUARD_OFFLINE") == "1"
    findings.append(Finding("downloads", True, "forbidden" if offline else "allowed", ""))
    return findings


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return f"there, but not from {package}"  # several packages install a module `fasttext`


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print facts as JSON.")] = False,
) -> None:
    """Say what is installed, what is missing and how to get it.

    Example: whyguard doctor --json
    """
    findings = examine()
    if as_json:
        facts: list[dict[str, Any]] = [finding._asdict() for finding in findings]
        typer.echo(json.dumps(facts, indent=2))
        return
    table = Table("what", "found", "to get it", box=None)
    for item in findings:
        cells = (item.name, item.found, "" if item.ok else item.do)
        table.add_row(*(Text(cell) for cell in cells))  # Text: [langid] is no markup
    Console(highlight=False).print(table)
