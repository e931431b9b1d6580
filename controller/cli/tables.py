"""Tables of plain columns, as kubectl prints them: as wide as their content, so that grep and awk can read them."""

import os
from collections.abc import Iterable, Sequence

import typer

_COLORS = {
    typer.colors.GREEN: ("Ready", "current", "True", "ready", "passed"),
    typer.colors.YELLOW: ("Reconciling", "inFlight", "outdated", "out", "drain", "maint", "Unknown"),
    typer.colors.RED: (
        "Stalled",
        "Silent",
        "Revoked",
        "Disputed",
        "Problem",
        "BalancerUnreachable",
        "ReloadUnsafe",
        "Missing",
        "failed",
    ),
}


class Table:
    """Lines of a table. Later rows keep to the widths of earlier ones, so that a watch stays in its columns."""

    def __init__(self, titles: Sequence[str]) -> None:
        self._titles = list(titles)
        self._widths = [0] * len(titles)

    def lines(self, rows: Iterable[Sequence[object]], header: bool = True) -> list[str]:
        """The rows as lines; an empty cell is a dash."""
        cells = [["-" if cell in (None, "") else str(cell) for cell in row] for row in rows]
        shown = [self._titles, *cells] if header else cells
        self._widths = [max(width, *(len(row[at]) for row in shown)) for at, width in enumerate(self._widths)]
        return [self._line(row) for row in shown]

    def _line(self, cells: Sequence[str]) -> str:
        padded = [cell.ljust(width) for cell, width in zip(cells, self._widths, strict=True)]
        padded[-1] = cells[-1]
        return "   ".join(colored(text) for text in padded).rstrip()


def colored(text: str) -> str:
    """The text in a colour, where its first word is one that is known to be good or bad."""
    word = text.strip().partition("(")[0]
    color = next((color for color, words in _COLORS.items() if word in words), None)
    return typer.style(text, fg=color) if color else text


def show(lines: Iterable[str] | str) -> None:
    """Print results on stdout; colours only on a terminal, and never where NO_COLOR is set."""
    text = lines if isinstance(lines, str) else "\n".join(lines)
    typer.echo(text, color=False if os.environ.get("NO_COLOR") else None)


def talk(text: str) -> None:
    """Say something on stderr that is no result."""
    typer.echo(text, err=True, color=False if os.environ.get("NO_COLOR") else None)
