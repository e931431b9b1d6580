"""Every path that is refused, whatever lies there, and what is said about it."""

import pytest

from controller.source.entries import FileEntry
from tests.support.bad_input import Case
from tests.support.state_files import GOOD, SERVICE, VERSION

CASES = [
    Case(
        "a yml file",
        {"services/web.yml": SERVICE},
        "services/web.yml: error: the file name does not end in .yaml (rename it to web.yaml)",
    ),
    Case(
        "an unknown place",
        {"service/web.yaml": SERVICE},
        "service/web.yaml: error: no resource is read from here (a Service belongs in services/SERVICE.yaml)",
    ),
    Case(
        "a folder too deep",
        {"services/team/web.yaml": SERVICE},
        "services/team/web.yaml: error: no resource is read from here (a Service belongs in services/SERVICE.yaml)",
    ),
    Case(
        "a version without fleet",
        {"versions/api.yaml": VERSION},
        "versions/api.yaml: error: no resource is read from here (a Version belongs in versions/FLEET/SERVICE.yaml)",
    ),
    Case(
        "what is not read yet",
        {"sinks/night.yaml": "a: 1"},
        "sinks/night.yaml: warning: sinks/ is not read by this version of Drumbeat (it has no effect; "
        "keep it only as a note)",
    ),
    Case(
        "a symbolic link",
        {"services/web.yaml": FileEntry("symlink")},
        "services/web.yaml: error: this is a symbolic link (commit the file itself in its place)",
    ),
    Case(
        "a submodule",
        {"services": FileEntry("submodule")},
        "services: error: this is a submodule (commit the files themselves in its place)",
    ),
    Case(
        "paths that differ in case",
        {"services/API.yaml": SERVICE},
        "services/API.yaml:3:18: error: metadata.name: api is not what the file is called (write name: "
        "API; services/api.yaml has the name api already)",
        "services/api.yaml: error: services/api.yaml differs from services/API.yaml only in case (give one "
        "of them another name)",
    ),
    Case(
        "folders that differ in case",
        {"Services/README.md": ""},
        "services/api.yaml: error: services differs from Services only in case (give one of them another name)",
    ),
    Case(
        "an absolute path",
        {"/etc/x": ""},
        "/etc/x: error: the path is absolute (write paths relative to the state directory)",
    ),
    Case(
        "a drive",
        {"C:/x": ""},
        "C:/x: error: the path is absolute (write paths relative to the state directory)",
    ),
    Case(
        "a path that leads out",
        {"../x": ""},
        "../x: error: the path leads out of the state directory (write paths without '..' and backslashes)",
    ),
    Case(
        "a backslash",
        {"a\\b": ""},
        "a\\b: error: the path leads out of the state directory (write paths without '..' and backslashes)",
    ),
    Case(
        "a device name",
        {"services/con.yaml": SERVICE.replace("name: api", "name: con")},
        "services/con.yaml: error: 'con.yaml' is a device name on Windows (rename it: no Windows machine "
        "could check this repository out)",
    ),
    Case(
        "a control character in a path",
        {"a\x07": ""},
        "aU+0007: error: the path contains the control character U+0007 (rename the file)",
    ),
    Case(
        "a bidirectional character in a path",
        {"a\u202eb.md": ""},
        "aU+202Eb.md: error: the path contains U+202E, which changes the direction of text (rename the file)",
    ),
    Case(
        "a path that is not UTF-8",
        {"\udcff.md": ""},
        "U+DCFF.md: error: the path contains U+DCFF, which is no character (rename the file)",
    ),
    Case(
        "no state",
        dict.fromkeys(GOOD) | {"README.md": "x"},
        ".: error: there is no desired state here (it lies in fleets/FLEET.yaml, services/SERVICE.yaml, "
        "balancers/FLEET/NAME.yaml, versions/FLEET/SERVICE.yaml, policies/NAME.yaml, freezes/NAME.yaml)",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_wrong_is_said_with_its_place_and_what_to_do(case: Case) -> None:
    case.check()
