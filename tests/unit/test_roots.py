"""trust.yaml: what is pinned on a node, and every mistake in it."""

from pathlib import Path

import pytest

from bus.keys import BadKey, public_text
from bus.roots import read_roots
from tests.support.denied import denied, reachable

KEY = "ed25519:d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"  # of RFC 8032, section 7.1


def written(folder: Path, text: str, mode: int = 0o644) -> Path:
    path = folder / "trust.yaml"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_roots_are_read(tmp_path: Path) -> None:
    roots = read_roots(written(tmp_path, f'fleet: prod\nthreshold: 1\nroots: ["{KEY}"]\n'))
    assert roots is not None
    assert (roots.fleet, roots.threshold, [public_text(key) for key in roots.keys]) == ("prod", 1, [KEY])


def test_without_the_file_nothing_is_pinned(tmp_path: Path) -> None:
    assert read_roots(tmp_path / "trust.yaml") is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the whole file: "),
        ("fleet: [", "is not YAML"),
        ("fleet: &a prod\nroots: [*a]", "aliases are not read"),
        ("fleet: prod\nthreshold: !!int ''", "the tag tag:yaml.org,2002:int is not read"),
        ("fleet: prod\nthreshold: " + "9" * 5000, "is not YAML"),
        ("[" * 5000, "is not YAML"),
        (f'fleet: prod\nthreshold: 2\nroots: ["{KEY}"]\nthreshold: 1', "'threshold' is written twice, first in line 2"),
        ("#" * 65537, "is larger than 65536 bytes"),
        (f'roots: ["{KEY}"]', "fleet: Field required; write fleet, threshold and roots"),
        ("fleet: prod\nroots: []", "roots: List should have at least 1 item"),
        ("fleet: prod\nroots: [abc]", "roots.0: "),
        ("fleet: prod\nroots: ['ssh-ed25519 AAAA']", "is not a whole OpenSSH public key"),
        (f'fleet: prod\nthreshold: 0\nroots: ["{KEY}"]', "threshold: "),
        (f'fleet: prod\nthreshold: 2\nroots: ["{KEY}", "{KEY}"]', "threshold: 2 cannot be met by 1 roots"),
        (f'fleet: prod\nroots: ["{KEY}"]\nroot: 1', "root: Extra inputs are not permitted"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str, words: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(BadKey) as caught:
        read_roots(path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("pointing", ["trust.yaml", "away", "a file/trust.yaml"], ids=["loop", "nothing", "no folder"])
def test_a_link_that_leads_to_no_file_is_no_missing_file(tmp_path: Path, pointing: str) -> None:
    (tmp_path / "a file").touch()
    path = tmp_path / "trust.yaml"
    path.symlink_to(pointing)
    with pytest.raises(BadKey, match=f"{path}: cannot be read"):
        read_roots(path)


@pytest.mark.parametrize("which", ["the file", "its folder"])
def test_a_file_that_may_not_be_read_is_no_missing_file(which: str) -> None:
    with reachable() as folder:
        path = written(folder, f'fleet: prod\nroots: ["{KEY}"]\n')
        with denied(path if which == "the file" else folder), pytest.raises(BadKey, match="cannot be read: Permission"):
            read_roots(path)


@pytest.mark.parametrize("name", ["trust.yml", "Trust.yaml", "trust.YAML"])
def test_a_file_of_almost_that_name_is_no_missing_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(f'fleet: prod\nroots: ["{KEY}"]\n')
    with pytest.raises(BadKey, match=f"{tmp_path / name}: is not read under this name; rename it to trust.yaml"):
        read_roots(tmp_path / "trust.yaml")


def test_a_file_that_others_may_change_pins_nothing(tmp_path: Path) -> None:
    path = written(tmp_path, f'fleet: prod\nroots: ["{KEY}"]\n', 0o664)
    with pytest.raises(BadKey, match="chmod go-w"):
        read_roots(path)
