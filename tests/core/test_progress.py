"""Bars on a terminal, plain lines elsewhere, nothing when silent."""

import io

import pytest
from rich.console import Console

from whyguard.core.progress import Progress


def plain() -> tuple[Progress, io.StringIO]:
    out = io.StringIO()
    return Progress(Console(file=out, width=40)), out


def test_lines_are_neither_wrapped_nor_marked_up() -> None:
    progress, out = plain()
    text = "[red]x[/red] :warning: " + "/long/path" * 20
    progress.say(text)
    assert out.getvalue() == text + "\n"


def test_what_was_done_before_is_no_part_of_the_rate(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("whyguard.core.progress._PLAIN_EVERY_SECONDS", -1.0)
    monkeypatch.setattr("time.monotonic", iter([0.0, 10.0, 10.0, 10.0, 10.0]).__next__)
    progress, _ = plain()
    with progress.task("steps", 110) as task:
        task.skip(100)
        task.advance()
    assert capsys.readouterr().err == "  steps: 101/110, 0.1/s, about 90 s left\n"


def test_track_yields_everything_and_counts(capsys: pytest.CaptureFixture[str]) -> None:
    progress, out = plain()
    assert list(progress.track(iter("abc"), "letters", 3)) == ["a", "b", "c"]
    assert out.getvalue() == capsys.readouterr().err == ""


def test_a_long_task_says_rate_and_rest(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("whyguard.core.progress._PLAIN_EVERY_SECONDS", -1.0)
    progress, _ = plain()
    with progress.task("[rows]", 2) as task:
        for _ in range(3):
            task.advance(note="note")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("  [rows]: 1/2, ")
    assert "/s note, about " in lines[0]
    assert lines[2].endswith("about 0 s left"), "never negative"


def test_bars_on_a_terminal_may_nest() -> None:
    out = io.StringIO()
    progress = Progress(Console(file=out, force_terminal=True, width=80))
    with progress.task("[bold]outer", 2) as outer, progress.task("inner", 1) as inner:
        inner.advance(note="[x]")
        outer.advance()
        progress.say("said")
    assert "said" in out.getvalue()


def test_a_failing_block_closes_its_bar() -> None:
    progress = Progress(Console(file=io.StringIO(), force_terminal=True))
    with pytest.raises(RuntimeError, match="stop"), progress.task("a", 1):
        raise RuntimeError("stop")
    with progress.task("again", 1) as task:
        task.advance()


def test_silent_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress.silent()
    progress.say("x")
    with progress.task("a", 1) as task:
        task.advance()
    captured = capsys.readouterr()
    assert captured.out + captured.err == ""
