"""Ed25519 keys and tokens: how they lie on disk, and how they are written down."""

import base64
import binascii
import hashlib
import hmac
import os
import re
import secrets
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    load_pem_private_key,
    load_ssh_private_key,
    load_ssh_public_key,
)
from pydantic import AfterValidator
from securesystemslib.signer import CryptoSigner, SSlibKey

from bus.durable import sync_folder

SigningKey = CryptoSigner
PublicKey = SSlibKey

CONTROLLER_KEY_FILE = "controller.key"
NODE_KEY_FILE = "node.key"
TOKEN_FILE = "token"
CONTROLLER_KEYS_FILE = "controller.pub"
BUS_PASSWORD_FILE = "bus.password"
MANAGEMENT_PASSWORD_FILE = "bus.management.password"
CERTIFICATE_FILE, CERTIFICATE_KEY_FILE = "certificate", "key"
"""What a node shows to a broker that asks for it."""

_SALT_BYTES = 4
_PUBLIC_TEXT = re.compile(r"ed25519:([0-9a-f]{64})")


class BadKey(Exception):
    """A key, a token or a file of them cannot be used; the text says which, why, and what to do."""


def generate_key() -> SigningKey:
    """Make a new Ed25519 key from the system's randomness."""
    return CryptoSigner.generate_ed25519()


def generate_token() -> str:
    """Make a bearer token: 32 random bytes, in letters that suit a header and a URL."""
    return secrets.token_urlsafe(32)


def hash_token(token: str) -> str:
    """What may be kept of a token, in the form in which RabbitMQ keeps passwords: base64 of four random bytes and of
    SHA-256 over these and the token.

    With this form a broker's account can be made from the ring, without the token. So fast a hash is enough for 32
    random bytes. Source: rabbitmq.com/docs/passwords.
    """
    return _hash(token, secrets.token_bytes(_SALT_BYTES))


def token_matches(token: str, kept: str) -> bool:
    """Whether ``kept`` is a hash of this token, in a time that does not depend on the token."""
    return hmac.compare_digest(_hash(token, base64.b64decode(kept)[:_SALT_BYTES]), kept)


def _hash(token: str, salt: bytes) -> str:
    return base64.b64encode(salt + hashlib.sha256(salt + token.encode()).digest()).decode()


def _token_hash(text: str) -> str:
    try:
        if len(base64.b64decode(text, validate=True)) == _SALT_BYTES + hashlib.sha256().digest_size:
            return text
    except binascii.Error:
        pass
    raise ValueError("is not a token's hash: base64 of 36 bytes")


TokenHash = Annotated[str, AfterValidator(_token_hash)]
"""What ``hash_token`` made."""


def key_id(key: PublicKey) -> str:
    """The name of a key in an envelope: SHA-256 of its canonical public form, in hexadecimal digits."""
    return str(key.keyid)


def public_text(key: PublicKey) -> str:
    """Write a public key in one line, ``ed25519:`` and 64 hexadecimal digits."""
    return f"ed25519:{key.keyval['public']}"


def parse_public(text: str) -> PublicKey:
    """Read what ``public_text`` wrote, or a line of OpenSSH (``ssh-ed25519 AAAA...``). Raises BadKey."""
    said = text.strip()
    match = _PUBLIC_TEXT.fullmatch(said)
    if match is not None:
        return SSlibKey.from_crypto(Ed25519PublicKey.from_public_bytes(bytes.fromhex(match[1])))
    if said.startswith("ssh-ed25519 "):
        return SSlibKey.from_crypto(_parse_ssh(said))
    raise BadKey(
        f"{said[:80]!r} is not a public key; write 'ed25519:' and 64 hexadecimal digits, "
        "or the line of an OpenSSH key that begins with ssh-ed25519"
    )


def _parse_ssh(line: str) -> Ed25519PublicKey:
    try:
        public = load_ssh_public_key(line.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadKey(f"{line[:80]!r} is not a whole OpenSSH public key: {error}; copy the line again") from error
    if not isinstance(public, Ed25519PublicKey):
        raise BadKey(f"{line[:80]!r} is a key of another kind; an Ed25519 key is needed")
    return public


def save_private_key(path: Path, key: SigningKey) -> None:
    """Write a private key as PEM (PKCS8), readable by its owner only. Raises BadKey if the file is there already."""
    write_secret(path, key.private_bytes)


def load_private_key(path: Path) -> SigningKey:
    """Read a private key that only its owner may read. Raises BadKey."""
    try:
        private = load_pem_private_key(read_secret(path), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BadKey(f"{path}: not an unencrypted private key in PEM form (PKCS8): {error}") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise BadKey(f"{path}: holds a key of another kind; an Ed25519 key is needed")
    return CryptoSigner(private)


def load_signing_key(path: Path, passphrase: Callable[[], str]) -> SigningKey:
    """Read a person's Ed25519 key, in PEM (PKCS8) or OpenSSH form; asks for the passphrase of one that has one.

    Raises BadKey.
    """
    content = read_secret(path)
    try:
        private = _parse_private(content, None)
    except TypeError:  # what cryptography raises where a passphrase is needed
        private = _with_passphrase(path, content, passphrase())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadKey(f"{path}: not a private key in PEM (PKCS8) or OpenSSH form: {error}") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise BadKey(f"{path}: holds a key of another kind; make one with: ssh-keygen -t ed25519")
    return CryptoSigner(private)


def _with_passphrase(path: Path, content: bytes, passphrase: str) -> object:
    try:
        return _parse_private(content, passphrase.encode())
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BadKey(f"{path}: cannot be opened with that passphrase: {error}") from error


def _parse_private(content: bytes, passphrase: bytes | None) -> object:
    if b"BEGIN OPENSSH PRIVATE KEY" in content:
        return load_ssh_private_key(content, passphrase)
    return load_pem_private_key(content, passphrase)


def write_secret(path: Path, content: bytes) -> None:
    """Create a file that only its owner may read, whole or not at all. Raises OSError, and BadKey if it is there.

    A loss of power takes it away no more once this returns.
    """
    _create_secret(path, content)
    sync_folder(path.parent)


def replace_secret(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, whole or not at all, in place of what was there. Raises OSError.

    A loss of power brings back no more what was there once this returns.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    _create_secret(temporary, content)
    try:
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def _create_secret(path: Path, content: bytes) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise BadKey(f"{path}: is there already and is not overwritten; remove it to have a new one") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def read_secret(path: Path) -> bytes:
    """Read a file of at most 64 KiB that group and others may not touch. Raises BadKey.

    Windows has no such mode; there the folder's access list protects it.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if os.name == "posix" and mode & 0o077:
                raise BadKey(f"{path}: mode {mode:04o} lets others at it; run 'chmod 600 {path}'")
            return file.read(65536)
    except OSError as error:
        raise BadKey(f"{path}: cannot be read: {error.strerror}") from error


def load_token(path: Path) -> str:
    """Read a bearer token that only its owner may read. Raises BadKey."""
    token = read_secret(path).decode("ascii", errors="replace").strip()
    if not re.fullmatch(r"[A-Za-z0-9_-]{32,128}", token):
        raise BadKey(f"{path}: is not a token; join anew ('drumbeat nodes rekey' on the controller begins it)")
    return token


def read_public_keys(path: Path) -> list[PublicKey]:
    """Read public keys, one a line; empty lines and lines with ``#`` are skipped. Raises BadKey."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadKey(f"{path}: cannot be read: {error}") from error
    keys = [parse_public(line) for line in lines if line.strip() and not line.startswith("#")]
    if not keys:
        raise BadKey(f"{path}: holds no public key; copy the controller's there, in a line of its own")
    return keys


@dataclass(frozen=True)
class NodeKeys:
    """A node's credentials."""

    signer: SigningKey
    token: str
    controller_keys: list[PublicKey]
    """Pinned: assignments signed by anybody else are refused. Several while a key is being replaced."""

    @classmethod
    def load(cls, folder: Path) -> "NodeKeys":
        """Read the folder that ``drumbeat-agent join`` made. Raises BadKey."""
        return cls(
            signer=load_private_key(folder / NODE_KEY_FILE),
            token=load_token(folder / TOKEN_FILE),
            controller_keys=read_public_keys(folder / CONTROLLER_KEYS_FILE),
        )
