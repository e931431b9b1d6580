"""Operators' commands: a POST to what they are about. Who asks is what the request says: the API knows nobody yet."""

from fastapi import APIRouter

from controller.http.asking import Asker
from controller.http.problems import PROBLEMS
from controller.views.resources import Done, Problem
from crds.command import NodeVerb, OperatorCommand, RolloutVerb

_PROBLEMS = PROBLEMS | {409: {"model": Problem, "description": "the command makes no sense as things are"}}


def commands(asker: Asker) -> APIRouter:
    """The routes of all commands."""
    router = APIRouter(tags=["commands"], responses=_PROBLEMS)

    @router.post("/rollouts/{name}/{verb}")
    async def command_rollout(name: str, verb: RolloutVerb, command: OperatorCommand) -> Done:
        """Pause a target's rollout, let it go on, end it at a host boundary, try again, end a wait, or restart."""
        return Done(message=await asker.command(verb, name, command))

    @router.post("/nodes/{name}/{verb}")
    async def command_node(name: str, verb: NodeVerb, command: OperatorCommand) -> Done:
        """Leave a host or a balancer node alone, or no longer."""
        return Done(message=await asker.command(verb, name, command))

    return router
