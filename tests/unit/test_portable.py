"""Everything but the modules named for POSIX can be imported on Windows, and calls nothing that it lacks."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}
CALLS = {
    "os": {
        *("chown", "eventfd", "fork", "forkpty", "getegid", "geteuid", "getgid", "getgrouplist", "getpgid", "getsid"),
        *("getuid", "kill", "killpg", "mkfifo", "pidfd_open", "setgid", "setgroups", "setsid", "setuid", "wait"),
        *("waitid", "waitpid"),
    },
    "signal": {"SIGKILL", "SIGHUP", "SIGCHLD", "SIGUSR1", "SIGUSR2", "alarm", "pidfd_send_signal", "pthread_kill"},
    "select": {"epoll", "poll"},
}
SOURCES = sorted(
    path for folder in ("agent", "bus") for path in (ROOT / folder).rglob("*.py") if "posix" not in path.stem
)


def what_windows_lacks(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names if alias.name in MODULES)
            case ast.ImportFrom(module=str(module)) if module in MODULES:
                yield module
            case ast.Attribute(value=ast.Name(id=module), attr=name) if name in CALLS.get(module, ()):
                yield f"{module}.{name}"
            case ast.Constant(value=str(text)) if text.startswith("/proc"):
                yield text
            case ast.keyword(arg="start_new_session" | "preexec_fn" as name):
                yield name


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_modules_named_for_posix_need_it(path: Path) -> None:
    assert list(what_windows_lacks(ast.parse(path.read_text()))) == []


def test_the_check_sees_what_it_is_for() -> None:
    tree = ast.parse((ROOT / "agent/posix.py").read_text())
    assert {"os.killpg", "signal.SIGKILL", "pwd", "/proc", "start_new_session"} <= set(what_windows_lacks(tree))
