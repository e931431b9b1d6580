"""Views: what the deciding thread knows, as resources. Pure; asked only on the deciding thread, through an Ask."""

from controller.views.errors import NotFound, NotReady, QuestionError
from controller.views.nodes import node, nodes
from controller.views.pools import pool, pools
from controller.views.rollouts import rollout, rollouts
from controller.views.selector import Matches, parse_selector
from controller.views.state import events, revision_in_force, state
from controller.views.targets import target, targets

__all__ = [
    "Matches",
    "NotFound",
    "NotReady",
    "QuestionError",
    "events",
    "node",
    "nodes",
    "parse_selector",
    "pool",
    "pools",
    "revision_in_force",
    "rollout",
    "rollouts",
    "state",
    "target",
    "targets",
]
