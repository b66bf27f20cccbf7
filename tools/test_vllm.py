"""Run tests/vllm with the vLLM of this venv; --write puts their log into docs/vllm.md."""

import argparse
import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "vllm.md"
BEGIN, END = "<!-- log: make test-vllm -->\n```text\n", "```\n<!-- end of log -->\n"


def main() -> int:
    """The exit code of the tests; 1 where there is no vLLM: nothing is skipped."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--write", action="store_true", help="put the log into docs/vllm.md")
    write: bool = options.parse_args().write
    if importlib.util.find_spec("vllm") is None:
        print("vLLM is not installed in this venv: make test-vllm builds one", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log.txt"
        wanted = {"WHYGUARD_TEST_VLLM": "1", "WHYGUARD_VLLM_LOG": str(log)}
        command = [sys.executable, "-m", "pytest", "-q", "tests/vllm"]
        code = subprocess.run(command, cwd=ROOT, env=os.environ | wanted, check=False).returncode
        if write and code == 0:
            PAGE.write_text(_with_log(PAGE.read_text("utf-8"), log.read_text("utf-8")), "utf-8")
    return code


def _with_log(page: str, log: str) -> str:
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{PAGE}: no place for the log")
    return before + begin + log + end + after


if __name__ == "__main__":
    sys.exit(main())
