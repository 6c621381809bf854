"""Which cores a thread infers on."""

import threading

import pytest
from support.waiting import wait_until

from model.engines import cores as cores_module
from model.engines.cores import Cores, Requests

ALL, FIRST, SECOND = (Requests(name, name) for name in ("all", "first", "second"))


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    now_s = [100.0]
    monkeypatch.setattr(cores_module.time, "monotonic", lambda: now_s[0])
    return now_s


def test_who_is_alone_has_all_cores_again_and_again(clock):
    cores = Cores(ALL, [FIRST, SECOND])
    for _ in range(3):
        with cores.taken() as requests:
            assert requests is ALL


def test_who_comes_while_another_is_at_work_shares_the_cores_and_so_do_the_next_for_a_while(clock):
    cores = Cores(ALL, [FIRST, SECOND])
    with cores.taken(), cores.taken() as requests:
        assert requests in (FIRST, SECOND)
    for later_s, expected in ((0.4, (FIRST, SECOND)), (0.6, (ALL,))):
        clock[0] = 100.0 + later_s
        with cores.taken() as requests:
            assert requests in expected


def test_no_more_threads_are_at_work_than_share_the_cores(clock):
    cores = Cores(ALL, [FIRST, SECOND])
    held, begun = threading.Semaphore(0), []

    def work() -> None:
        with cores.taken() as requests:
            begun.append(requests)
            assert held.acquire(timeout=60)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(begun) == 2)
    assert len({id(requests) for requests in begun}) == 2
    held.release()
    wait_until(lambda: len(begun) == 3)
    held.release(2)
    for thread in threads:
        thread.join()


def test_where_there_is_nothing_to_share_threads_take_turns():
    cores = Cores(ALL, [])
    assert cores.most_at_once == 1
    with cores.taken() as requests:
        assert requests is ALL
    with cores.taken() as requests:
        assert requests is ALL


def test_an_error_gives_the_cores_back(clock):
    cores = Cores(ALL, [FIRST])
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), cores.taken():
            raise ZeroDivisionError
    with cores.taken() as requests:
        assert requests is ALL
