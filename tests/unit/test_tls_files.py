"""Files of TLS that cannot be used are named, and nobody is asked for anything."""

import re
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from bus.tls import BadTlsFiles, tls_context
from tests.support.certificates import Authority


def test_a_key_with_a_passphrase_asks_nobody(tmp_path: Path) -> None:
    """On a terminal a check would ask and be content, and the service, which has none, would never connect."""
    authority = Authority(tmp_path)
    issued = authority.issue("host-1")
    assert tls_context(authority.file, issued.file, issued.key).cert_store_stats()["x509_ca"] == 1
    key = load_pem_private_key(issued.key.read_bytes(), None)
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    issued.key.write_bytes(locked)
    said = (
        f"{issued.file}, {issued.key}: cannot be used for TLS: the key has a passphrase, and nobody is there to give it"
    )
    with pytest.raises(BadTlsFiles, match=re.escape(said)):
        tls_context(authority.file, issued.file, issued.key)
