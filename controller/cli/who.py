"""Who runs a command, for the record."""

import getpass
import os


def who() -> str:
    """The account, and the person behind it where sudo tells."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.geteuid()) if os.name == "posix" else "unknown"
    person = os.environ.get("SUDO_USER")
    return f"{person} as {user}" if person and person != user else user
