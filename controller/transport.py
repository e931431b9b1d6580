"""The bus by the setting: embedded in the controller's own server, or over RabbitMQ."""

from starlette.routing import Route

from bus.amqp_url import parse_broker_url
from bus.clock import Clock
from bus.http_controller import HttpControllerBus
from bus.keyring import KeyRing
from bus.port import ControllerBus
from controller.broker.files import bus_account
from controller.intake import Refusals
from controller.metrics import Metrics
from controller.settings import EMBEDDED, Settings


def build_bus(
    settings: Settings, ring: KeyRing, refusals: Refusals, metrics: Metrics, clock: Clock
) -> tuple[ControllerBus, list[Route]]:
    """The controller's end, and the routes that the HTTP server has for it. Raises BadKey, BadBrokerUrl."""
    if settings.bus == EMBEDDED:
        embedded = HttpControllerBus(ring)
        return embedded, embedded.routes()
    from bus.amqp_controller import AmqpControllerBus  # noqa: PLC0415  only the transport that is used is loaded

    url = parse_broker_url(settings.bus)
    bus = AmqpControllerBus(
        url,
        bus_account(settings.keys_directory, url.user),
        on_refused=refusals,
        on_lost=lambda reason: metrics.assignments_lost_total.labels(reason).inc(),
        clock=clock,
    )
    return bus, []
