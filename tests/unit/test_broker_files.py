"""Whom the controller trusts at a broker, by the files beside its keys."""

from pathlib import Path

import pytest

from bus.amqp_url import BadBrokerUrl, broker_tls
from bus.keys import BUS_PASSWORD_FILE, write_secret
from controller.broker.files import CA_FILE, bus_account


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    write_secret(tmp_path / BUS_PASSWORD_FILE, b"secret\n")
    return tmp_path


def test_without_a_ca_the_systems_are_trusted(keys: Path) -> None:
    assert bus_account(keys).ca is None


@pytest.mark.parametrize("pointing", ["away", CA_FILE, "."], ids=["to nothing", "to itself", "to a folder"])
def test_a_ca_that_cannot_be_read_does_not_widen_trust_to_the_systems(keys: Path, pointing: str) -> None:
    (keys / CA_FILE).symlink_to(pointing)
    with pytest.raises(BadBrokerUrl, match=f"{keys / CA_FILE}: cannot be used for TLS"):
        broker_tls(bus_account(keys))
