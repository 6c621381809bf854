"""Decides when it is enough to look at the part of a frame around the person followed.

A part costs a quarter of a whole frame (`server.sight.region`). But the part does not show other people, who are only
predicted meanwhile. So parts are used only while the person followed is certainly the hero and the operator has chosen
nobody else, with whole frames between.
"""

import math

from server.flight.motion import Vector
from server.flight.session import SessionState
from server.flight.tracks import TrackState
from server.wire.messages import BadFrameError, Frame, SensorFrame

# Every fourth frame is looked at as a whole. While frames of other simulators wait, a whole look is put off until
# `WHOLE_AFTER_S` after the last whole look; otherwise whole looks due at the same time would wait for each other. Fewer
# whole frames were tried on flights of the stand-in with three frames in five lost, seeds 700 to 705: on target for
# 88 % of the time, compared with 90 % with this many whole frames.
WHOLE_EVERY, WHOLE_AFTER_S = 3.5, 1.5  # 3.5 rather than 4, because frames come a little early or late
# Least probability that the person followed is the hero. Then nobody else has more than a twentieth.
SURE = 0.95
# Greatest distance of the person followed, in heights of that person. There the person is 44 px tall in QuadSim's
# image; at the usual distance, the person has a thousand pixels. From afar, others resemble the hero, so all people
# must be compared.
NEAR_HEIGHTS = 5.0
# Largest pace of the world. At a pace of three, heroes were lost between whole frames.
FASTEST_PACE = 1.25
# Least distance of anybody else from the person followed.
ALONE_M = 2.0


def with_expected_place(frame: Frame, state: SessionState) -> Frame:
    """A frame with its session's target, and with the target's expected place if a look at that part is enough.

    Args:
        frame: as received.
        state: of its session, as of the latest event before it.
    """
    if isinstance(frame.content, BadFrameError):
        return frame
    expected_m, is_whole_due = _expected(state, frame.content, frame.arrival_s)
    target = state.tracker.config.profile.name
    return frame._replace(expected_m=expected_m, is_whole_due=is_whole_due, target=target)


def _expected(state: SessionState, content: SensorFrame, arrival_s: float) -> tuple[Vector | None, bool]:
    """See `Frame.expected_m` and `Frame.is_whole_due`."""
    nowhere = None, False
    tracker = state.tracker
    hero = tracker.hero
    if tracker.state is not TrackState.FOLLOWING or not state.is_told_to_follow or hero is None or hero.is_unconfirmed:
        return nowhere
    _, time = state.clock.tick(content.timestamp_s, arrival_s)
    if time.is_stale or time.is_rebased or tracker.whole_s is None or tracker.time_s is None:
        return nowhere
    whole_s_ago = time.time_s - tracker.whole_s
    if whole_s_ago > WHOLE_AFTER_S:
        return nowhere
    if tracker.crowd.pace > FASTEST_PACE or tracker.crowd.probability(hero) < SURE:
        return nowhere
    if tracker.chosen not in (None, hero.number):
        return nowhere  # the operator has chosen somebody else, who may be in view outside of the part
    place_m = tracker.predict(time.time_s)
    if math.dist(content.gimbal_pose[:3], place_m) > NEAR_HEIGHTS * tracker.config.profile.height_m:
        return nowhere
    for person in tracker.crowd.people:
        apart_m = math.dist(person.track.position_m[:2], place_m[:2])
        if person.number != hero.number and tracker.is_in_view(person) and apart_m < ALONE_M:
            return nowhere
    return place_m, whole_s_ago > WHOLE_EVERY * (time.time_s - tracker.time_s)
