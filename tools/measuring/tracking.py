"""Measure the CPU time to find all people in a crowded frame and to track them, without that of the network."""

import statistics
import time

import numpy as np

from model.engines import Engine
from server.flight.events import answer
from server.flight.session import Session
from server.settings import Settings, tracker_for
from server.sight.geometry import QUADSIM_CAMERA
from server.sight.images import decode_depth
from server.sight.sight import Sight
from server.wire.messages import Frame, Pose, SensorFrame
from tools.measuring.figures import Figure
from tools.simulator.world import FRAMES_PER_S, World, frame_fields

PEOPLE, FRAMES = 60, 60
# From above a roof at the edge of the city, looking over it: a third of the people are seen.
OVERVIEW = Pose(-30.0, 0.0, 20.0, 0.0, 35.0, 0.0)


def measure_tracking(engine: Engine) -> list[Figure]:
    """CPU time for a frame of a crowd, after the network: to find and place all people, and to track them."""
    sight = Sight(engine, QUADSIM_CAMERA)
    session = Session.begin("drone", tracker_for(sight.card.profile, {}), Settings().watchdog_s)
    find_s, track_s, people = [], [], []
    with World(seed=0, people=PEOPLE) as world:
        for number in range(FRAMES):
            world.step(1 / FRAMES_PER_S)
            now_s = number / FRAMES_PER_S
            frame = Frame.read(number, now_s, frame_fields(world.observe(OVERVIEW)))
            assert isinstance(frame.content, SensorFrame) and frame.content.depth_image is not None
            image, size = sight.decode(frame.content)
            probabilities, depth_255 = engine.infer(image[None])[0], decode_depth(frame.content.depth_image)
            start_s = time.thread_time()
            view = sight.find(frame, image, size, probabilities, depth_255)
            found_s = time.thread_time()
            session.take(answer(frame, view, now_s))
            track_s.append(time.thread_time() - found_s)
            find_s.append(found_s - start_s)
            people.append(len(view.sightings))
    name = f"a crowd, {statistics.mean(people):.0f} seen"
    both_ms = 1e3 * (np.array(find_s) + np.array(track_s))
    return [
        Figure("find", f"{name}: found and placed, median", 1e3 * statistics.median(find_s), "ms"),
        Figure("track", f"{name}: tracked, median", 1e3 * statistics.median(track_s), "ms"),
        Figure("find_and_track", f"{name}: both, median", float(np.median(both_ms)), "ms", 1),
        Figure("track_longest", f"{name}: tracked, longest", 1e3 * max(track_s), "ms", 2),
    ]
