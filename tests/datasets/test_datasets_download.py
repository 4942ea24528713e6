"""Datasets that are downloaded: from a server of the test's own, with every way it can go wrong."""

from __future__ import annotations

import gzip
import hashlib
import io
import pickle
import tarfile

import numpy as np
import pytest

from lamina.core.config import config
from lamina.core.errors import ArgumentError, DataError
from lamina.datasets import cifar10, cifar100, download, fashion_mnist, idx, mnist
from lamina.datasets.download import Source, obtain


def source(server, name="file.bin", content=None, url=None):
    digest = hashlib.sha256(server.content if content is None else content).hexdigest()
    return Source(name, url or server.url, digest)


def test_downloaded_once_and_kept(server):
    path = obtain(source(server))
    assert path == config.cache_dir / "datasets" / "file.bin"
    assert path.read_bytes() == server.content
    assert [entry.name for entry in path.parent.iterdir()] == ["file.bin"]
    assert obtain(source(server)) == path
    assert server.asked == [None]


def test_an_interrupted_download_is_continued(server):
    server.breaks = 2
    assert obtain(source(server)).read_bytes() == server.content
    assert server.asked == [None, "bytes=1000-", "bytes=2000-"]


def test_a_partial_file_stays_for_the_next_call(server):
    server.breaks = 3
    with pytest.raises(DataError, match="3000 bytes, which are kept"):
        obtain(source(server))
    target = config.cache_dir / "datasets" / "file.bin"
    assert not target.exists()
    assert obtain(source(server)).read_bytes() == server.content
    assert server.asked[-1] == "bytes=3000-"


def test_a_server_without_ranges_starts_again(server):
    server.breaks, server.ranges = 1, False
    assert obtain(source(server)).read_bytes() == server.content


def test_a_complete_partial_file_is_only_checked(server):
    target = config.cache_dir / "datasets" / "file.bin"
    target.parent.mkdir(parents=True)
    target.with_name("file.bin.part").write_bytes(server.content)
    assert obtain(source(server)).read_bytes() == server.content


def test_a_wrong_file_is_not_kept(server):
    with pytest.raises(DataError, match="SHA-256"):
        obtain(source(server, content=b"something else"))
    assert list((config.cache_dir / "datasets").iterdir()) == []


def test_a_damaged_file_in_the_cache_is_named(server):
    path = obtain(source(server))
    path.write_bytes(b"damaged")
    with pytest.raises(DataError, match=r"file\.bin is not the file that was published"):
        obtain(source(server))


def test_what_is_not_there(server, tmp_path):
    with pytest.raises(DataError, match=r"404(.|\n)*load_data\(folder=...\)"):
        obtain(source(server, url=server.url + "s"))
    with pytest.raises(DataError, match="not in the folder given"):
        obtain(source(server), folder=tmp_path)


def test_offline(server, monkeypatch):
    def refused(*arguments, **keywords):
        raise OSError("Network is unreachable")

    monkeypatch.setattr(download.urllib.request, "urlopen", refused)
    with pytest.raises(
        DataError, match=r"not on this machine(.|\n)*Network is unreachable(.|\n)*put the file into"
    ):
        mnist.load_data()


def test_the_cache_of_keras_is_used(server, tmp_path):
    place = tmp_path / "home" / ".keras" / "datasets"
    place.mkdir(parents=True)
    (place / "file.bin").write_bytes(server.content)
    assert obtain(source(server)) == place / "file.bin"
    assert server.asked == []


# --- formats ---------------------------------------------------------------------------------------


def write_idx(path, array):
    header = bytes([0, 0, 8, array.ndim]) + b"".join(extent.to_bytes(4, "big") for extent in array.shape)
    path.write_bytes(gzip.compress(header + array.tobytes()))


def test_fashion_mnist_from_a_folder(tmp_path, monkeypatch, rng):
    shapes = ((6, 28, 28), (6,), (2, 28, 28), (2,))
    arrays = [rng.integers(0, 10, shape).astype("uint8") for shape in shapes]
    files = {}
    for name, array in zip(fashion_mnist._FILES, arrays, strict=True):
        write_idx(tmp_path / name, array)
        files[name] = hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
    monkeypatch.setattr(fashion_mnist, "_FILES", files)
    monkeypatch.setattr(fashion_mnist, "_SHAPES", shapes)
    monkeypatch.setattr(fashion_mnist, "SYSTEM_FOLDER", tmp_path)
    for options in ({}, {"folder": tmp_path}):
        (x, y), (x_test, y_test) = fashion_mnist.load_data(**options)
        for got, expected in zip((x, y, x_test, y_test), arrays, strict=True):
            np.testing.assert_array_equal(got, expected)
        x += 1  # writable, as other arrays


@pytest.mark.parametrize(
    "content",
    [b"no gzip", gzip.compress(b""), gzip.compress(bytes([0, 0, 8, 1, 0, 0, 0, 9]) + bytes(9))],
    ids=["no gzip", "nothing in it", "fewer bytes than it says"],
)
def test_damaged_idx_files_are_named(content, tmp_path):
    path = tmp_path / "labels.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"labels\.gz"):
        idx.read(path, (6,))


def test_truncated_idx_file(tmp_path):
    path = tmp_path / "labels.gz"
    write_idx(path, np.arange(200, dtype="uint8"))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"labels\.gz is damaged"):
        idx.read(path, (200,))


def test_mnist_from_an_archive(tmp_path, monkeypatch, rng):
    arrays = {
        name: rng.integers(0, 9, (3,)).astype("uint8") for name in ("x_train", "y_train", "x_test", "y_test")
    }
    np.savez(tmp_path / "mnist.npz", **arrays)
    digest = hashlib.sha256((tmp_path / "mnist.npz").read_bytes()).hexdigest()
    monkeypatch.setattr(mnist, "_SOURCE", Source("mnist.npz", "http://nowhere", digest))
    for options in ({"folder": tmp_path}, {"path": str(tmp_path / "mnist.npz")}):
        (x, _), (_, y_test) = mnist.load_data(**options)
        np.testing.assert_array_equal(x, arrays["x_train"])
        np.testing.assert_array_equal(y_test, arrays["y_test"])


class Attack:
    def __reduce__(self):
        return print, ("code that ran",)


def write_tar(path, members):
    with tarfile.open(path, "w:gz") as tar:
        for name, entries in members.items():
            content = pickle.dumps(entries, protocol=2)
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def batch(rng, rows, labels):
    data = rng.integers(0, 256, (rows, 3072)).astype("uint8")
    return {b"data": data, **{name: list(map(int, rng.integers(0, 10, rows))) for name in labels}}


def test_cifar_archives(tmp_path, monkeypatch, rng):
    ten = {f"cifar-10-batches-py/data_batch_{i}": batch(rng, 2, [b"labels"]) for i in range(1, 6)}
    ten["cifar-10-batches-py/test_batch"] = batch(rng, 3, [b"labels"])
    hundred = {
        f"cifar-100-python/{part}": batch(rng, 2, [b"fine_labels", b"coarse_labels"])
        for part in ("train", "test")
    }
    for module, name, members in ((cifar10, "10.tar.gz", ten), (cifar100, "100.tar.gz", hundred)):
        write_tar(tmp_path / name, members)
        digest = hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
        monkeypatch.setattr(module, "_SOURCE", Source(name, "http://nowhere", digest))
    (x, y), (x_test, _) = cifar10.load_data(folder=tmp_path)
    assert x.shape == (10, 32, 32, 3)
    assert x_test.shape == (3, 32, 32, 3)
    assert y.shape == (10, 1)
    first = ten["cifar-10-batches-py/data_batch_1"]
    assert x[1, 2, 3, 1] == first[b"data"][1, 1024 + 2 * 32 + 3]
    assert y[:2, 0].tolist() == first[b"labels"]
    for mode in ("fine", "coarse"):
        _, (_, classes) = cifar100.load_data(mode, folder=tmp_path)
        assert classes[:, 0].tolist() == hundred["cifar-100-python/test"][f"{mode}_labels".encode()]
    with pytest.raises(ArgumentError, match="label_mode='rough'"):
        cifar100.load_data("rough")


def test_pickles_cannot_call_anything(tmp_path, monkeypatch, rng, capsys):
    members = {"cifar-10-batches-py/data_batch_1": batch(rng, 1, [b"labels"])}
    members["cifar-10-batches-py/data_batch_3"] = {b"data": Attack(), b"labels": [1]}
    write_tar(tmp_path / "10.tar.gz", members)
    digest = hashlib.sha256((tmp_path / "10.tar.gz").read_bytes()).hexdigest()
    monkeypatch.setattr(cifar10, "_SOURCE", Source("10.tar.gz", "http://nowhere", digest))
    with pytest.raises(DataError, match="print"):
        cifar10.load_data(folder=tmp_path)
    assert capsys.readouterr().out == ""


def test_an_archive_without_its_member(tmp_path, monkeypatch):
    write_tar(tmp_path / "10.tar.gz", {})
    digest = hashlib.sha256((tmp_path / "10.tar.gz").read_bytes()).hexdigest()
    monkeypatch.setattr(cifar10, "_SOURCE", Source("10.tar.gz", "http://nowhere", digest))
    with pytest.raises(DataError, match="no member"):
        cifar10.load_data(folder=tmp_path)
