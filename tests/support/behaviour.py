"""How the nodes of a pretend site behave."""

from dataclasses import dataclass, field


@dataclass
class Behaviour:
    """How nodes behave; tests change it as they go."""

    silent: set[str] = field(default_factory=set)
    """Nodes that neither take nor say anything."""
    busy: set[str] = field(default_factory=set)
    """Hosts whose sessions do not end."""
    broken: set[str] = field(default_factory=set)
    """Versions that are never healthy."""
    crashing: dict[str, int] = field(default_factory=dict)
    """By version, how many of its starts on each host end in a crash loop."""
    failing: set[str] = field(default_factory=set)
    """Versions whose gates fail."""
    outcomes: dict[str, str] = field(default_factory=dict)
    """How operations of a name end, where not as the version's gates do; ``running``: they do not end."""
    stuck: set[str] = field(default_factory=set)
    """Hosts that never finish an installation."""
    down: set[tuple[str, str]] = field(default_factory=set)
    """(balancer node, host) that the node's checks find down."""
    unsafe: set[str] = field(default_factory=set)
    """Balancer nodes whose balancer would forget everything in a reload."""
    outsiders: dict[str, int] = field(default_factory=dict)
    """Hosts on which nobody of ours started a process that can be adopted, and its id."""
    extra: dict[str, str] = field(default_factory=dict)
    """Server lines that are no host of ours, by name, with their address."""
    moved: dict[str, str] = field(default_factory=dict)
    """Hosts whose server lines have another address."""
