"""How many nodes may leave the ring at once before that is taken for a folder that is not whole."""

from pathlib import Path

import pytest

from bus.keyring import KeyRing, NodeEntry
from bus.keys import BUS_PASSWORD_FILE, MANAGEMENT_PASSWORD_FILE, generate_key, hash_token, public_text, write_secret
from controller.broker.files import broker_accounts
from tests.support.management import VHOST, lying_management, ours, said


@pytest.mark.parametrize(
    ("known", "vanished", "believed"),
    [
        (0, 0, True),
        (0, 1, False),
        (1, 5, True),
        (1, 6, False),
        (24, 6, True),  # a fifth
        (23, 6, False),
        (23, 5, True),
    ],
)
def test_how_many_may_vanish(tmp_path: Path, known: int, vanished: int, believed: bool) -> None:
    for file in (BUS_PASSWORD_FILE, MANAGEMENT_PASSWORD_FILE):
        write_secret(tmp_path / file, b"secret\n")
    ring = KeyRing(tmp_path)
    entry = NodeEntry(
        public_key=public_text(generate_key().public_key), token_hash=hash_token("token"), roles=["host"], revoked=True
    )
    for number in range(known):
        ring.register(f"host-{number}", entry)
    gone = [f"gone-{number}" for number in range(vanished)]
    revoked = [f"host-{number}" for number in range(known)]
    with lying_management() as management:
        management.answers["definitions"] = said(users=[ours(name) for name in (*gone, *revoked)])
        accounts = broker_accounts(tmp_path, management.url, VHOST, ring)
        plan, allowed = accounts.plan(), accounts.plan(allow_delete=True)
    assert set(plan.delete) == {*revoked, *(gone if believed else [])}
    assert set(allowed.delete) == {*revoked, *gone}
    assert len(plan.problems) == (not believed)
    assert {change.name for change in plan.changes if change.verb == "deleted"} == set(plan.delete)
