"""A controller that is told to stop still does what cannot be asked for again."""

from pathlib import Path
from random import Random

from bus.clock import SystemClock
from bus.keyring import ALL_ROLES, KeyRing, NodeEntry
from bus.keys import CONTROLLER_KEY_FILE, generate_key, public_text, save_private_key
from controller.mailbox import NodeJoined, Stop
from controller.main import Controller
from controller.settings import load_settings
from controller.store import Store
from tests.support.worlds import report


def test_a_node_that_joins_as_the_controller_stops_begins_anew(tmp_path: Path) -> None:
    """Otherwise what was said with its former key would count for good, and nobody could ever tell."""
    keys, data = tmp_path / "keys", tmp_path / "data"
    key = public_text(generate_key().public_key)
    KeyRing(keys).register("vm1", NodeEntry(public_key=key, token_hash="A" * 48, roles=list(ALL_ROLES)))
    save_private_key(keys / CONTROLLER_KEY_FILE, generate_key())
    data.mkdir()
    store = Store.open(data / "drumbeat.db")
    with store.transaction(store.take_over(SystemClock().now())) as transaction:
        transaction.put_report("vm1", report("vm1", 2**52))
    store.close()
    said = {"repository": str(tmp_path), "listen": "127.0.0.1:0", "keys_directory": keys, "data_directory": data}
    controller = Controller(load_settings(said), SystemClock(), Random(1))
    for message in (NodeJoined("vm1", "as host, with a key of its own"), Stop()):
        controller._mailbox.put(message)
    controller._decide()
    controller._socket.close()
    store = Store.open(data / "drumbeat.db")
    loaded, verbs = store.load(), [event.verb for event in store.recent_events(10)]
    store.close()
    assert (list(loaded.reports), verbs) == ([], ["NodeJoined"])
