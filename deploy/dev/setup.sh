#!/usr/bin/env bash
# Make .venv as the lock file says, on a Debian that has git, make and python3; done at once when nothing changed.
# Programs that are needed beside Python are named as arguments, with their package where it has another name:
# setup.sh haproxy openssh-client:ssh-keygen
set -euo pipefail
cd "$(dirname "$0")/../.."

venv=.venv
stamp=$venv/.set-up

say() { printf 'setup: %s\n' "$*" >&2; }

fail() {
    say "$*"
    exit 1
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif sudo -n true 2>/dev/null; then
        sudo -n "$@"
    else
        return 1
    fi
}

apt_install() {
    command -v apt-get >/dev/null || return 1
    local install=(env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@")
    as_root true || return 1
    say "installing $* with apt-get"
    as_root "${install[@]}" >/dev/null 2>&1 && return
    as_root apt-get update -qq >&2 && as_root "${install[@]}" >&2
}

# Debian starts a server once it is installed, and again with the machine. We need the program, not that.
leave_idle() {
    if [ -d /run/systemd/system ]; then
        as_root systemctl disable --now --quiet "$1" 2>/dev/null || true
    elif [ -x "/etc/init.d/$1" ]; then
        as_root "/etc/init.d/$1" stop >/dev/null 2>&1 || true
    fi
}

install_package() {
    apt_install "$1" || fail "$1 is missing; as root, run: apt-get install $1"
    leave_idle "$1"
}

# Debian puts servers where users have no path to.
has() { PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null; }

find_python() {
    local name
    for name in python3 python3.14 python3.13 python3.12 python3.11; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
    return 1
}

make_venv() {
    local python=$1 package
    if ! "$python" -c 'import ensurepip' 2>/dev/null; then
        package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
        apt_install "$package" || fail "$python cannot make environments; as root, run: apt-get install $package"
    fi
    "$python" -m venv $venv
}

fingerprint() { cat uv.lock pyproject.toml deploy/dev/uv.txt deploy/dev/setup.sh | sha256sum; }

for needed in "$@"; do
    package=${needed%%:*} program=${needed#*:}
    has "$program" || install_package "$package"
done

wanted=$(fingerprint)
if [ -x $venv/bin/python ] && [ "$(cat $stamp 2>/dev/null)" = "$wanted" ]; then
    exit 0
fi

if ! $venv/bin/python -m pip --version >/dev/null 2>&1; then
    python=$(find_python) || fail "Python 3.11 or newer is missing; install one and have it on the PATH as python3"
    make_venv "$python"
fi
say "installing what uv.lock names into $venv"
$venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r deploy/dev/uv.txt
# The machine's own certificates: behind many companies' proxies no others are any use.
export UV_SYSTEM_CERTS=true UV_PYTHON_DOWNLOADS=never UV_PROJECT_ENVIRONMENT=$venv
# Compiled once, here: where Python may not leave its bytecode, each process would compile all of it anew.
$venv/bin/uv sync --quiet --locked --all-extras --compile-bytecode
$venv/bin/python -m compileall -q agent bus controller crds reconcilers
printf '%s\n' "$wanted" >$stamp
