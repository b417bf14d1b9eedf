"""Tables of a page that a program writes, between marks, in prose that is written by hand."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

__all__ = ["markdown_table", "replace_tables"]


def replace_tables(page: Path, tables: Mapping[str, str]) -> None:
    """Put each text between its marks; where the page has none they are added at its end.

    Args:
        page: Markdown file, made where it is missing.
        tables: Texts by the name in their marks, `<!-- name -->` and `<!-- end of name -->`.
    """
    text = page.read_text(encoding="utf-8") if page.is_file() else "# Results\n"
    for name, table in tables.items():
        block = f"<!-- {name} -->\n{table}\n<!-- end of {name} -->"
        pattern = re.compile(rf"<!-- {name} -->.*?<!-- end of {name} -->", re.DOTALL)
        parts = pattern.split(text, maxsplit=1)
        text = block.join(parts) if len(parts) == 2 else f"{text}\n{block}\n"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(text, encoding="utf-8")


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of cells, its first row the heads of the columns."""
    lines = [f"| {' | '.join(cells)} |" for cells in (head, *rows)]
    return "\n".join([lines[0], "|---" * len(head) + "|", *lines[1:]])
