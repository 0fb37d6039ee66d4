"""The one writer of tables: for a page, in Markdown for documents, as text for the terminal."""

import dataclasses
from collections.abc import Iterable, Sequence

NO_VALUE = "\N{EN DASH}"


@dataclasses.dataclass(frozen=True)
class Row:
    """Cells of one line, the first one naming it; ``kind`` tells lines apart where they mix."""

    kind: str | None
    cells: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        caption: above it; empty: none.
        columns: headings.
        rows: lines.
        texts: how many columns, the first ones, hold words; the others hold numbers.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    texts: int = 1

    @classmethod
    def of(
        cls, caption: str, columns: Sequence[str], rows: Iterable[Sequence[str]], texts: int = 1
    ) -> "Table":
        """A table of lines that are all of one kind."""
        lines = tuple(Row(None, tuple(cells)) for cells in rows)
        return cls(caption, tuple(columns), lines, texts)

    def markdown(self) -> str:
        """Render as GitHub-flavoured Markdown under its caption."""
        rules = ("---" if place < self.texts else "---:" for place in range(len(self.columns)))
        lines = [self.columns, tuple(rules), *(row.cells for row in self.rows)]
        escaped = (" | ".join(cell.replace("|", "\\|") for cell in line) for line in lines)
        head = f"{self.caption}\n\n" if self.caption else ""
        return head + "\n".join(f"| {line} |" for line in escaped) + "\n"

    def text(self, word_characters: int | None = None) -> list[str]:
        """Render as lines of columns, for a terminal.

        With `word_characters`, longer cells are cut at their beginning.
        """
        lines = [self.columns, *(row.cells for row in self.rows)]
        shown = [[cell[-(word_characters or 0) :] for cell in line] for line in lines]
        widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
        return [
            "  "
            + "  ".join(
                f"{cell:{'<' if place < self.texts else '>'}{width}}"
                for place, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in shown
        ]


def markdown(tables: Sequence[Table]) -> str:
    """Render tables one below the other."""
    return "\n".join(table.markdown() for table in tables)
