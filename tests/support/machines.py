"""Debian machines for a guide to be followed on: each with this machine's programs, and files and network of its own.

A machine is an overlay over this one's root, in namespaces: what is written there is gone with it. Needs root, iproute2
and overlayfs. There is no systemd, no package index and no ssh: small programs of the same names stand in.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.support.waiting import eventually

CHECKOUT = Path(__file__).parents[2]
_NET = "192.0.2"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_SYSTEMCTL = r"""#!/usr/bin/python3
# As much of systemctl as guides use: services run as their unit says, without its sandbox.
import configparser, os, pathlib, shlex, signal, subprocess, sys, time
words = [word for word in sys.argv[1:] if not word.startswith("-")]
verb, names = words[0], [word.removesuffix(".service") for word in words[1:]]
for name in names:
    places = [pathlib.Path(place, name + ".service") for place in ("/etc/systemd/system", "/lib/systemd/system")]
    unit = configparser.ConfigParser(strict=False, interpolation=None, delimiters="=", comment_prefixes="#")
    unit.optionxform = str
    unit.read_string(next(place for place in places if place.exists()).read_text())
    service, record = unit["Service"], pathlib.Path("/run", name + ".pid")
    if verb in ("stop", "restart") and record.exists():
        pid = int(record.read_text())
        record.unlink()
        os.kill(pid, signal.SIGTERM)
        while pathlib.Path("/proc", str(pid)).exists():
            time.sleep(0.05)
    if verb in ("start", "restart") or (verb == "enable" and "--now" in sys.argv):
        user = service.get("User", "root")
        if "StateDirectory" in service:
            subprocess.run(["install", "-d", "-o", user, "/var/lib/" + service["StateDirectory"]], check=True)
        variables = [each.split("=", 1) for each in shlex.split(service.get("Environment", ""))]
        command = ["runuser", "-u", user, "--", "sh", "-c", "echo $$ >&3; exec 3>&-; exec " + service["ExecStart"]]
        with open(record, "w") as number, open("/var/log/" + name + ".log", "a") as log:
            subprocess.Popen(
                ["sh", "-c", 'exec "$@" 3>&1 >&2', "sh", *command],
                stdin=subprocess.DEVNULL, stdout=number, stderr=log, env=os.environ | dict(variables),
                start_new_session=True, cwd=service.get("WorkingDirectory", "/"),
            )
        while not record.read_text().strip():
            time.sleep(0.05)
        # It tells systemd when it is ready, which waits for that.
        ready = ["rabbitmqctl", "await_startup"]
        while name == "rabbitmq-server" and subprocess.run(ready, capture_output=True).returncode:
            time.sleep(0.5)
"""
_SCP = r"""#!/bin/sh -e
# Files for another machine of the test, whose folder /root is seen here.
sources=
while [ $# -gt 1 ]; do case "$1" in -*) ;; *) sources="$sources $1" ;; esac; shift; done
target=${1#root@}
cp -r $sources "/mnt/machines/${target%%:*}${target#*:}"
"""
_DRUMBEAT = """#!/bin/sh
export LD_LIBRARY_PATH=/mnt/python/lib PYTHONPATH={checkout}:{packages}
exec {python} -c 'from {module} import main; main()' "$@"
"""


def can_make_machines() -> bool:
    """Whether this account may make them here."""
    if os.name != "posix" or os.geteuid() != 0 or not all(map(shutil.which, ("ip", "unshare", "nsenter"))):
        return False
    overlay = "cd /mnt && mkdir u w m && mount -t overlay o -o lowerdir=/,upperdir=u,workdir=w m"
    words = [
        "unshare",
        "--mount",
        "--net",
        "--uts",
        "--pid",
        "--fork",
        "sh",
        "-c",
        f"mount -t tmpfs o /mnt && {overlay}",
    ]
    return subprocess.run(words, capture_output=True).returncode == 0


class Machine:
    """One machine, running; ``run`` is what a person pastes into a root shell there."""

    def __init__(self, name: str, folder: Path, network: str, hosts: str) -> None:
        self.name, self.home = name, folder / "machines" / name / "root"
        self.home.mkdir(parents=True, mode=0o700)
        stubs = folder / "programs"
        words = ["ip", "netns", "exec", network, "unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child"]
        self._keeper = subprocess.Popen([*words, "sh", "-ec", _boot(name, folder, stubs, hosts)])
        self._pid = eventually(self._find)
        eventually(lambda: self.run("test -e /run/booted", check=False)[0] == 0)

    def _find(self) -> str:
        assert self._keeper.poll() is None, f"{self.name} did not start"
        pid = self._keeper.pid
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().strip()

    def run(self, script: str, check: bool = True) -> tuple[int, str]:
        """Run a script in a new shell that ends at the first command that fails; its code, and what it printed."""
        enter = ["nsenter", "--target", self._pid, "--mount", "--uts", "--pid", "--net", "--root"]
        done = subprocess.run(
            [*enter, "--wdns=/root", "bash", "-ec", script],
            env={"PATH": _PATH, "HOME": "/root", "LANG": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=180,
        )
        assert not check or done.returncode == 0, f"on {self.name}:\n{script}\n{done.stdout}{done.stderr}"
        return done.returncode, done.stdout + done.stderr

    def end(self) -> None:
        """End everything that runs there."""
        self._keeper.kill()
        self._keeper.wait()


def _boot(name: str, folder: Path, stubs: Path, hosts: str) -> str:
    root = folder / "machines" / name / "system"
    root.mkdir()
    return f"""
mount --make-rprivate /
mount -t tmpfs none {root}
cd {root}
mkdir upper work merged
mount -t overlay overlay -o lowerdir=/,upperdir=upper,workdir=work merged
cd merged
mkdir -p mnt/machines mnt/checkout mnt/python
mount --rbind /dev dev
mount -t proc proc proc
mount -t tmpfs none run
mount -t tmpfs none tmp
mount --bind {CHECKOUT} mnt/checkout
mount --bind {sys.base_prefix} mnt/python
mount --bind {folder / "machines"} mnt/machines
mount --bind {folder / "machines" / name / "root"} root
cp -r {stubs}/. usr/local/bin/
hostname {name}
printf '%s' '{hosts}' > etc/hosts
ip link set lo up
mkdir -p run/haproxy
touch run/booted
exec chroot . sleep infinity
"""


def _write_stubs(folder: Path) -> None:
    folder.mkdir()
    here = "/mnt/checkout"
    packages = f"{here}/{Path(sysconfig.get_path('purelib')).relative_to(CHECKOUT)}"
    python = f"/mnt/python/bin/{Path(sys.executable).resolve().name}"
    programs = {"systemctl": _SYSTEMCTL, "scp": _SCP, "apt-get": "#!/bin/sh\n"}
    for name, module in (("drumbeat", "controller.cli.main"), ("drumbeat-agent", "agent.main")):
        text = _DRUMBEAT.format(checkout=here, packages=packages, python=python, module=module)
        programs[f"installed-{name}"] = text
    for name, text in programs.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)


def _ip(command: str) -> None:
    subprocess.run(["ip", *command.split()], check=True, capture_output=True)


@contextlib.contextmanager
def machines(folder: Path, names: Sequence[str], more_names: Mapping[str, str]) -> Iterator[dict[str, Machine]]:
    """Machines that find each other by name; ``more_names``: further names of some, by name."""
    _write_stubs(folder / "programs")
    hub = f"guide{os.getpid()}"
    networks = {name: f"{hub}-{at}" for at, name in enumerate(names, 1)}
    address = {name: f"{_NET}.{at}" for at, name in enumerate(names, 1)}
    hosts = "".join(f"{address[of]} {name}\n" for name, of in {**{name: name for name in names}, **more_names}.items())
    made: dict[str, Machine] = {}
    try:
        _connect(hub, networks, address)
        for name in names:
            made[name] = Machine(name, folder, networks[name], f"127.0.0.1 localhost\n{hosts}")
        yield made
    finally:
        for machine in made.values():
            machine.end()
        for network in (*networks.values(), hub):
            subprocess.run(["ip", "netns", "delete", network], capture_output=True)


def _connect(hub: str, networks: Mapping[str, str], address: Mapping[str, str]) -> None:
    """A bridge in a namespace of its own: nothing of it is seen on this machine."""
    _ip(f"netns add {hub}")
    _ip(f"-n {hub} link add bridge type bridge")
    _ip(f"-n {hub} link set bridge up")
    for at, (name, network) in enumerate(networks.items(), 1):
        _ip(f"netns add {network}")
        _ip(f"-n {hub} link add port{at} type veth peer name eth0 netns {network}")
        _ip(f"-n {hub} link set port{at} master bridge up")
        _ip(f"-n {network} address add {address[name]}/24 dev eth0")
        _ip(f"-n {network} link set eth0 up")
