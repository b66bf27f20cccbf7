"""`VENV/bin/python -P THIS_FILE HOME --host HOST --port PORT`: the server, in its own venv.

`whyguard` is not installed there: a bare package of that name is made, so that the modules of
this folder are imported as everywhere else, and nothing else of ours is.
"""

import argparse
import signal
import sys
import types
from pathlib import Path


def _make_importable() -> None:
    package = types.ModuleType("whyguard")
    package.__path__ = [str(Path(__file__).resolve().parents[2])]
    sys.modules["whyguard"] = package


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="whyguard-argilla")
    parser.add_argument("home", type=Path)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=6900)
    return parser.parse_args()


def main() -> None:
    """Take the home, set the environment, and only then import Argilla."""
    _make_importable()
    from whyguard.annotation.embedded import environment
    from whyguard.annotation.embedded.files import FileLock, HomeFiles, InUseError

    asked = _arguments()
    files = HomeFiles(asked.home.resolve())
    try:
        lock = FileLock(files.lock).take()
    except InUseError as error:
        raise SystemExit(str(error)) from None
    # The server ends in order at either and sends it to us again: then we tidy up, too.
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, lambda *_: sys.exit(0))
    try:
        environment.prepare(files)
        from whyguard.annotation.embedded.serving import serve

        serve(files, asked.host, asked.port)
    finally:
        environment.clear_temporary(files)
        lock.release()


if __name__ == "__main__":
    main()
