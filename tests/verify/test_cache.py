"""The build cache: keyed by content, complete or absent, safe for several processes."""

import multiprocessing

import pytest

from hwcomp.verify import cache


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HWCOMP_CACHE", str(tmp_path / "cache"))


def test_where_it_is(tmp_path, monkeypatch):
    assert cache.root() == tmp_path / "cache"
    monkeypatch.delenv("HWCOMP_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.root() == tmp_path / "xdg" / "hwcomp"


def test_digest_keeps_parts_apart():
    parts = [["ab", "c"], ["a", "bc"], ["abc"], ["abc", ""], [], [""], ["c", "ab"]]
    assert len({cache.digest(p) for p in parts}) == len(parts)
    assert cache.digest(["ab", b"c"]) == cache.digest([b"ab", "c"])


def test_built_once():
    calls = []

    def build(folder):
        calls.append(folder)
        (folder / "result").write_text("done")

    for _ in range(3):
        assert (cache.built("kind", "key", build) / "result").read_text() == "done"
    assert len(calls) == 1
    assert cache.built("kind", "other", build) != cache.built("kind", "key", build)
    assert len(calls) == 2


def test_a_failed_build_leaves_nothing():
    def fail(folder):
        (folder / "half").write_text("x")
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        cache.built("kind", "key", fail)
    assert list((cache.root() / "kind").iterdir()) == []
    assert cache.built("kind", "key", lambda folder: None).is_dir()


def slow_build(folder, barrier):
    barrier.wait()
    (folder / "result").write_text("done")


def worker(barrier, results):
    folder = cache.built("kind", "key", lambda folder: slow_build(folder, barrier))
    results.put((folder / "result").read_text())


def test_processes_that_build_the_same_at_once():
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(3), context.Queue()
    workers = [context.Process(target=worker, args=(barrier, results)) for _ in range(3)]
    for w in workers:
        w.start()
    assert [results.get() for _ in workers] == ["done"] * 3
    for w in workers:
        w.join()
    assert [p.name for p in (cache.root() / "kind").iterdir()] == ["key"]
