"""fastText training in a process of its own, so that equal text gives equal bytes.

With one thread (the only way to a fixed order of updates) fastText 0.9.2 initialises a tenth of
its input matrix and leaves the rest as the allocator hands it over. In a process that has freed
memory before, that is garbage: two trainings differ, or stop with "Encountered NaN". A fresh
interpreter whose allocator hands out zeros makes the result a function of text and config.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from whyguard.core.errors import DataError, fail
from whyguard.core.optional import require

_ZEROED = {
    "MALLOC_PERTURB_": "255",  # glibc: the complement of this byte fills new blocks
    "MALLOC_MMAP_THRESHOLD_": "65536",  # glibc: larger blocks are fresh pages, which are zero
}


def fasttext() -> Any:
    """The fastText module with its banner on loading a model switched off.

    Raises:
        MissingExtraError: it is not installed.
    """
    module = require("fasttext", "langid")
    module.FastText.eprint = lambda *_: None
    return module


def train_binary(lines: Sequence[str], arguments: dict[str, Any], model: Path) -> None:
    """Train on labelled `lines` and write fastText's binary to `model`.

    Args:
        lines: "__label__CODE word word ..." in the order of training.
        arguments: keyword arguments of `fasttext.train_supervised`.
        model: the file to write.

    Raises:
        MissingExtraError: fastText is not installed.
        DataError: fastText could not train on these lines.
    """
    fasttext()
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "train.txt"
        text.write_text("\n".join(lines) + "\n", encoding="utf-8")
        job = json.dumps({"input": str(text), "model": str(model), "arguments": arguments})
        command = [sys.executable, "-P", "-m", "whyguard.curation.langid_train"]
        done = subprocess.run(command, input=job, text=True, capture_output=True, check=False,
                              env=os.environ | _ZEROED)  # fmt: skip
    if done.returncode != 0 or not model.is_file():
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        fail(DataError, where="language classifier", expected="text that fastText can learn from",
             found=f"fastText stopped: {last}",
             do="lower learning_rate, or look at the text")  # fmt: skip


def _main() -> None:
    job = json.loads(sys.stdin.read())
    model = fasttext().train_supervised(input=job["input"], thread=1, verbose=0, **job["arguments"])
    model.save_model(job["model"])


if __name__ == "__main__":
    _main()
