"""Settings: which source wins, what is refused, and that each complaint names the place."""

from pathlib import Path

import pytest
import yaml

from controller.settings import Settings, SettingsError, example, load_settings

REPOSITORY = {"repository": "/srv/state.git"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "drumbeat.yaml"


def complaint(flags: dict[str, str], file: Path | None = None) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(flags, file)
    return str(caught.value)


def test_the_defaults_are_cautious() -> None:
    settings = load_settings(REPOSITORY)
    assert settings.listen == "127.0.0.1:7420"
    assert settings.branch == "main"
    assert (settings.poll_interval, settings.heartbeat_interval, settings.node_timeout) == (30, 30, 90)


def test_flags_go_before_the_environment_and_that_before_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("repository: from-file\nbranch: from-file\nfolder: from-file\npollInterval: 1m30s\n")
    monkeypatch.setenv("DRUMBEAT_BRANCH", "from-environment")
    monkeypatch.setenv("DRUMBEAT_FOLDER", "from-environment")
    settings = load_settings({"folder": "from-flag"}, file)
    assert settings.repository == "from-file"
    assert settings.branch == "from-environment"
    assert settings.folder == "from-flag"
    assert settings.poll_interval == 90


def test_every_setting_can_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {
        "repository": "https://git.example.com/state.git",
        "branch": "prod",
        "folder": "state",
        "poll_interval": "10s",
        "data_directory": "/data",
        "keys_directory": "/keys",
        "listen": "[::1]:0",
        "bus": "amqps://mq-1:5671,mq-2:5671/drumbeat",
        "bus_management": "https://mq-1:15671,mq-2:15671",
        "heartbeat_interval": "5s",
        "node_timeout": "15s",
        "log_level": "debug",
        "log_format": "json",
    }
    assert set(values) == set(Settings.model_fields)
    for name, value in values.items():
        monkeypatch.setenv(f"DRUMBEAT_{name.upper()}", value)
    settings = load_settings({})
    assert (settings.repository, settings.listen) == (values["repository"], "[::1]:0")
    assert (settings.data_directory, settings.keys_directory) == (Path("/data"), Path("/keys"))
    assert (settings.poll_interval, settings.heartbeat_interval, settings.node_timeout) == (10, 5, 15)
    assert (settings.log_level, settings.log_format) == ("debug", "json")


def test_another_programs_variables_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRUMBEAT_URL", "http://a-gate-knows-this/")
    assert load_settings(REPOSITORY).branch == "main"


def test_the_example_says_every_default_and_is_a_settings_file(file: Path) -> None:
    file.write_text(example())
    assert load_settings({}, file).model_dump(exclude={"repository"}) == load_settings(REPOSITORY).model_dump(
        exclude={"repository"}
    )
    uncommented = [line.removeprefix("# ") for line in example().splitlines() if not line.startswith("# (")]
    settings = [line for line in uncommented if ": " in line and line.split(":")[0].isalnum()]
    file.write_text("\n".join(settings))
    assert len(yaml.safe_load(file.read_text())) == len(Settings.model_fields)
    assert load_settings({}, file) == load_settings({"repository": "/srv/git/state.git"})


def test_a_missing_repository_says_the_three_ways(file: Path) -> None:
    file.write_text("branch: main\n")
    assert complaint({}, file) == (
        f"--repository is missing: give it, set DRUMBEAT_REPOSITORY, or write repository into {file}"
    )


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("30", "'30' is not a duration; write a number with a unit, such as '30s'"),
        ("0s", "0s is too short; write at least 1s"),
    ],
)
def test_a_bad_value_names_its_flag(value: str, said: str) -> None:
    assert complaint({**REPOSITORY, "poll_interval": value}).startswith(f"--poll-interval: {said}")


def test_a_bad_value_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRUMBEAT_LOG_LEVEL", "loud")
    assert complaint(REPOSITORY) == "DRUMBEAT_LOG_LEVEL: Input should be 'debug', 'info', 'warning' or 'error'"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("branch: main\npollInterval: 30\n", ":2: pollInterval: 30 has no unit; write '30s' for seconds"),
        ("\n\nbranch: 1.10\n", ":3: branch: Input should be a valid string"),
        ("branch: main\npolInterval: 30s\n", ":2: polInterval: there is no such setting; did you mean pollInterval?"),
        ("poll_interval: 30s\n", ":1: poll_interval: there is no such setting; did you mean pollInterval?"),
        ("xyz: 1\n", ":1: xyz: there is no such setting; the settings are repository, branch"),
        ("branch: a\nfolder: b\nbranch: c\n", ":3:1: error: branch: written twice, first in line 1"),
        ("branch: main\n  folder: [\n", ":2:9: error: this is not YAML:"),
        ("- branch\n", ":1: write one setting on a line"),
    ],
)
def test_a_mistake_in_the_file_names_line_and_field(file: Path, text: str, said: str) -> None:
    file.write_text(text)
    assert complaint(REPOSITORY, file).startswith(f"{file}{said}")


def test_every_mistake_is_named_at_once(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("nodeTimeout: 3\n")
    monkeypatch.setenv("DRUMBEAT_LISTEN", "7420")
    lines = complaint({"log_format": "xml"}, file).splitlines()
    assert sorted(line.split(": ")[0] for line in lines) == sorted(
        ["--repository is missing", "DRUMBEAT_LISTEN", f"{file}:1", "--log-format"]
    )


def test_a_file_that_is_not_there_says_so(file: Path) -> None:
    assert complaint(REPOSITORY, file).startswith(f"{file}: cannot be read:")


def test_an_empty_file_sets_nothing(file: Path) -> None:
    file.write_text("# nothing yet\n")
    assert load_settings(REPOSITORY, file) == load_settings(REPOSITORY)


def test_a_binary_file_is_no_settings_file(file: Path) -> None:
    file.write_bytes(b"branch: \0\1\n")
    assert complaint(REPOSITORY, file).startswith(f"{file}:1:9: error: the file contains a NUL character")


@pytest.mark.parametrize("address", ["7420", ":7420", "0.0.0.0", "127.0.0.1:99999", "127.0.0.1:http"])
def test_an_address_says_both_halves(address: str) -> None:
    said = complaint({**REPOSITORY, "listen": address})
    assert said.startswith(f"--listen: {address!r} is not ADDRESS:PORT; write 127.0.0.1:7420 for this machine alone")


@pytest.mark.parametrize(
    ("bus", "advice"),
    [
        ("https://mq", "write http for the bus in the controller itself, or amqps://HOST:PORT,HOST:PORT/VHOST"),
        ("amqps://me:secret@mq", "a password does not belong here"),
        ("amqp://mq:amqp/drumbeat", "'mq:amqp' is not HOST:PORT"),
        ("amqp://mq/drumbeat", "amqp:// would show passwords and messages on the way; write amqps://"),
    ],
)
def test_a_bus_that_cannot_be_used_is_explained(bus: str, advice: str) -> None:
    said = complaint({**REPOSITORY, "bus": bus})
    assert said.startswith(f"--bus: {advice}")


@pytest.mark.parametrize(
    ("management", "advice"),
    [
        ("amqps://mq", "--bus-management: write https://HOST:PORT,HOST:PORT"),
        (
            "https://me:secret@mq",
            "--bus-management: write https://HOST:PORT,HOST:PORT; a password is read from",
        ),
        ("http://mq-1", "--bus-management: http://mq-1 would show an administrator's password on the way"),
        ("http://localhost:15672", "settings: busManagement is given, and bus is http; write the broker's amqps://"),
    ],
)
def test_a_management_that_cannot_be_used_is_explained(management: str, advice: str) -> None:
    said = complaint({**REPOSITORY, "bus_management": management})
    assert said.startswith(advice)
    assert "secret" not in said
    assert "secret" not in said


def test_an_account_of_one_s_own_is_not_managed() -> None:
    given = {**REPOSITORY, "bus_management": "https://mq"}
    said = complaint({**given, "bus": "amqps://mine@mq/drumbeat"})
    assert said.startswith("settings: bus names the account 'mine', and busManagement looks after drumbeat_controller")
    for user in ("", "drumbeat_controller@"):
        assert load_settings({**given, "bus": f"amqps://{user}mq/drumbeat"})


def test_one_lost_report_may_not_make_a_node_unknown() -> None:
    said = complaint({**REPOSITORY, "node_timeout": "40s"})
    assert "node timeout 40s must be at least twice the heartbeat interval 30s" in said
