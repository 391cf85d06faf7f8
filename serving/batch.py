"""Many complaints through the one decision, in bounded chunks and in order; bad rows go to a file with the reason."""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from data.complaint import Complaint
from data.errors import InputError
from data.reading import ColumnMap, RejectsFile
from models.answer import Triage
from models.triage import Triager
from serving.inputs import Source

CHUNK = 64


@dataclass(slots=True, kw_only=True)
class Tally:
    """What became of the complaints: how many were triaged and rejected, which whole sources failed and why."""

    triaged: int = 0
    rejected: int = 0
    failed: list[InputError] = field(default_factory=list)
    rejects: list[Path] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0 all good, 1 something was rejected, 2 nothing could be done."""
        if not self.triaged:
            return 2
        return 1 if self.rejected or self.failed else 0


class Batch:
    """Triages sources one after the other. ``write`` gets each answer, ``advance`` how many rows are done since."""

    def __init__(
        self,
        triager: Triager,
        write: Callable[[Complaint, Triage], None],
        *,
        columns: ColumnMap,
        rejects: Path | None = None,
        advance: Callable[[int], None],
    ) -> None:
        self.tally = Tally()
        self._triager, self._write, self._advance = triager, write, advance
        self._columns, self._rejects = columns, rejects

    def run(self, sources: Iterable[Source]) -> Tally:
        """Triage everything; a source that cannot be read is noted and the next one follows."""
        with ExitStack() as stack:
            files: dict[Path, RejectsFile] = {}
            for source in sources:
                path = self._rejects or source.rejects
                if path is not None and path not in files:
                    files[path] = stack.enter_context(RejectsFile(path))
                self._run(source, files[path] if path else None)
            self.tally.rejects = [path for path, file in files.items() if file.count]
        return self.tally

    def _run(self, source: Source, rejects: RejectsFile | None) -> None:
        waiting: list[Complaint] = []
        rows = 0
        try:
            for item in source.read(self._columns):
                rows += 1
                if isinstance(item, Complaint):
                    waiting.append(item)
                elif rejects is not None:
                    rejects.add(item)
                    self.tally.rejected += 1
                if rows == CHUNK:
                    self._flush(waiting, rows)
                    rows = 0
        except InputError as error:
            self.tally.failed.append(error)
        self._flush(waiting, rows)

    def _flush(self, waiting: list[Complaint], rows: int) -> None:
        for complaint, triage in zip(waiting, self._triager.triage(waiting), strict=True):
            self._write(complaint, triage)
        self.tally.triaged += len(waiting)
        waiting.clear()
        self._advance(rows)
