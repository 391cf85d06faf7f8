"""Where the answers of the command line go: JSON lines or tables, to the screen or a file; progress and summary."""

import io
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from data.complaint import Complaint
from data.policy_schema import Policy
from models.answer import Triage
from serving.batch import Tally
from serving.inputs import Source
from serving.table import render_triage
from serving.wire import triage_json

Write = Callable[[Complaint, Triage], None]
MOMENT = 1.0
FILE_WIDTH = 100
_COLUMN_CODES = frozenset({"header_unmatched", "column_missing"})


@contextmanager
def json_lines(out: Path | None, policy: Policy) -> Iterator[Write]:
    """One line of UTF-8 JSON for each triage, whatever the terminal's encoding."""
    file = sys.stdout.buffer if out is None else out.open("wb")

    def write(_: Complaint, triage: Triage) -> None:
        line = json.dumps(triage_json(triage, policy), ensure_ascii=False, allow_nan=False)
        file.write(line.encode("utf-8", "replace") + b"\n")

    try:
        yield write
    finally:
        file.flush() if out is None else file.close()


@contextmanager
def tables(out: Path | None, policy: Policy) -> Iterator[Write]:
    """A table for each triage; in colour only on a terminal."""
    if out is None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")
        console = Console()
        yield lambda complaint, triage: console.print(render_triage(complaint, triage, policy))
        return
    with out.open("w", encoding="utf-8") as file:
        console = Console(file=file, width=FILE_WIDTH, color_system=None)
        yield lambda complaint, triage: console.print(render_triage(complaint, triage, policy))


@contextmanager
def progress_bar(sources: Sequence[Source], *, screen_busy: bool) -> Iterator[Callable[[int], None]]:
    """Yields what is called with the rows done since: a bar on stderr after a moment's work, if a person is there.

    ``screen_busy`` says that the answers scroll by on the same screen, which is progress enough.
    """
    console = Console(stderr=True)
    if not console.is_terminal or screen_busy:
        yield lambda _: None
        return
    counts = [source.rows() for source in sources]
    total = None if None in counts else sum(count or 0 for count in counts)
    columns = (TextColumn("研判"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    begun = time.monotonic()
    with Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False) as progress:
        task = progress.add_task("", total=total, visible=False)

        def advance(rows: int) -> None:
            progress.update(task, advance=rows, visible=time.monotonic() - begun > MOMENT)

        yield advance


def tally_lines(tally: Tally) -> list[str]:
    """What failed and why, then the counts in one line; no counts for a single complaint or for none."""
    lines = []
    for error in tally.failed:
        lines.append(f"错误：{error}")
        if error.code in _COLUMN_CODES:
            lines.append("    指定列名：--column-text 列名（编号 --column-id，渠道 --column-channel）")
    if (tally.triaged, tally.rejected) == (0, 0) or (tally.triaged, tally.rejected, tally.failed) == (1, 0, []):
        return lines
    counts = f"共 {tally.triaged + tally.rejected} 条：研判 {tally.triaged} 条，退回 {tally.rejected} 条"
    if tally.rejects:
        counts += f"（原因见 {'、'.join(map(str, tally.rejects))}）"
    return [*lines, counts + (f"，{len(tally.failed)} 处未能读取" if tally.failed else "")]
