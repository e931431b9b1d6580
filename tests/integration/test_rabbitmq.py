"""The broker that tests and the demo start: apart from the system's, and gone at the end."""

import os
from pathlib import Path

import pika
import pytest

from controller.demo.rabbitmq import permission, user
from tests.support.rabbitmq import VirtualHost, is_installed, running

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.skipif(not is_installed(), reason="rabbitmq-server is not installed"),
]


def processes_of(folder: Path) -> list[str]:
    """Commands that name the folder, or whose environment does."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            texts = [(process / file).read_text(errors="replace") for file in ("cmdline", "environ")]
        except OSError:
            continue
        if process.name != str(os.getpid()) and any(str(folder) in text for text in texts):
            found.append(texts[0])
    return found


def test_a_broker_of_one_s_own_survives_its_death_and_leaves_nothing(tmp_path: Path) -> None:
    definitions = {
        "vhosts": [{"name": "/"}],
        "users": [user("admin", "secret", "administrator")],
        "permissions": [permission("admin", "/")],
        "queues": [{"name": "kept", "vhost": "/", "durable": True, "auto_delete": False, "arguments": {}}],
    }
    with running(tmp_path / "node", definitions=definitions) as rabbitmq:
        rabbitmq.kill()
        assert not rabbitmq.broker.accepts()
        rabbitmq.start()
        parameters = pika.URLParameters(f"amqp://admin:secret@{rabbitmq.address}/%2F")
        with pika.BlockingConnection(parameters) as connection:
            connection.channel().queue_declare("kept", passive=True)
    assert processes_of(tmp_path) == []


def test_a_virtual_host_is_its_users_alone(vhost: VirtualHost) -> None:
    vhost.add_user("host-1", "secret")
    with pika.BlockingConnection(pika.URLParameters(vhost.url_of("host-1", "secret"))) as connection:
        connection.channel().queue_declare("mine")
        assert vhost.queues() == ["mine"]
    elsewhere = vhost.url_of("host-1", "secret").replace(vhost.name, "%2F")
    with pytest.raises(pika.exceptions.ProbableAccessDeniedError):
        pika.BlockingConnection(pika.URLParameters(elsewhere))
