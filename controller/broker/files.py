"""Who the controller is at a broker: files in its folder of keys, of which only passwords must be there."""

from pathlib import Path

from bus.amqp_definitions import CONTROLLER_USER, MANAGEMENT_USER
from bus.amqp_url import Account
from bus.keyring import KeyRing
from bus.keys import BUS_PASSWORD_FILE, MANAGEMENT_PASSWORD_FILE, BadKey
from bus.listing import is_absent
from controller.broker.accounts import BrokerAccounts
from controller.broker.management import Management, parse_management_url

CA_FILE = "bus.ca"
CERTIFICATE_FILE, CERTIFICATE_KEY_FILE = "bus.certificate", "bus.key"


def bus_account(keys_directory: Path, user: str | None = None) -> Account:
    """The account that carries messages. Raises BadKey, BadBrokerUrl."""
    return _account(keys_directory, user or CONTROLLER_USER, BUS_PASSWORD_FILE, "drumbeat bus password")


def broker_accounts(keys_directory: Path, management: str, vhost: str, ring: KeyRing) -> BrokerAccounts:
    """What makes accounts follow the ring, at the broker whose management is there. Raises BadKey, BadBrokerUrl,
    BadManagementUrl."""
    url = parse_management_url(management)
    command = "drumbeat bus password --management"
    maker = _account(keys_directory, url.user or MANAGEMENT_USER, MANAGEMENT_PASSWORD_FILE, command)
    return BrokerAccounts(Management(url, maker), vhost, bus_account(keys_directory).password, ring)


def _account(folder: Path, user: str, password_file: str, command: str) -> Account:
    if not (folder / password_file).exists():
        raise BadKey(f"{folder / password_file}: is not there; make it with '{command}'")
    ca = folder / CA_FILE
    return Account.of(
        user,
        folder / password_file,
        None if is_absent(ca) else ca,
        folder / CERTIFICATE_FILE,
        folder / CERTIFICATE_KEY_FILE,
    )
