"""What the demo shows: a picture that moves on a terminal, a line for each change otherwise."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from controller.cli.client import Resource
from controller.cli.rollout import moving, picture
from controller.demo.load import Tally

_ROWS = 16
"""Of hosts in the picture; in larger fleets only those under way are shown."""


class Display:
    """Tells the story."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._said: set[str] = set()

    def say(self, text: str, style: str = "") -> None:
        """One line that stays."""
        self._console.print(Text(text, style=style), soft_wrap=True)

    def chapter(self, text: str) -> None:
        """What begins now."""
        self.say(f"\n== {text}", "bold")

    def command(self, words: list[str]) -> None:
        """A command, as it was run."""
        self.say(f"$ {' '.join(words)}", "cyan")

    @contextmanager
    def rollout(self) -> Iterator[None]:
        """While it lasts, ``show`` moves one picture."""
        self._said.clear()
        if not self._console.is_terminal:
            yield
            return
        with Live(console=self._console, refresh_per_second=8) as self._live:
            yield
        self._live = None

    def show(self, target: Resource, tally: Tally) -> None:
        """The target and the customers as they are now."""
        if self._live is not None:
            self._live.update(Group(picture(_fitting(target)), customers(tally)))
        elif not self._console.is_terminal:
            lines = moving(target)
            for line in lines:
                if line not in self._said:
                    self.say(f"  {line}")
            self._said = set(lines)


def customers(tally: Tally) -> Text:
    """The customers' side in one line."""
    versions = ", ".join(f"{count} by {version}" for version, count in sorted(tally.versions.items()))
    text = f"customers: {tally.requests} requests, {tally.failed} failed; answered: {versions or 'none yet'}"
    return Text(text, style="red" if tally.failed else "green")


def _fitting(target: Resource) -> Resource:
    """The target with no more rows than fit on a screen: hosts under way first."""
    hosts = target["status"]["hosts"]
    if len(hosts) <= _ROWS:
        return target
    chosen = [host for host in hosts if host["step"]][:_ROWS]
    return {**target, "status": {**target["status"], "hosts": chosen}}
