"""Wrong input, with every line that is said about it."""

from typing import Any

from tests.support.state_files import read


class Case:
    """Files that replace good ones, and every line that is said."""

    def __init__(self, name: str, files: dict[str, Any], *lines: str) -> None:
        self.name, self.files, self.lines = name, files, list(lines)

    def check(self) -> None:
        """Exactly these lines are said, and the state is taken only if all of them are warnings."""
        result = read(self.files)
        assert [str(problem) for problem in result.problems] == self.lines
        only_warned = all(problem.severity == "warning" for problem in result.problems)
        assert (result.state is not None) == only_warned
