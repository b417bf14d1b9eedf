"""Files of JSON lines that grow with a run, each line with the step it belongs to."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["StepRecords"]


@dataclass(frozen=True, slots=True)
class StepRecords:
    """Keep a run's records so that the file reads as if the run had never stopped.

    Args:
        path: The file; it may be missing.
    """

    path: Path

    def read(self) -> list[dict[str, Any]]:
        """Return the records in order; none when there is no file."""
        if not self.path.is_file():
            return []
        lines = self.path.read_text(encoding="utf-8").splitlines()
        # A kill can cut the last line short.
        return [json.loads(line) for line in lines if line.endswith("}")]

    def go_on_from(self, step: int) -> None:
        """Drop the records after a step; all of them at step 0, where a run begins."""
        kept = [record for record in self.read() if record["step"] <= step] if step else []
        self._write(kept, mode="w")

    def append(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Add records at the end."""
        self._write(records, mode="a")

    def _write(self, records: Iterable[Mapping[str, Any]], *, mode: str) -> None:
        with self.path.open(mode, encoding="utf-8") as file:
            file.writelines(json.dumps(record) + "\n" for record in records)
