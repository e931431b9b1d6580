"""A service is started with its secrets or not at all, and whatever ran before runs on."""

from pathlib import Path

import pytest

from agent.drivers.contracts import Running
from agent.redaction import Redactor
from agent.roles.given import Given
from agent.secrets import Secrets, Source
from crds.messages import ProcessIdentity, ServiceAssignment, ServiceReport
from crds.probe import Probe
from crds.release import Release
from tests.support.roles import no_command
from tests.unit.test_host_role import TARGET, Host

EXEC = Probe.model_validate({"exec": {"command": ["./probe"]}})


class Keeper:
    """A host whose node has one secret, in a file."""

    def __init__(self, tmp_path: Path) -> None:
        self.host, self.file, self.redactor = Host(tmp_path), tmp_path / "db", Redactor()
        self.restart()

    def restart(self) -> None:
        self.redactor = Redactor()
        sources = {
            "db": Source(file=self.file, services=["api"]),
            "unit": Source(environment="NOT_SET_ANYWHERE"),
            "of-web": Source(file=self.file, services=["web"]),
        }
        self.host.secrets = Secrets(sources, self.redactor, no_command)
        self.host.restart()

    def assign(self, version: str, **secrets: str) -> Release:
        release = Release(version=version, url="sim:", sha256="0" * 64, run=["run"], secrets=secrets)
        said = ServiceAssignment(release=release, probes=[EXEC], address="10.0.0.1")
        self.host.assignment = self.host.assigned(3600.0, api_prod=said)
        return release

    def running(self, version: str) -> ServiceReport:
        return self.host.until(lambda said: said.version == version and said.healthy is True)

    @property
    def given(self) -> dict[str, str]:
        return self.host.supervisor.given(TARGET)


@pytest.fixture
def keeper(tmp_path: Path) -> Keeper:
    return Keeper(tmp_path)


def test_the_process_gets_the_value_and_the_assignment_does_not(keeper: Keeper) -> None:
    keeper.file.write_text("planted-secret")
    keeper.assign("1", DB="db")
    keeper.running("1")
    assert keeper.given == {"DB": "planted-secret"}
    assert b"planted" not in keeper.host.path.read_bytes()


def test_a_secret_that_is_missing_is_waited_for_while_the_old_release_runs(keeper: Keeper) -> None:
    keeper.assign("1")
    before = keeper.running("1").identity
    keeper.assign("2", DB="db")
    said = keeper.host.until(lambda said: "cannot read" in said.message)
    assert (said.state, said.version, said.identity) == ("starting", "1", before)
    assert "secret 'db'" in said.message
    keeper.file.write_text("planted-secret")
    assert keeper.running("2").message == ""


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("other", "Add it to 'secrets'"),
        ("unit", "set it in the agent's unit"),
        ("of-web", "Add api to the secret's 'services'"),
    ],
)
def test_what_no_waiting_helps_against_is_a_failure(keeper: Keeper, name: str, remedy: str) -> None:
    keeper.assign("1")
    keeper.running("1")
    keeper.assign("2", DB=name)
    said = keeper.host.until(lambda said: said.state == "failed")
    assert remedy in said.message
    assert said.version == "1"
    keeper.assign("3")
    keeper.running("3")


def test_each_start_gets_the_value_of_its_day(keeper: Keeper) -> None:
    keeper.file.write_text("first-value")
    keeper.assign("1", DB="db")
    first = keeper.running("1").identity
    keeper.file.write_text("second-value")
    keeper.host.supervisor.kill(TARGET)
    keeper.host.until(lambda said: said.identity not in (None, first))
    assert keeper.given == {"DB": "second-value"}


def test_an_agent_that_comes_back_learns_from_the_process(keeper: Keeper) -> None:
    keeper.file.write_text("former-value")
    keeper.assign("1", DB="db")
    before = keeper.running("1").identity
    keeper.file.unlink()
    keeper.restart()
    assert keeper.running("1").identity == before
    assert keeper.redactor.hide("a former-value") == "a ***"


def test_what_could_hold_an_unknown_secret_is_withheld() -> None:
    release = Release(version="1", url="u", sha256="0", run=["r"], secrets={"DB": "db"})
    secrets = Secrets({"db": Source(environment="DB")}, Redactor(), no_command, {"DB": "planted-secret"})
    given = Given(TARGET, secrets)
    ended = Running(release.digest, "1", log_tail=["it said planted-secret"])
    assert "withheld" in given.veil(ended).log_tail[0]
    given.look_up(release)
    assert given.veil(ended) == ended
    identity = ProcessIdentity(boot="b", pid=1, started="1", executable="e")
    assert given.follow(release, Running(release.digest, "1", identity), dict) is False
    assert given.of_process(release) == {"DB": "planted-secret"}
