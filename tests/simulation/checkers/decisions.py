"""Decisions: what the controller's records say it is about to do, against what it can know."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from controller.deciding import Deciding
from controller.world import World
from crds.status import Journey, RolloutStatus, Step
from tests.simulation.checkers.acts import Acts
from tests.simulation.checkers.orders import Way
from tests.simulation.checkers.truth import PromiseBroken, Truth, service_of

NODE_TIMEOUT = 90.0
KNOWABLE = 200.0
"""Seconds after which it is known that a host is down: silence takes 90 s to count, a message may be 60 s late."""
DEADLINE = 600.0
"""Of a host's journey (see desired.py)."""
_SAMPLE = 10.0
_SLACK = 15.0
"""Seconds around a controller's death that are not counted as watched, though it may have watched."""
_FASTEST = 2.0
"""Seconds that the fastest clock of a controller counts in one."""
_OUT = (Step.DRAINING, Step.LEAVING, Step.DEPLOYING, Step.TESTING, Step.ENABLING)


class Decisions:
    """Promises 1, 2, 6, 8, 9 and 10, each time that a controller has finished a step."""

    def __init__(self, truth: Truth, acts: Acts) -> None:
        self._truth, self._acts = truth, acts
        self._heard: dict[str, float] = {}
        """When the present controller was last brought anything from a node."""
        self._down: dict[tuple[str, str], float] = {}
        """(service, host): since when it has been seen to serve nobody."""
        self._sampled = 0.0
        self._steps: dict[Way, Step] = {}
        self._failed: dict[Way, datetime] = {}
        """Since when each journey that has failed has."""
        self._batches: dict[str, tuple[tuple[str, int], set[tuple[str, datetime]]]] = {}
        """By target: release and number of the batch under way, and its hosts with the begin of their journeys."""
        self._in_force = False
        """The present controller has put a commit in force."""
        self._finished: dict[str, datetime | None] = {}
        """By target: as the last step left it, or as the present controller found it in a store that was restored."""
        self._lives: list[tuple[int, int]] = []
        """Of each controller: its term, and the store's resource version when it took over."""
        self._apart: set[Way] = set()
        """Excluded hosts that were on no journey after the last step."""
        self._unhindered, self._mark = 0.0, 0.0
        """Seconds in which a controller decided and no balancer node was lost."""
        self._begun: dict[tuple[str, str, datetime], tuple[float, int]] = {}
        """By journey: these, and the number of controllers, when it was first seen."""

    def heard(self, node: str) -> None:
        """The controller was brought something from the node."""
        self._heard[node] = self._truth.time()

    def store_restored(self) -> None:
        """The store was brought back from an older copy: whoever took it over since is dead, and not on record.

        So the next term may have been taken before (Orders looks at who asks for anything under it), batches have
        hosts that had arrived, and what finished then is no news.
        """
        self._lives = []
        self._batches.clear()
        self._finished.clear()

    def began(self, deciding: Deciding) -> None:
        """A controller has taken over: it has heard nobody, and knows what is stored."""
        if self._lives and deciding.term <= self._lives[-1][0]:
            raise PromiseBroken(10, f"a controller begins with term {deciding.term} after {self._lives[-1][0]}")
        self._heard, self._in_force, self._apart = {}, False, set()
        self._mark = self._truth.time()
        self._lives.append((deciding.term, deciding.resource_version))
        self._remember(deciding.world)
        for target, status in deciding.world.statuses.items():
            self._finished.setdefault(target, status.finished)

    def decided(self, deciding: Deciding, good: dict[str, dict[str, str]]) -> None:
        """A step is done. ``good``: what each commit that can be applied says, version by service."""
        world = deciding.world
        self._acts.notice()
        self._one_leader(deciding)
        self._keep_time()
        self._one_batch(world)
        self._left_alone(world)
        self._one_commit(world, good)
        for target, host, journey in _journeys(world):
            before = self._steps.get((target, host))
            if journey.step in _OUT and before not in _OUT:
                self._takes(world, service_of(target), host)
            if journey.step is Step.FAILED is not before:
                self._fails(target, host, journey)
        self._remember(world)
        for target, status in world.statuses.items():
            if status.finished is not None and self._finished.get(target) is None:
                self.succeeded(target, status)
            self._finished[target] = status.finished

    def _remember(self, world: World) -> None:
        self._steps = {(target, host): journey.step for target, host, journey in _journeys(world)}
        failed = (each for each in _journeys(world) if each[2].step is Step.FAILED)
        self._failed = {(target, host): journey.since for target, host, journey in failed}
        now = (self._unhindered, len(self._lives))
        known = {(target, host, journey.begun) for target, host, journey in _journeys(world)}
        self._begun = {each: self._begun.get(each, now) for each in known}

    # --- promise 1: unknown is unavailable

    def _takes(self, world: World, service: str, host: str) -> None:
        if service not in self._acts.complete or not self._truth.serves(service, host):
            return
        if lost := self._lost(self._truth.counted):
            raise PromiseBroken(1, f"{host} is taken out of {service}, while nothing is heard of {lost}")
        missing = set(self._lost(self._truth.names)) | {host}
        missing |= {name for name in self._truth.names if self._is_known_down(service, name)}
        for name, journey in world.journeys[f"{service}@prod"].items():
            failed_out = journey.step is Step.FAILED and not self._truth.serves(service, name)
            if journey.step in _OUT or failed_out:
                missing.add(name)
        if len(missing) > self._truth.allowed:
            words = f"{sorted(missing)} would be missing, {self._truth.allowed} may"
            raise PromiseBroken(1, f"{host} is to be taken out of {service}: {words}")

    def _lost(self, nodes: Sequence[str], slack: float = 1.0) -> list[str]:
        now = self._truth.time()
        return [node for node in nodes if now - self._heard.get(node, -NODE_TIMEOUT) > NODE_TIMEOUT + slack]

    def _is_known_down(self, service: str, host: str) -> bool:
        """It serves nobody, and has not for so long that this can be known."""
        now = self._truth.time()
        return now - self._down.get((service, host), now) > KNOWABLE and not self._truth.serves(service, host)

    def _sample(self) -> None:
        """See who serves, now and then."""
        now = self._truth.time()
        if now - self._sampled < _SAMPLE:
            return
        known = self._down if now - self._sampled < 3 * _SAMPLE else {}
        places = [(service, host) for service in self._truth.services for host in self._truth.names]
        self._down = {each: known.get(each, now) for each in places if not self._truth.serves(*each)}
        self._sampled = now

    # --- promise 9: what is lost stops the clock (for a lost controller see absence.py)

    def _keep_time(self) -> None:
        self._sample()
        passed = self._truth.time() - self._mark
        self._mark = self._truth.time()
        if not self._lost(self._truth.counted, slack=5.0):
            self._unhindered += passed

    def _fails(self, target: str, host: str, journey: Journey) -> None:
        if " within " not in journey.reason:
            return
        unhindered, lives = self._begun.get((target, host, journey.begun), (self._unhindered, len(self._lives)))
        needed = DEADLINE - _SLACK * (1 + len(self._lives) - lives)
        if (self._unhindered - unhindered) * _FASTEST < needed:
            raise PromiseBroken(9, f"{host} of {target} fails while a balancer node is lost: {journey.reason}")

    # --- promise 13: whom people excluded

    def _left_alone(self, world: World) -> None:
        """An excluded host begins no journey."""
        apart = set()
        for target, spec in world.specs.items():
            for host in world.exclusions.keys() & spec.hosts.keys():
                if host not in world.journeys.get(target, {}):
                    apart.add((target, host))
                elif (target, host) in self._apart:
                    raise PromiseBroken(13, f"{host} is excluded, and {target} has it on a journey")
        self._apart = apart

    # --- promises 2, 6, 8, 10

    def _one_batch(self, world: World) -> None:
        claimed: dict[str, str] = {}
        for target, host, journey in _journeys(world):
            claims = journey.step not in (Step.WAITING, Step.FAILED) and not journey.yields
            if claims and claimed.setdefault(host, target) != target:
                raise PromiseBroken(2, f"{host} is claimed by {target} and {claimed[host]}")
        for target, journeys in world.journeys.items():
            going = {host: journey for host, journey in journeys.items() if journey.step is not Step.FAILED}
            batches = {(journey.digest, journey.batch) for journey in going.values()}
            if len(batches) > 1:
                raise PromiseBroken(2, f"{target} has batches {sorted(batches)} under way at once")
            under_way = {(host, journey.begun) for host, journey in going.items()}
            before, hosts = self._batches.get(target, (("", 0), set()))
            added = {each for each in under_way - hosts if not self._is_tried_again(world, target, each[0])}
            if batches == {before} and hosts & under_way and added:
                raise PromiseBroken(2, f"{sorted(added)} join a batch of {target} that is under way")
            self._batches[target] = (batches.pop() if batches else ("", 0)), under_way

    def _is_tried_again(self, world: World, target: str, host: str) -> bool:
        """It had failed, and then a person let it begin anew: it is out, hence goes on beside those of its batch."""
        failed, retried = self._failed.get((target, host)), world.statuses[target].retried
        return failed is not None and retried is not None and failed <= retried

    def _one_commit(self, world: World, good: dict[str, dict[str, str]]) -> None:
        revisions = {spec.revision for spec in world.declared.values()}
        if len(revisions) > 1:
            raise PromiseBroken(6, f"targets of {sorted(revisions)} are in force together")
        for revision in revisions:
            versions = {service_of(name): spec.version for name, spec in world.declared.items()}
            if good.get(revision) != versions:
                raise PromiseBroken(6, f"{versions} is in force, and {revision} says {good.get(revision)}")
        if self._in_force and not revisions:
            raise PromiseBroken(6, "nothing is in force any more")
        self._in_force = bool(revisions)

    def _one_leader(self, deciding: Deciding) -> None:
        """Nobody writes once another one has taken over; the present one's term may have risen in this step."""
        for term, taken_over in self._lives:
            if term > deciding.term and deciding.resource_version > taken_over:
                raise PromiseBroken(10, f"term {deciding.term} writes after term {term} has taken over")
        self._lives[-1] = deciding.term, self._lives[-1][1]

    def succeeded(self, target: str, status: RolloutStatus) -> None:
        """Promise 8: success means every host on the digest, healthy and online, but for what people took out."""
        for host in self._truth.names:
            if not self._truth.excluded(service_of(target), host):
                self._has_arrived(target, host, status.succeeded_digest)

    def _has_arrived(self, target: str, host: str, digest: str) -> None:
        service, runs = service_of(target), self._truth.digest(host, target)
        if runs not in (None, digest) or digest not in self._acts.passed.get((target, host), ()):
            raise PromiseBroken(8, f"{target} succeeded, but {host} runs {runs}, or is not tested")
        not_in = (service, host) in self._acts.out or service not in self._acts.complete
        if (not_in and not self._truth.serves(service, host)) or self._is_known_down(service, host):
            raise PromiseBroken(8, f"{target} succeeded, but {host} is not online")


def _journeys(world: World) -> Iterator[tuple[str, str, Journey]]:
    for target, journeys in world.journeys.items():
        for host, journey in journeys.items():
            yield target, host, journey
