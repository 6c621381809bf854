"""Infer waiting images in batches: while the engine infers a batch, the images for the next batch wait."""

import asyncio
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

import numpy as np

from model.engines.engine import Engine

# An image, and the future of its answer.
Waiting: TypeAlias = "tuple[np.ndarray, asyncio.Future[np.ndarray]]"


class BatchQueue:
    """Runs an engine in a thread of its own, for the coroutines of one event loop.

    When the engine is free, the images that wait are the next batch. It does not wait for more images.

    Args:
        engine: takes batches of up to its `most_per_batch`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="network")
        self._waiting: deque[Waiting] = deque()
        self._work: asyncio.Task[None] | None = None

    async def infer(self, image: np.ndarray) -> np.ndarray:
        """The probabilities of an image, (px, px, 3) uint8 RGB: (px, px, classes).

        Raises:
            Exception: the error of the engine on the image's batch.
        """
        answer = asyncio.get_running_loop().create_future()
        self._waiting.append((image, answer))
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._infer_all())
        return await answer

    async def _infer_all(self) -> None:
        """Infer until nothing waits."""
        while batch := self._next_batch():
            images, answers = zip(*batch, strict=True)
            loop = asyncio.get_running_loop()
            try:
                found = await loop.run_in_executor(self._pool, self._engine.infer, np.stack(images))
            except Exception as error:
                for answer in answers:
                    if not answer.done():
                        answer.set_exception(error)
                continue
            for answer, probabilities in zip(answers, found, strict=True):
                if not answer.done():  # it is done if the client has gone
                    answer.set_result(probabilities)

    def _next_batch(self) -> list[Waiting]:
        """The longest-waiting images whose clients still wait."""
        batch: list[Waiting] = []
        while self._waiting and len(batch) < self._engine.most_per_batch:
            image, answer = self._waiting.popleft()
            if not answer.done():
                batch.append((image, answer))
        return batch
