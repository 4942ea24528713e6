"""utils.get_file: what is downloaded when, what is unpacked where, and what stays out."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from lamina.core.config import config
from lamina.core.errors import ArgumentError, DataError
from lamina.utils import get_file


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def tar_of(*members, mode="w:gz"):
    """An archive of (name, content), where content is bytes, or a type and a link's target."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
            else:
                info.type, info.linkname = content
                tar.addfile(info)
    return buffer.getvalue()


def zip_of(*members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in members:
            file.writestr(name, content)
    return buffer.getvalue()


def test_downloaded_once_unless_forced(server):
    path = get_file(origin=server.url + ".bin")
    assert path == str(config.cache_dir / "datasets" / "file.bin")
    assert Path(path).read_bytes() == server.content
    server.content = b"new"
    assert Path(get_file(origin=server.url + ".bin")).read_bytes() != b"new"
    assert Path(get_file(origin=server.url + ".bin", force_download=True)).read_bytes() == b"new"
    assert server.asked == [None, None]


def test_places(server, tmp_path):
    assert get_file("a", server.url, cache_dir=tmp_path / "d") == str(tmp_path / "d" / "datasets" / "a")
    assert get_file("a", server.url, cache_dir=tmp_path, cache_subdir="e") == str(tmp_path / "e" / "a")
    assert get_file("b", server.url, cache_subdir=tmp_path / "f") == str(tmp_path / "f" / "b")


def test_a_file_of_this_machine(server, tmp_path):
    (tmp_path / "x.txt").write_bytes(b"here")
    assert Path(get_file(origin=(tmp_path / "x.txt").as_uri())).read_bytes() == b"here"


@pytest.mark.parametrize("algorithm", ["auto", "given"])
@pytest.mark.parametrize("name", ["sha256", "md5"])
def test_a_file_with_another_hash_is_downloaded_again(server, name, algorithm):
    path = Path(get_file("a", server.url))
    path.write_bytes(b"outdated")
    digest = hashlib.new(name, server.content).hexdigest().upper()
    get_file("a", server.url, file_hash=digest, hash_algorithm=name if algorithm == "given" else "auto")
    assert path.read_bytes() == server.content
    get_file("a", server.url, md5_hash=hashlib.md5(server.content).hexdigest())
    assert len(server.asked) == 2


def test_a_wrong_download_replaces_nothing(server):
    path = Path(get_file("a", server.url))
    before = path.read_bytes()
    server.content = b"another"
    with pytest.raises(DataError, match="SHA-256"):
        get_file("a", server.url, file_hash=sha256(b"third"))
    server.breaks, server.limit = 3, 2
    with pytest.raises(DataError, match="downloading it failed"):
        get_file("a", server.url, force_download=True)
    assert path.read_bytes() == before


def test_an_interrupted_download_is_continued(server):
    server.breaks = 4
    digest = sha256(server.content)
    with pytest.raises(DataError, match="3000 bytes, which are kept"):
        get_file("a", server.url, file_hash=digest)
    assert Path(get_file("a", server.url, file_hash=digest)).read_bytes() == server.content
    assert server.asked[-1] == "bytes=4000-"


def test_without_a_hash_two_files_are_never_mixed(server):
    server.breaks = 3
    with pytest.raises(DataError, match="failed") as caught:
        get_file("a", server.url)
    assert "kept" not in str(caught.value)
    server.content = b"z" * 20000
    server.breaks = 1
    assert Path(get_file("a", server.url)).read_bytes() == server.content
    assert server.asked[-2:] == [None, "bytes=1000-"]


# --- archives --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fname", "archive", "folder"),
    [
        ("pets", "pets_archive", "pets"),
        ("pets.tar.gz", "pets.tar.gz", "pets_extracted"),
        (None, "file.tgz_archive", "file.tgz"),
    ],
)
def test_names_of_archives_are_those_of_keras(server, fname, archive, folder, real_keras, tmp_path):
    server.content = tar_of(("cats/1.txt", b"miau"), ("dogs/1.txt", b"wau"))
    arguments = {"fname": fname, "origin": server.url + ".tgz", "extract": True}
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    theirs.mkdir()
    assert get_file(cache_dir=ours, **arguments) == str(ours / "datasets" / folder)
    assert real_keras.utils.get_file(cache_dir=str(theirs), **arguments) == str(theirs / "datasets" / folder)
    found = [
        {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
        for root in (ours, theirs)
    ]
    assert found[0] == found[1]
    assert f"datasets/{archive}" in found[0]
    assert (ours / "datasets" / folder / "cats" / "1.txt").read_bytes() == b"miau"


@pytest.mark.parametrize(
    ("content", "options"),
    [
        (tar_of(("d/a", b"1"), mode="w"), {"untar": True}),
        (tar_of(("d/a", b"1"), mode="w:bz2"), {"extract": True, "archive_format": "tar"}),
        (zip_of(("d/", b""), ("d/a", b"1")), {"extract": True}),
        (zip_of(("d/a", b"1")), {"extract": True, "archive_format": ["zip"]}),
        (tar_of(("d", (tarfile.DIRTYPE, "")), ("./d/a", b"1")), {"extract": True}),
    ],
)
def test_kinds_of_archives(server, content, options):
    server.content = content
    folder = Path(get_file("x", server.url, **options))
    assert (folder / "d" / "a").read_bytes() == b"1"


def test_links_become_copies(server):
    server.content = tar_of(
        ("d/a", b"1"), ("d/soft", (tarfile.SYMTYPE, "a")), ("hard", (tarfile.LNKTYPE, "d/a"))
    )
    folder = Path(get_file("x", server.url, extract=True))
    for name in ("d/soft", "hard"):
        assert (folder / name).read_bytes() == b"1"
        assert not (folder / name).is_symlink()


def test_what_is_in_the_folder_stays(server):
    folder = config.cache_dir / "datasets" / "x"
    (folder / "d").mkdir(parents=True)
    (folder / "d" / "mine").write_bytes(b"mine")
    (folder / "d" / "a").write_bytes(b"old")
    server.content = zip_of(("d/a", b"1"), ("e/f/b", b"2"))
    get_file("x", server.url, extract=True)
    assert (folder / "d" / "mine").read_bytes() == b"mine"
    assert (folder / "d" / "a").read_bytes() == b"1"
    assert (folder / "e" / "f" / "b").read_bytes() == b"2"
    assert sorted(entry.name for entry in folder.parent.iterdir()) == ["x", "x_archive"]


DAMAGED = tar_of(("a", b"1"), ("b", bytes(range(256)) * 100))
ZIPPED = zip_of(("a", b"1" * 100))


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (tar_of(("a", b"1"), ("../evil", b"2")), "outside of its folder"),
        (tar_of(("d/../../evil", b"2")), "outside of its folder"),
        (tar_of(("/tmp/evil", b"2")), "outside of its folder"),
        (zip_of(("a", b"1"), ("../evil", b"2")), "outside of its folder"),
        (tar_of(("up", (tarfile.SYMTYPE, "..")), ("up/evil", b"2")), "cannot be read|is not written"),
        (tar_of(("a", b"1"), ("pass", (tarfile.SYMTYPE, "/etc/passwd"))), "cannot be read"),
        (tar_of(("a", (tarfile.SYMTYPE, "b")), ("b", (tarfile.SYMTYPE, "a"))), "cannot be read"),
        (tar_of(("a", b"1"), ("pipe", (tarfile.FIFOTYPE, ""))), "not written: pipe"),
        (tar_of(("a", b"1"), ("a/b", b"2")), "cannot be read"),
        (DAMAGED[: len(DAMAGED) // 2], "cannot be read"),
        (ZIPPED.replace(b"1" * 50, b"2" * 50), "cannot be read"),
        (b"no archive", "is not an archive"),
    ],
)
def test_archives_that_are_refused_leave_nothing(server, content, part):
    server.content = content
    with pytest.raises(DataError, match=part):
        get_file("x", server.url, extract=True)
    found = {path.name for path in config.cache_dir.parent.rglob("*") if path.is_file()}
    assert found == {"x_archive"}
    assert not (config.cache_dir / "datasets" / "x").exists()


def test_a_file_where_the_folder_should_be(server):
    get_file("x", server.url)
    server.content = zip_of(("a", b"1"))
    with pytest.raises(DataError, match="is a file"):
        get_file("x", server.url, extract=True)


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ({"fname": "x"}, "needs `origin`"),
        ({"fname": "d/x", "origin": "http://h/x"}, "cache_subdir"),
        ({"fname": "..", "origin": "http://h/x"}, "without a folder"),
        ({"origin": "http://h/d/"}, "pass fname"),
        ({"origin": "http://h/x", "file_hash": "abc"}, "32 or 64 hexadecimal digits"),
        ({"origin": "http://h/x", "file_hash": "a" * 32, "hash_algorithm": "sha256"}, "64 hexadecimal"),
        ({"origin": "http://h/x", "file_hash": "a" * 32, "hash_algorithm": "crc"}, "'crc'"),
        ({"origin": "http://h/x", "extract": True, "archive_format": "rar"}, "'rar'"),
        ({"origin": "http://h/x", "extract": True, "archive_format": None}, "None"),
    ],
)
def test_wrong_arguments_are_told_before_anything_is_asked(server, arguments, part):
    with pytest.raises(ArgumentError, match=part):
        get_file(**arguments)
    assert server.asked == []


def test_what_is_not_a_url(server):
    with pytest.raises(DataError, match="unknown url type"):
        get_file("x", "nonsense")
