"""How much an archive may ask of a host."""

from pydantic import Field

from crds.base import FileModel, Seconds


class Limits(FileModel):
    """Bounds that keep a wrong or malicious archive from filling a host."""

    artifact_bytes: int = Field(default=2 * 1024**3, ge=1, description="the file as it is fetched")
    unpacked_bytes: int = Field(default=4 * 1024**3, ge=1, description="all its files together")
    entries: int = Field(default=100_000, ge=1, description="files, folders and links in it")
    ratio: int = Field(
        default=200, ge=2, description="unpacked bytes for each byte of the file, beyond the first 16 MiB"
    )
    fetch_timeout: Seconds = Field(default=1800.0, description="for fetching one file")
