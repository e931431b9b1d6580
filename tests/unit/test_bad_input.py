"""Every wrong input that is known, and what is said about it. This table documents the messages."""

import pytest

from controller.source.entries import FileEntry
from tests.support.state_files import BALANCER, FLEET, GOOD, SERVICE, SHA, VERSION, read, spoiled

F, S, B, V = "fleets/prod.yaml", "services/api.yaml", "balancers/prod/edge.yaml", "versions/prod/api.yaml"
BOMB = """\
a: &a [x, x, x, x, x, x, x, x, x, x]
b: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]
c: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b, *b]
d: [*c, *c]
"""


class Case:
    """Files that replace good ones, and every line that is said."""

    def __init__(self, name: str, files: dict, *lines: str) -> None:
        self.name, self.files, self.lines = name, files, list(lines)


CASES = [
    Case(
        "not YAML",
        {V: "version: [1\n"},
        "versions/prod/api.yaml:2:1: error: this is not YAML: did not find expected ',' or ']' (check "
        "quotes, colons and indentation)",
    ),
    Case(
        "a tab",
        {V: "a:\n\tb: 1\n"},
        "versions/prod/api.yaml:2:1: error: this is not YAML: found character that cannot start any token "
        "(indent with spaces, not tabs)",
    ),
    Case(
        "an empty file",
        {V: ""},
        "versions/prod/api.yaml:1:1: error: the file is empty (write a resource into it, or remove the file)",
    ),
    Case(
        "comments only",
        {V: "# later\n"},
        "versions/prod/api.yaml:1:1: error: the file is empty (write a resource into it, or remove the file)",
    ),
    Case(
        "several documents",
        {V: VERSION + '---\nversion: "2"\n'},
        "versions/prod/api.yaml:4:1: error: a second document begins here (one file holds one resource; "
        "move it into a file of its own)",
    ),
    Case(
        "a duplicate key",
        {V: VERSION + 'version: "2"\n'},
        "versions/prod/api.yaml:4:1: error: version: written twice, first in line 2 (remove one of them)",
    ),
    Case(
        "an alias bomb",
        {V: BOMB},
        "versions/prod/api.yaml:3:40: error: aliases stand for more than 1,000 values (write the values out)",
    ),
    Case(
        "an alias of nothing",
        {V: "version: *v\n"},
        "versions/prod/api.yaml:1:10: error: the alias *v has no anchor before it (write the value out)",
    ),
    Case(
        "an alias within itself",
        {V: "version: &v [*v]\n"},
        "versions/prod/api.yaml:1:14: error: the alias *v stands for what it is part of (write the value out)",
    ),
    Case(
        "nested too deep",
        {V: "version: " + "[" * 1000 + "]" * 1000},
        "versions/prod/api.yaml:1:60: error: nested deeper than 50 levels (nothing in desired state is; flatten it)",
    ),
    Case(
        "a file that was not read for its size",
        {V: FileEntry("blob", None, 10_000_000)},
        "versions/prod/api.yaml: error: the file has 10,000,000 bytes, more than 1,048,576 (split it, or "
        "keep what is no state elsewhere)",
    ),
    Case(
        "ten megabytes",
        {V: b"#" * 10_000_000},
        "versions/prod/api.yaml: error: the file has 10,000,000 bytes, more than 1,048,576 (split it, or "
        "keep what is no state elsewhere)",
    ),
    Case(
        "UTF-16",
        {V: VERSION.encode("utf-16")},
        "versions/prod/api.yaml:1:1: error: the file is UTF-16 (save the file as UTF-8 without a byte order mark)",
    ),
    Case(
        "UTF-16 without a mark",
        {V: VERSION.encode("utf-16-le")},
        "versions/prod/api.yaml:1:1: error: the file looks like UTF-16 (save the file as UTF-8 without a "
        "byte order mark)",
    ),
    Case(
        "a byte order mark",
        {V: VERSION.encode("utf-8-sig")},
        "versions/prod/api.yaml:1:1: error: the file begins with a byte order mark (save the file as UTF-8 "
        "without a byte order mark)",
    ),
    Case(
        "NUL",
        {V: VERSION.replace("1.0.0", "1.0\0")},
        "versions/prod/api.yaml:2:14: error: the file contains a NUL character (remove it)",
    ),
    Case(
        "not UTF-8",
        {V: "# über\n".encode("latin-1")},
        "versions/prod/api.yaml:1:3: error: the byte 0xFC is not UTF-8 (save the file as UTF-8 without a "
        "byte order mark)",
    ),
    Case(
        "a control character",
        {V: VERSION.replace("1.0.0", "1\x1b[2K")},
        "versions/prod/api.yaml:2:12: error: the file contains the control character U+001B (remove it)",
    ),
    Case(
        "a bidirectional character",
        {V: VERSION.replace("1.0.0", "1\u202e.0")},
        "versions/prod/api.yaml:2:12: error: the file contains U+202E, which changes the direction of text (remove it)",
    ),
    Case(
        "a bidirectional character, escaped",
        {V: VERSION.replace("1.0.0", "1\\u202e.0")},
        "versions/prod/api.yaml:2:10: error: version: the text contains U+202E, which changes the "
        "direction of text (remove it)",
    ),
    Case(
        "a carriage return alone",
        {V: "version: 1\rversion: 2"},
        "versions/prod/api.yaml:1:11: error: the file contains the control character U+000D (end lines "
        "with a line feed, or with a carriage return and a line feed)",
    ),
    Case(
        "a merge conflict",
        {V: '<<<<<<< HEAD\nversion: "1"\n=======\n'},
        "versions/prod/api.yaml:1:1: error: a merge conflict was committed (choose one side and remove the "
        "lines with <<<<<<<, ======= and >>>>>>>)",
    ),
    Case(
        "a tag",
        spoiled(V, '"1.0.0"', "!python/object:os.system x"),
        "versions/prod/api.yaml:2:10: error: version: the tag !python/object:os.system is not allowed "
        "(remove it, and quote what is text)",
    ),
    Case(
        "a key that is a number",
        {V: VERSION + "1: x\n"},
        'versions/prod/api.yaml:4:1: error: the key 1 is not text (write "1" in quotes)',
    ),
    Case(
        "a key that is a list",
        {V: VERSION + "[a]: x\n"},
        "versions/prod/api.yaml:4:1: error: a key is not plain text (write a name before the colon)",
    ),
    Case(
        "a merge key",
        {V: VERSION + "<<: {a: 1}\n"},
        "versions/prod/api.yaml:4:1: error: merge keys are not read (write the fields out)",
    ),
    Case(
        "a list instead of a resource",
        {V: "- version\n"},
        "versions/prod/api.yaml:1:1: error: this is no resource (write its fields: apiVersion, version, sha256, state)",
    ),
    Case(
        "a version that is a number",
        spoiled(V, '"1.0.0"', "1.10"),
        'versions/prod/api.yaml:2:10: error: version: 1.10 is a number, not text (write version: "1.10")',
    ),
    Case(
        "a version that is a boolean for some",
        spoiled(V, '"1.0.0"', "no"),
        'versions/prod/api.yaml:2:10: error: version: some programs read no as a boolean (write "no" for text)',
    ),
    Case(
        "a version that is a boolean",
        spoiled(V, '"1.0.0"', "true"),
        'versions/prod/api.yaml:2:10: error: version: true is a boolean, not text (write version: "true")',
    ),
    Case(
        "a version that is a date",
        spoiled(V, '"1.0.0"', "2024-10-01"),
        "versions/prod/api.yaml:2:10: error: version: some programs read 2024-10-01 as a date (write "
        '"2024-10-01" for text)',
    ),
    Case(
        "a version with an underscore",
        spoiled(V, '"1.0.0"', "1_000"),
        'versions/prod/api.yaml:2:10: error: version: some programs read 1_000 as a number (write "1_000" for text)',
    ),
    Case(
        "a version that is octal for some",
        spoiled(V, '"1.0.0"', "010"),
        "versions/prod/api.yaml:2:10: error: version: some programs read 010 as a number in another base "
        '(write "010" for text)',
    ),
    Case(
        "a version in base 60",
        spoiled(V, '"1.0.0"', "12:30"),
        "versions/prod/api.yaml:2:10: error: version: some programs read 12:30 as a number in base 60 "
        '(write "12:30" for text)',
    ),
    Case(
        "a version that is empty",
        spoiled(V, '"1.0.0"', ""),
        "versions/prod/api.yaml:1:1: error: something is missing (write version and sha256, or state: "
        "absent to remove the service)",
    ),
    Case(
        "a number out of range",
        spoiled(V, '"1.0.0"', "1e999"),
        'versions/prod/api.yaml:2:10: error: version: the number 1e999 is too large (write "1e999" for text)',
    ),
    Case(
        "a label that is a number",
        spoiled(S, "{role: api}", "{role: 1.10}"),
        'services/api.yaml:5:17: error: spec.hosts.role: 1.10 is a number, not text (write role: "1.10")',
    ),
    Case(
        "an unknown field, nearly right",
        spoiled(S, "batches: [1, 25%]", "max_unavailable: 1"),
        "services/api.yaml:12:13: error: spec.rollout.max_unavailable: there is no such field (did you "
        "mean maxUnavailable?)",
    ),
    Case(
        "an unknown field",
        spoiled(S, "soak: 30s", "wibble: 1"),
        "services/api.yaml:12:32: error: spec.rollout.wibble: there is no such field (the fields here are "
        "batches, maxUnavailable, soak, deadline, drain, onFailure, downtime)",
    ),
    Case(
        "a missing field",
        spoiled(S, "kind: Service\n", ""),
        "services/api.yaml:1:1: error: kind: this field is missing (write kind: Service)",
    ),
    Case(
        "a missing section",
        spoiled(F, "spec:\n", "sepc:\n"),
        "fleets/prod.yaml:4:1: error: sepc: there is no such field (did you mean spec?)",
    ),
    Case(
        "a duration without unit",
        spoiled(S, "30s", "30"),
        "services/api.yaml:12:38: error: spec.rollout.soak: 30 has no unit (write '30s' for seconds)",
    ),
    Case(
        "no duration",
        spoiled(S, "30s", "soon"),
        "services/api.yaml:12:38: error: spec.rollout.soak: 'soon' is not a duration (write a number with "
        "a unit, such as '30s', '500ms' or '1m30s')",
    ),
    Case(
        "no amount",
        spoiled(S, "25%", "few"),
        "services/api.yaml:12:26: error: spec.rollout.batches[1]: 'few' is neither a number of hosts nor a "
        "percentage (write 2 or '25%')",
    ),
    Case(
        "an amount out of range",
        spoiled(S, "[1, 25%]", "[0, 200%]"),
        "services/api.yaml:12:23: error: spec.rollout.batches[0]: 0 is out of range (write a number of at "
        "least 1, or a percentage such as '25%')",
        "services/api.yaml:12:26: error: spec.rollout.batches[1]: 200% is out of range (write a percentage "
        "from 1% to 100%)",
    ),
    Case(
        "a number as text",
        spoiled(S, "port: 80,", 'port: "80",'),
        'services/api.yaml:9:26: error: spec.probes[0].http.port: "80" is text, not a number (write port: 80)',
    ),
    Case(
        "a port out of range",
        spoiled(S, "port: 80,", "port: 80000,"),
        "services/api.yaml:9:26: error: spec.probes[0].http.port: 80000 is too large (write 65535 or less)",
    ),
    Case(
        "text instead of a list",
        spoiled(S, '["./api", "--host", "{address}"]', "./api"),
        'services/api.yaml:8:10: error: spec.artifact.run: this must be a list (write run: ["./api"])',
    ),
    Case(
        "a word instead of fields",
        spoiled(S, "{role: api}", "api"),
        "services/api.yaml:5:10: error: spec.hosts: text cannot stand here (write fields and values)",
    ),
    Case(
        "an unknown word",
        spoiled(S, "soak: 30s", "downtime: allow"),
        'services/api.yaml:12:42: error: spec.rollout.downtime: "allow" is not known here (did you mean allowed?)',
    ),
    Case(
        "a pattern",
        spoiled(S, "path: /health", "path: health"),
        'services/api.yaml:9:36: error: spec.probes[0].http.path: "health" is not a path of a URL (write a '
        "path that begins with /, such as /health, without spaces)",
    ),
    Case(
        "two kinds of probe",
        spoiled(S, "{http:", "{tcp: {port: 1}, http:"),
        "services/api.yaml:9:12: error: spec.probes[0]: a probe has exactly one of http, tcp and exec",
    ),
    Case(
        "a checksum in upper case",
        spoiled(V, SHA, "A" * 64),
        "versions/prod/api.yaml:3:9: error: sha256: "
        '"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA..." is not a SHA-256 (write 64 '
        "lower-case hexadecimal digits, as sha256sum prints them)",
    ),
    Case(
        "a version file without checksum",
        spoiled(V, f"sha256: {SHA}\n", ""),
        "versions/prod/api.yaml:1:1: error: something is missing (write version and sha256, or state: "
        "absent to remove the service)",
    ),
    Case(
        "a kind in the wrong place",
        spoiled(S, "kind: Service", "kind: Fleet"),
        "services/api.yaml:2:7: error: kind: a Fleet cannot lie here (a Service belongs here; move this "
        "file to fleets/FLEET.yaml)",
    ),
    Case(
        "another API version",
        spoiled(S, "v1alpha1", "v2"),
        'services/api.yaml:1:13: error: apiVersion: "drumbeat/v2" is not known here (write drumbeat/v1alpha1)',
    ),
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
        {"freezes/night.yaml": "a: 1"},
        "freezes/night.yaml: warning: freezes/ is not read by this version of Drumbeat (it has no effect; "
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
        "balancers/FLEET/NAME.yaml, versions/FLEET/SERVICE.yaml)",
    ),
    Case(
        "a name that is not the file's",
        spoiled(S, "name: api", "name: apis"),
        "services/api.yaml:3:18: error: metadata.name: apis is not what the file is called (write name: "
        "api, or rename the file to apis.yaml)",
    ),
    Case(
        "two services of one name",
        {"services/web.yaml": SERVICE},
        "services/web.yaml:3:18: error: metadata.name: api is not what the file is called (write name: "
        "web; services/api.yaml has the name api already)",
    ),
    Case(
        "a version of an unknown service",
        {"versions/prod/apy.yaml": VERSION},
        "versions/prod/apy.yaml:1:1: error: there is no service apy (did you mean api? Otherwise add "
        "services/apy.yaml, or remove this file)",
    ),
    Case(
        "a version on an unknown fleet",
        {"versions/prodd/api.yaml": VERSION},
        "versions/prodd/api.yaml:1:1: error: there is no fleet prodd (did you mean prod? Otherwise add "
        "fleets/prodd.yaml, or move this file)",
    ),
    Case(
        "a balancer of an unknown fleet",
        {"balancers/staging/edge.yaml": BALANCER},
        "balancers/staging/edge.yaml:1:1: error: there is no fleet staging (add fleets/staging.yaml, or "
        "move this file)",
    ),
    Case(
        "an override for an unknown fleet",
        {S: SERVICE + "  fleets: {staging: {}}\n"},
        "services/api.yaml:13:12: error: spec.fleets.staging: there is no fleet staging (add "
        "fleets/staging.yaml, or remove these lines)",
    ),
    Case(
        "a host in two fleets",
        {
            "fleets/test.yaml": FLEET.replace("prod", "test")
            .replace("vm1", "x1")
            .replace("lb1", "x2")
            .replace("runner1", "vm2")
        },
        "fleets/test.yaml:7:14: error: spec.hosts[1].name: vm2 is already in fleet prod "
        "(fleets/prod.yaml:7) (a machine belongs to one fleet; remove one of them)",
        "fleets/test.yaml:11:14: error: spec.runners[0].name: vm2 is already in fleet prod "
        "(fleets/prod.yaml:7) (a machine belongs to one fleet; remove one of them)",
    ),
    Case(
        "a host twice",
        spoiled(F, "name: vm2", "name: vm1"),
        "fleets/prod.yaml:7:14: error: spec.hosts[1].name: vm1 is already in line 6 (remove one of them)",
    ),
    Case(
        "a host in upper case",
        spoiled(F, "name: vm2", "name: VM1"),
        'fleets/prod.yaml:7:14: error: spec.hosts[1].name: "VM1" is not a host name (write lower-case '
        "letters, digits, dashes and dots, such as vm1 or vm1.example.com)",
    ),
    Case(
        "a host with a device's name",
        spoiled(F, "name: vm2", "name: com1"),
        "fleets/prod.yaml:7:14: error: spec.hosts[1].name: 'com1' is a device name on Windows (write "
        "another name, such as 'com1-1')",
    ),
    Case(
        "an unknown balancer node",
        spoiled(B, "[lb1]", "[lb2]"),
        "balancers/prod/edge.yaml:5:11: error: spec.nodes[0]: lb2 is no balancer of fleet prod (did you "
        "mean lb1? Otherwise add it to spec.balancers in fleets/prod.yaml)",
    ),
    Case(
        "a balancer node twice",
        spoiled(B, "[lb1]", "[lb1, lb1]"),
        "balancers/prod/edge.yaml:5:16: error: spec.nodes[1]: lb1 is named twice (remove one of them)",
    ),
    Case(
        "a pool on an unknown balancer",
        spoiled(S, "balancer: edge", "balancer: core"),
        "services/api.yaml:10:22: error: spec.pools[0].balancer: fleet prod has no balancer core (add "
        "balancers/prod/core.yaml)",
    ),
    Case(
        "an unknown pool",
        spoiled(S, "online: web", "online: wib"),
        "services/api.yaml:10:36: error: spec.pools[0].online: balancer edge of fleet prod has no pool wib "
        "(did you mean web?)",
    ),
    Case(
        "a pool of two services",
        {
            "services/two.yaml": SERVICE.replace("name: api", "name: two").replace("mt", "mu"),
            "versions/prod/two.yaml": VERSION,
        }
        | spoiled(B, "mt:", "mu: {port: 1}\n    mt:"),
        "services/two.yaml:10:36: error: spec.pools[0].online: web on balancer edge is already the online "
        "pool of api@prod (give each service pools of its own)",
    ),
    Case(
        "a pool in two roles",
        spoiled(S, "maintenance: mt", "maintenance: web") | spoiled(B, "web:", "web: {port: 1}"),
        "services/api.yaml:10:54: error: spec.pools[0].maintenance: web on balancer edge is already the "
        "online pool of api@prod (give each service pools of its own)",
    ),
    Case(
        "a maintenance pool without port",
        spoiled(B, "mt: {port: 8081}", "mt:"),
        "services/api.yaml:10:54: error: spec.pools[0].maintenance: gates cannot reach mt on fleet prod: "
        "it has no port (write mt: {port: PORT} in balancers/prod/edge.yaml, the port of its frontend)",
    ),
    Case(
        "gates without runner",
        spoiled(F, "  runners:\n    - {name: runner1}\n", ""),
        "services/api.yaml:11:10: error: spec.gates: fleet prod has no runner to run gates on (add "
        "spec.runners to fleets/prod.yaml, or override gates: [] for this fleet)",
    ),
    Case(
        "an unknown placeholder in the URL",
        spoiled(S, "{version}", "{host}"),
        "services/api.yaml:7:10: error: spec.artifact.url: nothing fills in {host} (filled in here: {version})",
    ),
    Case(
        "an unknown placeholder in the command",
        spoiled(S, "{address}", "{adress}"),
        "services/api.yaml:8:30: error: spec.artifact.run[2]: nothing fills in {adress} (did you mean {address}?)",
    ),
    Case(
        "an unknown placeholder in a gate",
        spoiled(S, "{url}", "{port}"),
        "services/api.yaml:11:53: error: spec.gates[0].exec.command[1]: nothing fills in {port} (filled in "
        "here: {host}, {url}, {version})",
    ),
    Case(
        "an override that is wrong",
        {S: SERVICE + "  fleets:\n    prod:\n      rollout: {soak: 5, sok: 1s}\n"},
        "services/api.yaml:15:23: error: spec.fleets.prod.rollout.soak: 5 has no unit (write '5s' for seconds)",
        "services/api.yaml:15:26: error: spec.fleets.prod.rollout.sok: there is no such field (did you mean soak?)",
    ),
    Case(
        "an override within an override",
        {S: SERVICE + "  fleets: {prod: {fleets: {}}}\n"},
        "services/api.yaml:13:19: error: spec.fleets.prod.fleets: overrides cannot hold overrides (move it "
        "one level up)",
    ),
    Case(
        "an override that names an unknown pool",
        {S: SERVICE + "  fleets: {prod: {pools: [{balancer: edge, online: x, port: 1}]}}\n"},
        "services/api.yaml:13:52: error: spec.fleets.prod.pools[0].online: balancer edge of fleet prod has "
        "no pool x (add it to spec.pools in balancers/prod/edge.yaml)",
    ),
    Case(
        "an override with an unknown placeholder",
        {S: SERVICE + '  fleets: {prod: {artifact: {run: ["{nope}"]}}}\n'},
        "services/api.yaml:13:36: error: spec.fleets.prod.artifact.run[0]: nothing fills in {nope} (filled "
        "in here: {address}, {host}, {version})",
    ),
    Case(
        "everything at once",
        spoiled(V, '"1.0.0"', "1.10") | spoiled(S, "30s", "30") | {"x.yaml": ""},
        "services/api.yaml:12:38: error: spec.rollout.soak: 30 has no unit (write '30s' for seconds)",
        'versions/prod/api.yaml:2:10: error: version: 1.10 is a number, not text (write version: "1.10")',
        "x.yaml: error: no resource is read from here (resources belong in fleets/FLEET.yaml, "
        "services/SERVICE.yaml, balancers/FLEET/NAME.yaml, versions/FLEET/SERVICE.yaml)",
    ),
    Case(
        "a selector that matches nothing",
        spoiled(S, "{role: api}", "{role: web}"),
        "services/api.yaml:5:10: warning: spec.hosts: no host of fleet prod has role: web (label hosts in "
        "fleets/prod.yaml, or change the selector)",
    ),
    Case(
        "a single host",
        spoiled(F, "    - {name: vm2, address: 127.0.0.12, labels: {role: api}}\n", ""),
        "services/api.yaml:12:3: warning: spec.rollout.downtime: vm1 is the only host on fleet prod, and "
        "nobody replaces it (add a host, or write downtime: allowed in rollout; until then no rollout "
        "begins)",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_wrong_is_said_with_its_place_and_what_to_do(case: Case) -> None:
    result = read(case.files)

    assert [str(problem) for problem in result.problems] == case.lines
    only_warned = all(problem.severity == "warning" for problem in result.problems)
    assert (result.state is not None) == only_warned


def test_the_good_state_is_taken_without_a_word() -> None:
    result = read({})

    assert result.problems == []
    assert result.state is not None
    assert result.state.revision == "revision"
    assert list(result.state.versions) == [("prod", "api")]


def test_warnings_carry_their_target() -> None:
    result = read(spoiled(S, "{role: api}", "{role: web}"))

    assert [problem.target for problem in result.problems] == ["api@prod"]


def test_a_large_file_is_refused_at_once_and_never_parsed() -> None:
    """A gigabyte that was not read says so just the same."""
    result = read({V: FileEntry("blob", None, 2**30)})

    assert "1,073,741,824 bytes" in str(result.problems[0])
