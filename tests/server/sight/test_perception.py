"""Perception's threads, on a network that waits for the test; and the result of `Sight` for one frame."""

import contextlib
import math
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from support.fake_engine import GREEN, GREY, MAGENTA, RED, ColourEngine
from support.images import encoded, plain, saved
from support.live import picture
from support.waiting import wait_until

from server.sight import frame_queue
from server.sight import perception as perception_module
from server.sight.geometry import Camera
from server.sight.perception import Perception
from server.sight.sight import Sight, View
from server.supervision import Faults
from server.wire.messages import BadFrameError, Frame, Pose, SensorFrame

POSE = Pose(0.0, 0.0, 5.0, 0.0, 10.0, 0.0)
DEPTH = encoded((40, 40, 40), kind="PNG", mode="RGBA")


def frame(rgb_image: bytes | None = None, depth_image: bytes | None = DEPTH, number: int = 1) -> Frame:
    content = SensorFrame(None, encoded() if rgb_image is None else rgb_image, depth_image, POSE, POSE)
    return Frame(number, time.monotonic(), None, content)


class GatedEngine(ColourEngine):
    """Waits for a test to open the gate before each batch."""

    def __init__(self, most_per_batch: int = 4, most_at_once: int = 1) -> None:
        super().__init__(most_per_batch=most_per_batch, part_px=(112, 64))
        self.most_at_once = most_at_once
        self.gate = threading.Semaphore(0)
        self.batches: list[int] = []

    def infer(self, images: np.ndarray) -> np.ndarray:
        self.batches.append(len(images))
        assert self.gate.acquire(timeout=60)
        return super().infer(images)


class Pipeline:
    """Perception with its results: (name of the slot, outcome of a frame)."""

    def __init__(self, engine: GatedEngine | None = None) -> None:
        self.engine, self.faults, self.results = engine or GatedEngine(), Faults(), []
        self.perception = Perception(Sight(self.engine, Camera()), self.faults)
        self.slots = {
            name: self.perception.open_slot(lambda perceived, name=name: self.results.append((name, perceived)))
            for name in "abcd"
        }

    def put(self, name: str, frame: Frame) -> Frame | None:
        return self.slots[name].put(frame, frame.content)

    def outcomes(self, count: int) -> list:
        """Outcomes of the first frames, as soon as there are `count`."""
        wait_until(lambda: len(self.results) >= count)
        return [perceived.outcome for _, perceived in self.results]


@pytest.fixture
def pipeline(monkeypatch):
    # On a slow machine every frame is expensive.
    monkeypatch.setattr(frame_queue, "DECODED_TOGETHER_S", math.inf)
    with running(Pipeline()) as subject:
        yield subject


@pytest.fixture
def two_at_once():
    with running(Pipeline(GatedEngine(most_per_batch=1, most_at_once=2))) as subject:
        yield subject


@contextlib.contextmanager
def running(subject: Pipeline) -> Iterator[Pipeline]:
    subject.perception.start()
    yield subject
    for _ in range(10):
        subject.engine.gate.release()
    subject.perception.stop()


def look(**images) -> View | BadFrameError:
    return Sight(ColourEngine(), Camera()).look(frame(**images))


def full(_) -> None:
    raise RuntimeError("can't start new thread")


def test_without_room_for_the_thread_that_decodes_depth_frames_fail_until_there_is(two_at_once, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", full)
        for name in "abc":  # the second and the third begin in perception's threads
            two_at_once.put(name, frame())
        for _ in range(3):
            two_at_once.engine.gate.release()
        assert two_at_once.outcomes(3) == [None] * 3
    assert two_at_once.faults.counts == {"perception": 3}
    two_at_once.engine.gate.release()
    two_at_once.put("a", frame())
    assert isinstance(two_at_once.outcomes(4)[3], View)


def test_without_room_for_another_thread_the_present_one_goes_on(pipeline, monkeypatch):
    for number in range(3):
        pipeline.engine.gate.release()
        pipeline.put("a", frame(number=number))
        assert isinstance(pipeline.outcomes(number + 1)[number], View)
        pipeline.engine.most_at_once = 2  # as when a local engine takes over from another machine
        monkeypatch.setattr(threading.Thread, "start", full)
    assert pipeline.perception.trouble(60.0) is None
    assert pipeline.faults.counts == {"perception": 2}, "it is tried again with each batch"


def test_only_the_newest_frame_of_each_simulator_waits_and_simulators_share_a_batch(pipeline):
    first, second, third, other = (frame(number=number) for number in range(4))
    assert pipeline.put("a", first) is None
    wait_until(lambda: pipeline.engine.batches == [1])  # the first is in work
    assert pipeline.put("a", second) is None
    assert pipeline.put("b", other) is None
    assert pipeline.put("a", third) is second, "it took the second one's place"
    pipeline.engine.gate.release()
    wait_until(lambda: pipeline.engine.batches == [1, 2])
    pipeline.engine.gate.release()
    pipeline.outcomes(3)
    assert [(name, perceived.frame) for name, perceived in pipeline.results] == [
        ("a", first),
        ("b", other),  # who has had no turn yet
        ("a", third),
    ]


def test_another_sight_sees_the_frames_after_those_in_work_and_is_told_between_them(pipeline):
    first, second = frame(number=1), frame(number=2)
    other = Sight(ColourEngine(hero="blue"), Camera())
    pipeline.put("a", first)
    wait_until(lambda: pipeline.engine.batches == [1])  # the first is in work
    pipeline.perception.exchange(other, lambda: pipeline.results.append(("exchanged", None)))
    pipeline.put("a", second)
    pipeline.engine.gate.release()
    wait_until(lambda: len(pipeline.results) == 3)
    told = [(name, perceived and perceived.frame) for name, perceived in pipeline.results]
    assert told == [("a", first), ("exchanged", None), ("a", second)]
    assert pipeline.engine.batches == [1], "the second was seen by the other network"
    assert pipeline.perception.sight is other


def test_frames_of_several_simulators_are_in_work_at_once_and_none_overtakes_an_earlier_one_of_its_own(two_at_once):
    first, second, other, more = (frame(number=number) for number in range(4))
    two_at_once.put("a", first)
    wait_until(lambda: len(two_at_once.engine.batches) == 1)
    assert two_at_once.put("a", second) is None, "a thread is idle, and this one is not taken"
    two_at_once.put("b", other)
    wait_until(lambda: len(two_at_once.engine.batches) == 2)
    two_at_once.put("c", more)
    assert two_at_once.put("a", second) is second, "it still waits"
    assert len(two_at_once.engine.batches) == 2
    for _ in range(4):
        two_at_once.engine.gate.release()
    two_at_once.outcomes(4)
    assert [perceived.frame for name, perceived in two_at_once.results if name == "a"] == [first, second]


def test_an_engine_that_takes_more_at_once_than_at_the_start_gets_more_threads(pipeline):
    pipeline.engine.most_per_batch = 1
    pipeline.engine.gate.release()
    pipeline.put("a", frame())
    pipeline.outcomes(1)
    pipeline.engine.most_at_once = 2
    for name in "bc":
        pipeline.put(name, frame())
    wait_until(lambda: len(pipeline.engine.batches) == 3)  # two in work, as none of the two gates is open
    for _ in range(2):
        pipeline.engine.gate.release()
    pipeline.outcomes(3)


def test_another_sight_waits_for_all_that_is_in_work_and_may_have_more_threads(two_at_once):
    other = GatedEngine(most_per_batch=1, most_at_once=3)
    for name in "ab":
        two_at_once.put(name, frame())
    wait_until(lambda: len(two_at_once.engine.batches) == 2)
    two_at_once.perception.exchange(Sight(other, Camera()), lambda: two_at_once.results.append(("exchanged", None)))
    for name in "cd":
        two_at_once.put(name, frame())
    two_at_once.engine.gate.release()
    wait_until(lambda: len(two_at_once.results) == 1)
    assert other.batches == []
    two_at_once.engine.gate.release()
    wait_until(lambda: len(other.batches) == 2)
    assert [name for name, _ in two_at_once.results][2:] == ["exchanged"]
    two_at_once.put("a", frame())
    wait_until(lambda: len(other.batches) == 3)
    for _ in range(3):
        other.gate.release()
    wait_until(lambda: len(two_at_once.results) == 6)


def test_a_whole_look_that_is_due_is_put_off_while_other_frames_wait(two_at_once):
    due = frame(saved(Image.new("RGB", (160, 160)), "PNG"))._replace(expected_m=(10.0, 0.0, 5.0), is_whole_due=True)
    two_at_once.put("a", due)
    wait_until(lambda: len(two_at_once.engine.batches) == 1)
    two_at_once.put("b", frame())
    wait_until(lambda: len(two_at_once.engine.batches) == 2)
    for name in "cd":
        two_at_once.put(name, due)
    for _ in range(4):
        two_at_once.engine.gate.release()
    two_at_once.outcomes(4)
    looks = {name: perceived.outcome.is_part for name, perceived in two_at_once.results}
    assert looks == {"a": False, "b": False, "c": True, "d": False}


def test_a_frame_is_looked_through_for_the_target_of_its_session():
    sight = Sight(ColourEngine(has_dog=True), Camera())
    image = picture(GREY)
    image[100:160, 60:80], image[100:160, 170:190] = RED, GREEN
    shown = frame(saved(Image.fromarray(image), "JPEG"))
    found = {target: sight.look(shown._replace(target=target)) for target in ("hero", "dog", None, "cat")}
    candidates = {
        target: ["left" if each.centroid_px[0] < 128 else "right" for each in view.sightings if each.is_candidate]
        for target, view in found.items()
    }
    assert candidates == {"hero": ["left"], "dog": ["right"], None: ["left"], "cat": ["left"]}
    assert {target: view.card.profile.name for target, view in found.items()} == {
        "hero": "hero",
        "dog": "dog",
        None: "hero",
        "cat": "hero",
    }
    assert Sight(ColourEngine(has_dog=True), Camera(), target="dog").look(shown).card.profile.name == "dog"


def test_another_sight_is_taken_at_once_while_no_frame_comes(pipeline):
    taken = threading.Event()
    pipeline.perception.exchange(Sight(ColourEngine(), Camera()), taken.set)
    assert taken.wait(60)


def test_an_expensive_frame_keeps_no_other_of_its_batch_waiting(pipeline, monkeypatch):
    monkeypatch.setattr(frame_queue, "DECODED_TOGETHER_S", 1.0)
    pipeline.put("a", frame())
    wait_until(lambda: pipeline.engine.batches == [1])
    for name, cost_s in (("b", 0.3), ("c", 0.8), ("d", 0.6)):
        pipeline.slots[name].cost_s = cost_s
        pipeline.put(name, frame())
    for _ in range(3):
        pipeline.engine.gate.release()
    pipeline.outcomes(4)
    assert [name for name, _ in pipeline.results] == ["a", "b", "d", "c"]
    assert pipeline.engine.batches == [1, 2, 1]


def test_a_newcomers_frame_which_may_cost_anything_has_a_batch_of_its_own(pipeline, monkeypatch):
    monkeypatch.setattr(frame_queue, "DECODED_TOGETHER_S", 1.0)
    for name in "abc":
        pipeline.put(name, frame())
    for _ in range(3):
        pipeline.engine.gate.release()
    pipeline.outcomes(3)
    assert pipeline.engine.batches == [1, 1, 1]


@pytest.mark.parametrize(
    "images", [{"depth_image": encoded(size=(700, 700), kind="PNG")[:-40]}, {"rgb_image": b"none"}]
)
def test_a_frame_that_is_not_understood_is_paid_for_too(pipeline, images):
    """Much of an image may be decoded before its damage shows."""
    pipeline.put("a", frame(**images))
    pipeline.engine.gate.release()
    (outcome,) = pipeline.outcomes(1)
    assert isinstance(outcome, BadFrameError)
    assert 0 < pipeline.slots["a"].cost_s <= pipeline.slots["a"].turn_s


def test_a_simulator_whose_frames_cost_more_gets_fewer_turns(monkeypatch):
    """The network takes ten times as long for a blue frame: the other simulators get their turns in between."""
    now_s = [0.0]

    class Slow(ColourEngine):
        def infer(self, images):
            now_s[0] += 1.0 if images[0, 0, 0, 2] > 200 else 0.1
            return super().infer(images)

    def monotonic() -> float:  # the other thread's depth images cost nothing
        return now_s[0] if threading.current_thread().name == "perception 1" else 0.0

    for module in (frame_queue, perception_module):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=monotonic))
    perception, order = Perception(Sight(Slow(), Camera()), Faults()), []
    blue, grey = frame(plain((0, 0, 255))), frame(plain())

    def again(name: str, made: Frame):
        def deliver(perceived):
            order.append(name)
            if len(order) < 44:
                slots[name].put(made, made.content)
            else:
                is_over.set()

        return deliver

    is_over = threading.Event()
    slots = {name: perception.open_slot(again(name, made)) for name, made in (("expensive", blue), ("cheap", grey))}
    for name, made in (("expensive", blue), ("cheap", grey)):
        slots[name].put(made, made.content)
    perception.start()
    assert is_over.wait(60)
    perception.stop()
    # Of 44 turns 4 of 1 s and 40 of 0.1 s: the same time for both.
    assert 3 <= order.count("expensive") <= 5
    longest_wait = max(len(run) for run in "".join(name[0] for name in order).split("c"))
    assert longest_wait == 1, "never two expensive ones in a row"


def queue_of() -> frame_queue.FrameQueue:
    """A queue without threads, which gives one frame at a time."""

    def begin_depth(sight: Sight, content: SensorFrame) -> Future:
        depth: Future = Future()
        depth.set_result(frame_queue.Depth(None, 0.0))
        return depth

    engine = GatedEngine(most_per_batch=1)
    return frame_queue.FrameQueue(Sight(engine, Camera()), begin_depth)


def take_turns(queue: frame_queue.FrameQueue, turns: int) -> list[frame_queue.Slot]:
    """The order of turns, if each frame takes a second and the simulator's next frame is there at once."""
    order = []
    for _ in range(turns):
        work = queue.take()
        ((slot, waiting),) = work.batch
        queue.charge(slot, 1.0)
        queue.finish(work)
        slot.put(waiting.frame, waiting.content)
        order.append(slot)
    return order


def test_who_was_idle_has_saved_no_turns_up():
    queue, content = queue_of(), frame().content
    busy, idle = (frame_queue.Slot(queue, lambda perceived: None) for _ in range(2))
    busy.put(frame(), content)
    assert take_turns(queue, 10) == [busy] * 10
    idle.put(frame(), content)
    order = take_turns(queue, 8)
    assert (order.count(busy), order.count(idle)) == (4, 4)


def test_it_is_told_where_a_frames_time_went(pipeline):
    sent = frame()
    pipeline.put("a", sent)
    pipeline.engine.gate.release()
    pipeline.outcomes(1)
    ((_, perceived),) = pipeline.results
    assert min(perceived.spent) >= 0.0
    assert sum(perceived.spent) <= time.monotonic() - sent.arrival_s


def test_after_the_end_nobody_gets_work_though_frames_wait():
    queue = queue_of()
    slot = frame_queue.Slot(queue, lambda perceived: None)
    slot.put(frame(), frame().content)
    queue.close()
    assert queue.take() is None


def test_the_end_ends_the_threads(pipeline):
    assert pipeline.perception.trouble(60.0) is None
    pipeline.perception.stop(timeout_s=60.0)
    assert pipeline.perception.trouble(60.0) == "perception is not running"


def test_a_simulator_of_which_nothing_waits_may_go():
    slot = frame_queue.Slot(queue_of(), lambda perceived: None)
    slot.close()
    slot.put(frame(), frame().content)
    for _ in range(2):
        slot.close()


def test_a_bad_image_is_told_and_does_not_spoil_the_batch(pipeline):
    pipeline.put("a", frame())
    wait_until(lambda: pipeline.engine.batches == [1])
    pipeline.put("b", frame(b"no image"))
    pipeline.put("c", frame(depth_image=b"no image"))
    pipeline.put("d", frame())
    for _ in range(2):
        pipeline.engine.gate.release()
    pipeline.outcomes(4)
    outcomes = {name: perceived.outcome for name, perceived in pipeline.results}
    assert outcomes["b"].field == "rgb_image"
    assert outcomes["c"].field == "depth_image"
    for name in "bc":  # the stack would keep the images of the batch
        assert (outcomes[name].__traceback__, outcomes[name].__context__) == (None, None)
    assert isinstance(outcomes["d"], View)


def test_a_frame_without_a_depth_image_is_seen_by_ground_and_height_and_hides_nobody(pipeline):
    pipeline.put("a", frame(depth_image=None))
    pipeline.engine.gate.release()
    (outcome,) = pipeline.outcomes(1)
    (sighting,) = outcome.sightings
    assert sighting.place is not None
    assert (outcome.surfaces, outcome.remark) == (None, None)


@pytest.mark.parametrize("depth_image", [DEPTH, b"no image", None])
def test_depth_images_that_are_not_to_be_used_are_not_looked_at(depth_image):
    without, sight = (Sight(ColourEngine(), Camera(has_depth=has_depth)) for has_depth in (True, False))
    expected = without.look(frame(depth_image=None)).sightings
    assert sight.look(frame(depth_image=depth_image)).sightings == expected != ()


def test_a_network_that_raises_is_reported_and_the_next_frame_is_served(pipeline):
    pipeline.put("a", frame(plain(MAGENTA)))
    pipeline.engine.gate.release()
    assert pipeline.outcomes(1) == [None]
    assert pipeline.faults.counts == {"perception": 1}
    assert pipeline.perception.trouble(60.0) == "perception failed on the last frame"
    pipeline.put("b", frame(b"no image"))
    assert isinstance(pipeline.outcomes(2)[1], BadFrameError)
    assert pipeline.perception.trouble(60.0) == "perception failed on the last frame", "a bad image mends nothing"
    pipeline.put("a", frame())
    pipeline.engine.gate.release()
    assert isinstance(pipeline.outcomes(3)[2], View)
    assert pipeline.perception.trouble(60.0) is None


def test_a_failure_is_told_for_a_while_if_no_frame_comes(pipeline, monkeypatch):
    pipeline.put("a", frame(plain(MAGENTA)))
    pipeline.engine.gate.release()
    assert pipeline.outcomes(1) == [None]
    assert pipeline.perception.trouble(60.0) == "perception failed on the last frame"
    monkeypatch.setattr(perception_module, "FAILURE_TOLD_S", 0.0)
    assert pipeline.perception.trouble(60.0) is None


def test_an_error_in_finding_fails_that_frame_only(pipeline, monkeypatch):
    pipeline.put("a", frame())
    wait_until(lambda: pipeline.engine.batches == [1])
    find = pipeline.perception.sight.find

    def fails_once(*arguments):
        monkeypatch.setattr(pipeline.perception.sight, "find", find)
        raise ZeroDivisionError

    pipeline.put("b", frame())
    pipeline.put("c", frame())
    pipeline.engine.gate.release()
    pipeline.outcomes(1)
    monkeypatch.setattr(pipeline.perception.sight, "find", fails_once)
    pipeline.engine.gate.release()
    assert [outcome is None for outcome in pipeline.outcomes(3)] == [False, True, False]
    assert pipeline.faults.counts == {"perception": 1}


def test_an_error_in_delivering_is_reported_and_the_thread_goes_on(pipeline):
    def deliver(perceived):
        raise ZeroDivisionError

    pipeline.perception.open_slot(deliver).put(frame(), frame().content)
    pipeline.put("a", frame())
    for _ in range(2):
        pipeline.engine.gate.release()
    assert isinstance(pipeline.outcomes(1)[0], View)
    assert pipeline.faults.counts == {"delivery": 1}


def test_a_network_that_hangs_counts_as_stalled(pipeline):
    pipeline.put("a", frame())
    wait_until(lambda: pipeline.engine.batches == [1])
    assert pipeline.perception.trouble(patience_s=600.0) is None
    assert pipeline.perception.trouble(patience_s=0.0) == "perception has stalled for more than 0 s"


def test_the_waiting_frame_of_a_simulator_that_has_gone_is_dropped(pipeline):
    pipeline.put("a", frame())
    wait_until(lambda: pipeline.engine.batches == [1])
    pipeline.put("b", frame())
    pipeline.slots["b"].close()
    pipeline.put("c", frame())
    for _ in range(3):
        pipeline.engine.gate.release()
    pipeline.outcomes(2)
    assert [name for name, _ in pipeline.results] == ["a", "c"]


def test_a_perception_that_does_not_run_is_trouble():
    assert Perception(Sight(ColourEngine(), Camera()), Faults()).trouble(1.0) == "perception is not running"


def test_the_hero_is_found_and_an_empty_scene_is_empty():
    found, nothing = look(), look(rgb_image=plain(GREY))
    # The red square covers 1/3 to 1/2 of the image each way.
    (sighting,) = found.sightings
    np.testing.assert_allclose(sighting.centroid_px, (256 * 5 / 12, 256 * 5 / 12), atol=2)
    assert nothing.sightings == ()


def test_everybody_who_may_be_the_hero_is_told_the_largest_first():
    image = np.full((256, 256, 3), GREY, np.uint8)
    image[64:96, 32:64] = image[64:160, 160:224] = RED
    large, small = look(rgb_image=saved(Image.fromarray(image), "PNG")).sightings
    np.testing.assert_allclose(large.centroid_px, (192, 112), atol=2)
    np.testing.assert_allclose(small.centroid_px, (48, 80), atol=2)


def test_a_wide_image_is_placed_by_its_own_width():
    """Its red square is 1/12 of the width left of the middle: on a 4:3 image 4/3 as far from it as on a square one."""
    square, wide = (look(rgb_image=encoded(size=size)).sightings[0].place for size in ((240, 240), (320, 240)))
    assert wide.position_m[1] == pytest.approx(square.position_m[1] * 4 / 3, rel=0.05)
    assert wide.position_m[2] == pytest.approx(square.position_m[2], rel=0.05)


def test_a_frame_that_can_not_be_understood_gives_its_error():
    mistake = look(rgb_image=b"no image")
    assert mistake.field == "rgb_image"
    assert mistake.__traceback__ is None
    assert Sight(ColourEngine(), Camera()).look(Frame.read(1, 0.0, "no object")).field == "sensor_frame"
