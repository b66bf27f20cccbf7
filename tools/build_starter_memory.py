"""Rebuild the starter pack's translation memory with Apertium (needs its Debian packages).

Usage: python tools/build_starter_memory.py
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from whyguard.generation.translation.apertium import Apertium

ROOT = Path(__file__).resolve().parents[1]
GROUPS = ROOT / "curation/data/starter/groups.jsonl"
MEMORY = ROOT / "generation/data/starter/memory.jsonl"
SOURCE = "spa_Latn"
TARGETS = ("ast_Latn", "arg_Latn", "glg_Latn", "oci_Latn", "cat_Latn")


def spanish_texts() -> Iterator[dict[str, str]]:
    """Every Spanish prompt and rationale of the pack, with its id."""
    for line in GROUPS.read_text("utf-8").split("\n"):
        if not line:
            continue
        group = json.loads(line)
        for side, letter in (("harmful", "h"), ("benign", "b")):
            name = f"starter:{group['group']}-{letter}"
            yield {"id": name, "kind": "prompt", "source": group[side]["es"]}
        rationale = group["harmful"]["rationale_es"]
        yield {"id": f"starter:{group['group']}-h", "kind": "rationale", "source": rationale}


def main() -> None:
    """Translate and write the memory; prints unknown words by language."""
    texts = list(spanish_texts())
    units: list[dict[str, Any]] = []
    for target in TARGETS:
        engine = Apertium(SOURCE, target)
        done = engine.translate([text["source"] for text in texts])
        for text, result in zip(texts, done, strict=True):
            units.append(text | {"source_language": SOURCE, "language": target,
                                 "text": result.text, "translator": engine.name,
                                 "unknown_words": result.unknown})  # fmt: skip
        unknown = sum(result.unknown for result in done)
        words = sum(len(result.text.split()) for result in done)
        print(f"{target}: {len(done)} texts, {unknown} unknown of {words} words, {engine.name}")
    lines = "".join(json.dumps(unit, ensure_ascii=False) + "\n" for unit in units)
    MEMORY.write_text(lines, encoding="utf-8")


if __name__ == "__main__":
    main()
