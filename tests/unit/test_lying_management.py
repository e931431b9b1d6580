"""A broker is not trusted: nothing that its management answers ends the controller, or a command with a traceback."""

import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from random import Random

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from bus.amqp_definitions import MANAGEMENT_USER
from bus.amqp_url import Account
from bus.clock import SystemClock
from bus.keyring import KeyRing, write_node_keys
from bus.keys import BUS_PASSWORD_FILE, MANAGEMENT_PASSWORD_FILE, generate_key, hash_token, token_matches, write_secret
from controller.broker.accounts import BrokerAccounts
from controller.broker.connection import MOST
from controller.broker.files import broker_accounts
from controller.broker.follower import AccountFollower
from controller.broker.management import Management, ManagementError, parse_management_url
from controller.metrics import Metrics
from tests.support.cli import run
from tests.support.management import VHOST, Answer, Handler, LyingManagement, lying_management, ours, said

DEEP = 200_000


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A folder of keys, with one node in the ring."""
    folder = tmp_path / "keys"
    folder.mkdir()
    for file in (BUS_PASSWORD_FILE, MANAGEMENT_PASSWORD_FILE):
        write_secret(folder / file, b"secret\n")
    write_node_keys(tmp_path / "host-1", "host-1", KeyRing(folder), [generate_key().public_key])
    return folder


@pytest.fixture
def management() -> Iterator[LyingManagement]:
    with lying_management() as server:
        yield server


def accounts_of(management: LyingManagement, keys: Path) -> BrokerAccounts:
    return broker_accounts(keys, management.url, VHOST, KeyRing(keys))


EVERYTHING: dict[str, Answer] = {
    "is not there": (404, b'{"error":"Object Not Found"}'),
    "is empty": (204, b""),
    "is half": (206, b"{}"),
    "is elsewhere": (302, b""),
    "null": (200, b"null"),
    "a list": (200, b"[1,2]"),
    "a text": (200, b'"users"'),
    "no JSON": (200, b"<html>"),
    "no UTF-8": (200, b'{"\xff": 1}'),
    "a deep list": (200, b"[" * DEEP + b"]" * DEEP),
    "a deep object": (200, b'{"users":' * DEEP + b"1" + b"}" * DEEP),
    "a long number": (200, b"1" * 5000),
    "no accounts": (200, b"{}"),
    "accounts that are none": said(users=1),
    "an account without a name": said(users=[{}]),
    "a permission that is none": said(permissions=[[]]),
    "a permission of nobody's": said(permissions=[{"vhost": VHOST, "user": ["host-1"]}]),
    "an exchange without a name": said(exchanges=[{}]),
    "a name that is a list": said(users=[ours(["host-2"])]),
    "half a character": said(users=[ours("\ud800")]),
    "a name that colours terminals": said(users=[ours("\x1b[31mhost-2")]),
    "a name of two lines": said(users=[ours("host-2\nhost-3")]),
    "an endless name": said(users=[ours("x" * 256)]),
    "a virtual host that is a number": said(users=[ours("host-1")], permissions=[{"vhost": 5, "user": "host-1"}]),
}


@pytest.mark.parametrize("what", EVERYTHING)
def test_nonsense_is_one_more_failure(keys: Path, management: LyingManagement, what: str) -> None:
    metrics = Metrics(CollectorRegistry())
    management.answers["definitions"] = EVERYTHING[what]
    accounts = accounts_of(management, keys)
    AccountFollower(accounts, keys, SystemClock(), Random(1), metrics).step()
    assert metrics.registry.get_sample_value("drumbeat_failures_total", {"part": "accounts"}) == 1
    assert management.asked == ["GET definitions"], "nothing is done about what is not understood"


@pytest.mark.parametrize("what", EVERYTHING)
def test_a_command_says_so_in_a_line(keys: Path, management: LyingManagement, what: str) -> None:
    management.answers["definitions"] = EVERYTHING[what]
    result = run("bus", "apply", "--management", management.url, "--dry-run", "--keys-directory", keys)
    assert (result.exit_code, result.stdout) == (1, "")
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert result.stderr.strip().isprintable()


@pytest.mark.parametrize(
    ("account", "permissions"),
    [
        ((200, b"[1,2]"), (200, b"[]")),
        ((200, b"null"), (200, b"[]")),
        ((204, b""), (200, b"[]")),
        ((200, b"{}"), (200, b"[]")),
        ((200, json.dumps(ours("host-1")).encode()), (200, b'{"a": 1}')),
        ((200, json.dumps(ours("host-1")).encode()), (200, b"[1]")),
        ((200, json.dumps(ours("host-1")).encode()), (200, b"[" * DEEP)),
    ],
)
def test_nonsense_about_one_account(
    keys: Path, management: LyingManagement, account: Answer, permissions: Answer
) -> None:
    management.answers |= {"users/host-1": account, "users/host-1/permissions": permissions}
    with pytest.raises(ManagementError):
        accounts_of(management, keys).plan_of(["host-1"])


def test_what_a_broker_says_is_shown_on_one_line(keys: Path, management: LyingManagement) -> None:
    management.answers["definitions"] = (400, b"\x1b]0;mine\x07\nerror: none")
    with pytest.raises(ManagementError) as refused:
        accounts_of(management, keys).plan()
    assert str(refused.value).isprintable()


def promise(handler: Handler, size: int) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(size))
    handler.end_headers()
    handler.wfile.flush()


def trickle(handler: Handler, start: Callable[[Handler], None]) -> None:
    """A byte now and then, until the other end hangs up."""
    start(handler)
    with suppress(OSError):
        while not handler.server.stopped.wait(0.05):
            handler.connection.sendall(b"x")


SLOW: dict[str, Callable[[Handler], None]] = {
    "head": lambda handler: handler.connection.sendall(b"HTTP/1.1 200 O"),
    "body": lambda handler: promise(handler, 1_000_000),
    "body without end": lambda handler: handler.connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n"),
}


@pytest.mark.parametrize("where", SLOW)
def test_slow_retrieval_of_an_answer(management: LyingManagement, where: str) -> None:
    """It ends in its time, and the next question is asked as if nothing had been."""
    management.answers["definitions"] = partial(trickle, start=SLOW[where])
    asking = Management(parse_management_url(management.url), Account("me", "secret"), deadline=0.5)
    ended = list[str]()

    def ask() -> None:
        try:
            asking.everything()
        except ManagementError as error:
            ended.append(str(error))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    assert "Read timed out" in ended[0]
    management.answers["definitions"] = said()
    assert asking.everything() == {"users": [], "permissions": []}


def test_endless_data_is_not_gathered(management: LyingManagement) -> None:
    sent = list[int]()

    def flood(handler: Handler) -> None:
        promise(handler, 100 * MOST)
        with suppress(OSError):
            while len(sent) < 100:
                handler.connection.sendall(bytes(MOST // 16))
                sent.append(MOST // 16)

    management.answers["definitions"] = flood
    asking = Management(parse_management_url(management.url), Account("me", "secret"))
    with pytest.raises(ManagementError, match=f"the answer is larger than {MOST} bytes"):
        asking.everything()
    assert sum(sent) <= 2 * MOST


def test_endless_data_is_counted_and_not_logged(keys: Path, management: LyingManagement) -> None:
    """Each of these is mended; of the first hundred that is said."""
    granted = [{"vhost": f"invented-{number}", "user": "host-1"} for number in range(300)]
    management.answers["definitions"] = said(users=[ours("host-1")], permissions=granted)
    follower = AccountFollower(
        accounts_of(management, keys), keys, SystemClock(), Random(1), Metrics(CollectorRegistry())
    )
    with capture_logs() as logs:
        follower.step()
    assert sum(asked.startswith("DELETE permissions/invented-") for asked in management.asked) == 300
    lines = [line for line in logs if line["event"] == "accounts.changed"]
    assert len(lines) == 100
    (more,) = [line for line in logs if line["event"] == "accounts.more"]
    assert more["changes"] > 200
    assert more["problems"] == 0
    assert len(logs) == 101


def test_a_former_password_is_out_before_the_new_one_counts(keys: Path, management: LyingManagement) -> None:
    """Whatever ends the controller in between: once the new one counts nothing tells who came with the former."""
    accounts = accounts_of(management, keys)
    management.answers["definitions"] = said()
    load = accounts.plan().load
    has = [each | {"password_hash": hash_token("former")} for each in load["users"] if each["name"] == "host-1"]
    management.answers["definitions"] = said(users=has, permissions=load["permissions"])
    plan = accounts.plan()
    assert [str(change) for change in plan.changes if change.kind == "account"][1:] == [
        "account/host-1 changed (password)"
    ]
    assert "host-1" in {each["user"] for each in plan.load["permissions"]}, "they end with the account"
    management.asked.clear()
    accounts.apply(plan)
    assert management.asked[0] == "DELETE users/host-1"
    assert set(management.asked[1:]) == {"POST definitions", f"DELETE permissions/{VHOST}/{MANAGEMENT_USER}"}


def test_a_password_may_have_any_characters(keys: Path, management: LyingManagement) -> None:
    for file in (BUS_PASSWORD_FILE, MANAGEMENT_PASSWORD_FILE):
        (keys / file).write_text("Ключ-鍵\n", encoding="utf-8")
    management.answers["definitions"] = said()
    accounts_of(management, keys).plan()
    (credentials,) = management.credentials
    assert base64.b64decode(credentials.removeprefix("Basic ")).decode() == f"{MANAGEMENT_USER}:Ключ-鍵"
    users = json.loads(run("bus", "definitions", "--keys-directory", keys).stdout)["users"]
    kept = {user["name"]: user["password_hash"] for user in users}
    assert token_matches("Ключ-鍵", kept[MANAGEMENT_USER])
