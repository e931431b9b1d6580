"""Modes: whether a target's hosts are touched at all. Observe touches nothing, adopt takes over what runs, manage acts.

A service that git says nothing about is observed as long as somebody else seems to run it: hosts serve in its pool that
no agent of ours put there. Once it was managed, it stays so until git says otherwise: an empty pool or an old copy of
the store must not make Drumbeat a bystander of its own services, nor a moment without answers their new master.
"""

from crds.status import RolloutStatus
from reconcilers.classify import Standing
from reconcilers.draft import Draft
from reconcilers.entries import entries_for
from reconcilers.facts import HostFacts, online_places
from reconcilers.fragments import SERVICE
from reconcilers.index import TargetIndex
from reconcilers.target import TargetSpec
from reconcilers.values import service_of
from reconcilers.words import listed

_KNOWN = (Standing.CURRENT, Standing.OUTDATED, Standing.OUT, Standing.UNHEALTHY)


def heed_mode(draft: Draft) -> None:
    """Note in the status what the mode makes of the target; without a mode, find out whose the service is."""
    target, status = draft.target, draft.status
    if target.mode == "":
        draft.status = _whose(draft, status)
    elif target.mode == "observe":
        draft.status = status.model_copy(update={"unclaimed": "", "vouched": ""})
    else:
        vouched = (status.vouched or target.digest) if target.mode == "adopt" else ""
        draft.status = status.model_copy(update={"managed": True, "unclaimed": "", "vouched": vouched})


def _whose(draft: Draft, status: RolloutStatus) -> RolloutStatus:
    """Somebody else's for good once a host says so; ours once hosts can be told, and none of them is anybody else's."""
    if status.unclaimed:
        return status
    serving = [host for host in draft.target.hosts if _is_served(draft.target, draft.observed.facts(host))]
    foreign = [host for host in serving if not _is_ours(draft.observed.facts(host))]
    heard = [host for host in foreign if not draft.observed.facts(host).silent]
    if heard:
        words = f"{listed(heard)} serve in its pool, put there by nobody of ours"
        return status.model_copy(update={"unclaimed": words})
    if unasked := draft.observed.unasked:
        draft.undecided = f"whose service it is will be known once these say who serves: {listed(unasked)}"
        return status
    draft.undecided = f"whose service {listed(foreign)} run, which serve in its pool, is not known" if foreign else ""
    known = any(draft.observed.index.standings[standing] for standing in _KNOWN)
    return status.model_copy(update={"managed": True}) if known and not foreign else status


def _is_served(target: TargetSpec, facts: HostFacts) -> bool:
    """Some balancer node sends customers to it, or would as soon as it is up."""
    servers = [facts.servers.get((node, pool.online)) for node, pool in online_places(target)]
    return any(server is not None and server.admin == "ready" for server in servers)


def _is_ours(facts: HostFacts) -> bool:
    """Its agent runs the service, in whatever release."""
    return not facts.silent and facts.service is not None and facts.service.digest is not None


def resolved(declared: TargetSpec, status: RolloutStatus) -> TargetSpec:
    """The target with the mode that holds for it, where that is known.

    Processes are adopted as the release that git declared when it first said ``adopt``: somebody who knew what ran has
    vouched for that. A later release says where hosts are to go, not what they run.
    """
    if declared.mode == "" and status.managed:
        return declared.in_mode("manage")
    if declared.mode == "adopt" and status.vouched in ("", declared.digest):
        return declared
    return declared.without_adoption()


def adopted(draft: Draft, index: TargetIndex) -> list[str]:
    """Hosts whose agents will be asked to take over what runs there, and were not asked so before."""
    return [host for host in index.named.get(Standing.UNADOPTED, ()) if _is_asked(draft.target, draft.facts(host))]


def _is_asked(target: TargetSpec, facts: HostFacts) -> bool:
    entry, before = entries_for(target, facts).get((facts.host.name, SERVICE)), facts.assigned_service()
    adopt = service_of(entry).adopt if entry else None
    return adopt is not None and (before is None or before.adopt != adopt)


def turning(status: RolloutStatus) -> tuple[object, ...]:
    """What of a status matters to all hosts: with another one, the spec is resolved anew, and each is looked at."""
    return status.quarantine, status.managed, status.vouched, status.succeeded_digest


def what_would_happen(draft: Draft) -> str:
    """In words, which hosts would go where if the target were managed."""
    hosts = [rank[2] for _, rank in draft.observed.index.candidates]
    if not hosts:
        return "no host would be moved"
    return f"{len(hosts)} of {len(draft.target.hosts)} would go to {draft.target.version or 'nothing'}: {listed(hosts)}"
