"""How images that wait for an engine are collected into batches."""

import asyncio
import threading
from collections.abc import Coroutine

import numpy as np
import pytest
from support.waiting import PATIENCE_S

from model.engines import Engine
from model.engines.batch_queue import BatchQueue


class Numbers(Engine):
    """Answers each image with itself; raises on the number 13. Its first batch waits until it is released."""

    def __init__(self, most_per_batch: int) -> None:
        self.most_per_batch, self.batches = most_per_batch, []
        self.begun, self.released = threading.Event(), threading.Event()

    def infer(self, images: np.ndarray) -> np.ndarray:
        self.batches.append(images.ravel().tolist())
        self.begun.set()
        assert self.released.wait(PATIENCE_S)
        if 13 in images:
            raise RuntimeError("the network has seen 13")
        return images


def image(number: int) -> np.ndarray:
    return np.full((1, 1, 1), number)


def run(test: Coroutine) -> None:
    asyncio.run(asyncio.wait_for(test, PATIENCE_S))


async def begun(engine: Numbers, queue: BatchQueue, numbers: range) -> tuple[asyncio.Task, list[asyncio.Task]]:
    """An image in work, and the images that came meanwhile."""
    first = asyncio.create_task(queue.infer(image(0)))
    while not engine.begun.is_set():
        await asyncio.sleep(0.001)
    others = [asyncio.create_task(queue.infer(image(number))) for number in numbers]
    await asyncio.sleep(0)  # until all wait
    return first, others


@pytest.mark.parametrize(
    ("most_per_batch", "came", "expected"),
    [
        (8, 7, [[0], [1, 2, 3, 4, 5, 6, 7]]),
        (8, 9, [[0], [1, 2, 3, 4, 5, 6, 7, 8], [9]]),
        (1, 2, [[0], [1], [2]]),
        (8, 0, [[0]]),
    ],
)
def test_images_that_come_while_a_batch_is_inferred_are_the_next_one(most_per_batch, came, expected):
    async def test() -> None:
        engine = Numbers(most_per_batch)
        first, others = await begun(engine, BatchQueue(engine), range(1, came + 1))
        engine.released.set()
        assert [each.item() for each in await asyncio.gather(first, *others)] == [*range(came + 1)]
        assert engine.batches == expected

    run(test())


def test_an_image_whose_client_has_gone_is_not_inferred():
    async def test() -> None:
        engine = Numbers(8)
        first, others = await begun(engine, BatchQueue(engine), range(1, 4))
        first.cancel()  # in work already
        others[1].cancel()
        await asyncio.sleep(0)
        engine.released.set()
        assert [(await others[number]).item() for number in (0, 2)] == [1, 3]
        assert engine.batches == [[0], [1, 3]]

    run(test())


def test_an_error_is_that_of_its_batch_and_the_next_one_is_inferred():
    async def test() -> None:
        engine = Numbers(2)
        engine.released.set()
        queue = BatchQueue(engine)
        found = await asyncio.gather(*(queue.infer(image(number)) for number in (12, 13, 14)), return_exceptions=True)
        assert [str(each) for each in found[:2]] == ["the network has seen 13"] * 2
        assert found[2].item() == 14
        assert (await queue.infer(image(15))).item() == 15, "after a time without images"

    run(test())
