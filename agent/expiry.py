"""When an assignment is too old to start anything by it."""

from datetime import datetime, timedelta

from crds.messages import Assignment

TOLERANCE = timedelta(minutes=2)
"""How far the node's clock may lag or lead the controller's before expiry means something."""


def expired(assignment: Assignment, now: datetime) -> bool:
    """Whether no installation, removal or operation may be started by it any more.

    What is installed is kept running all the same.
    """
    return now - TOLERANCE > assignment.expires  # not added: that may be the last moment there is
