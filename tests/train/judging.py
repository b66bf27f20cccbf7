"""A tiny guard that judges at random, for sampling; and a run of pair building, to be killed."""

import sys
from pathlib import Path
from typing import Any

from tests.tiny import save_llama

VERDICTS = ("<judge>harmful</judge>", "<judge>unharmful</judge>")
PROMPTS = [f"Request: {text} {n}\nVerdict:" for n in range(6)
           for text in ("la casa ye vieya", "the house of made", "la praza ye vieya")]  # fmt: skip


def judging_llama(folder: Path, verdicts: tuple[str, ...] = VERDICTS, steps: int = 60,
                  after: str = " the rest") -> Path:  # fmt: skip
    """A Llama that was shown `verdicts` equally often after any prompt, and something after it."""
    save_llama(folder)
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    rows = [(tokenizer(prompt).input_ids, _ids(tokenizer, verdict), _ids(tokenizer, after))
            for prompt in PROMPTS for verdict in verdicts]  # fmt: skip
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    width = max(sum(map(len, row)) for row in rows)
    ids_B_T = torch.tensor([_padded([*p, *v, *a], width, 2) for p, v, a in rows])
    labels_B_T = torch.tensor([_padded([*[-100] * len(p), *v, *a], width, -100)
                               for p, v, a in rows])  # fmt: skip
    for _ in range(steps):
        loss = model(input_ids=ids_B_T, labels=labels_B_T).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    model.save_pretrained(folder)
    return folder


def _ids(tokenizer: Any, text: str) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False).input_ids
    return ids


def _padded(ids: list[int], width: int, fill: int) -> list[int]:
    return ids + [fill] * (width - len(ids))


def main(model: str, examples: str, folder: str) -> None:
    """Sample for pairs of stored examples, slowly enough to be killed on the way."""
    from tests.train.pair_making import config_of, runtime_of

    from whyguard.core.artefact import load_artefact
    from whyguard.core.progress import Progress
    from whyguard.core.steps import Input, Room
    from whyguard.train.pairs import run

    place = Path(folder)
    room = Room(place / "files", place / "scratch", Progress.silent(), place / "ledger")
    run(
        {"examples": Input((load_artefact(Path(examples)),))}, config_of(model), runtime_of(4), room
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
