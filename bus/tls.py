"""What a connection over TLS trusts and shows, from files that an operator names."""

import ssl
from pathlib import Path


class BadTlsFiles(OSError):
    """A file cannot be used; the text names it."""


def tls_context(ca: str | Path | None, certificate: str | Path | None, key: str | Path | None) -> ssl.SSLContext:
    """Trust the certificates in ``ca`` only, else the system's, and show ``certificate``, whose key may be in there.

    Raises BadTlsFiles.
    """
    try:
        context = ssl.create_default_context(cafile=ca)
    except OSError as error:
        raise _bad(f"{ca}", error) from error
    try:
        if certificate is not None:
            context.load_cert_chain(certificate, key, _no_passphrase)
    except OSError as error:
        raise _bad(f"{certificate}, {key}" if key else f"{certificate}", error) from error
    return context


def _no_passphrase() -> str:
    """Otherwise OpenSSL asks for it on the terminal, and takes what works there for what works in a service."""
    raise OSError("the key has a passphrase, and nobody is there to give it; write the key without one")


def _bad(files: str, error: OSError) -> BadTlsFiles:
    return BadTlsFiles(f"{files}: cannot be used for TLS: {error.strerror or error}; PEM files are needed")
