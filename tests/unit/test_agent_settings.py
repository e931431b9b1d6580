"""agent.yaml: every mistake in it is named before anything runs by it."""

from pathlib import Path

import pytest

from agent.settings import BadSettings, read_settings

GOOD = "node: h1\nbus: https://drumbeat.example.com\ncredentials: keys\nstate: state\nhost: {}\n"


def complaint(folder: Path, text: str) -> str:
    path = folder / "agent.yaml"
    path.write_text(text)
    with pytest.raises(BadSettings) as caught:
        read_settings(path)
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value).removeprefix(f"{path}: ")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("node: h2\n", ["'node' is written twice, first in line 1; remove one of them", "line 6, column 1"]),
        ("secrets:\n  db: {file: a}\n  db: {file: b}\n", ["'db' is written twice, first in line 7", "line 8"]),
        ("runner: {scripts: a, scripts: b}\n", ["'scripts' is written twice, first in line 6", "line 6"]),
    ],
)
def test_a_setting_that_is_written_twice(tmp_path: Path, more: str, words: list[str]) -> None:
    """Whoever reads the file believes the first, and the last would count."""
    said = complaint(tmp_path, GOOD + more)
    assert all(each in said for each in words), said


def test_another_account_at_the_broker(tmp_path: Path) -> None:
    """The broker vouches for who reports, and lets an account speak for itself alone."""
    said = complaint(tmp_path, GOOD.replace("https://drumbeat", "amqps://somebody@mq"))
    assert said.startswith("bus: a node's account at the broker has the node's name; leave out what is written before")
    assert "password" in complaint(tmp_path, GOOD.replace("https://drumbeat", "amqps://h1:secret@mq"))


@pytest.mark.parametrize(
    "bus",
    [
        "drumbeat.example.com",
        "https://",
        "https://:443",
        "https://[::1",
        "https://host:99999",
        "https://host:x",
        "ftp://a",
    ],
)
def test_a_bus_that_cannot_be_is_named_at_once(tmp_path: Path, bus: str) -> None:
    said = complaint(tmp_path, GOOD.replace("https://drumbeat.example.com", bus))
    assert said.startswith("bus: write https://HOST for a controller, or amqps://HOST:PORT,HOST:PORT/VHOST for brokers")
