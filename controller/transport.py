"""The bus by the setting: embedded in the controller's own server, or over RabbitMQ."""

from fastapi import APIRouter

from bus.amqp_definitions import CONTROLLER_USER
from bus.amqp_url import Account, parse_broker_url
from bus.clock import Clock
from bus.http_controller import HttpControllerBus
from bus.keyring import KeyRing
from bus.keys import BUS_PASSWORD_FILE
from bus.port import ControllerBus
from controller.intake import Refusals
from controller.metrics import Metrics
from controller.settings import EMBEDDED, Settings

CA_FILE = "bus.ca"
CERTIFICATE_FILE, CERTIFICATE_KEY_FILE = "bus.certificate", "bus.key"


def build_bus(
    settings: Settings, ring: KeyRing, refusals: Refusals, metrics: Metrics, clock: Clock
) -> tuple[ControllerBus, list[APIRouter]]:
    """The controller's end, and the routes that the HTTP server has for it. Raises BadKey, BadBrokerUrl."""
    if settings.bus == EMBEDDED:
        embedded = HttpControllerBus(ring)
        return embedded, [embedded.router()]
    from bus.amqp_controller import AmqpControllerBus  # noqa: PLC0415  only the transport that is used is loaded

    bus = AmqpControllerBus(
        parse_broker_url(settings.bus),
        account_of(settings),
        on_refused=refusals,
        on_lost=lambda reason: metrics.assignments_lost_total.labels(reason).inc(),
        clock=clock,
    )
    return bus, []


def account_of(settings: Settings) -> Account:
    """Who the controller is at the broker: files in the keys directory, of which only the password must be there."""
    folder = settings.keys_directory
    ca = folder / CA_FILE
    return Account.of(
        parse_broker_url(settings.bus).user or CONTROLLER_USER,
        folder / BUS_PASSWORD_FILE,
        ca if ca.exists() else None,
        folder / CERTIFICATE_FILE,
        folder / CERTIFICATE_KEY_FILE,
    )
