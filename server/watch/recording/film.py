"""A recording for the page: pictures, situations and decisions as they were recorded. Nothing is decided anew.

A first pass (`steps`) notes the place of all records in the file. The data of a step is read from there when the step
is shown, so memory holds no images.
"""

from collections import Counter
from typing import Any

import numpy as np

from model.card import Card
from model.profile import Profile
from server.flight.session import Situation
from server.sight.geometry import Camera
from server.sight.images import decode_rgb
from server.sight.sight import View
from server.watch.about import WARNING_SHOWN_S, WARNINGS_SHOWN, describe, rounded
from server.watch.labels import Spot
from server.watch.overlay import draw
from server.watch.recording.items import Answered
from server.watch.recording.reader import Mask, Recording
from server.watch.recording.records import Place, UnreadableRecordingError
from server.watch.recording.restore import InconsistentError, restored, restored_frame
from server.watch.recording.steps import Shot, Step, Steps
from server.wire.messages import BadFrameError, SensorFrame

# A mask is black where the network did not look. At the border of classes, a scaled mask has at least 85 in one colour.
DARKEST = 64


class Film:
    """A recording, ready to be shown.

    Args:
        recording: opened with states; only its start has been read.

    Raises:
        UnreadableRecordingError: if it is damaged, holds no answered frame, or cannot be of any session.
    """

    def __init__(self, recording: Recording) -> None:
        self._recording, self._start = recording, recording.start
        try:
            self._read = Steps(recording)
        except InconsistentError as error:
            raise UnreadableRecordingError(f"{recording.path}: {error}") from error
        if not self._read.moments:
            raise UnreadableRecordingError(f"{recording.path}: expected frames to show, got none that were answered")

    def __len__(self) -> int:
        """Number of steps."""
        return len(self._read.steps)

    @property
    def duration_s(self) -> float:
        """Time from the first step to the last."""
        return self._read.steps[-1].at_s - self._read.steps[0].at_s

    def timeline(self) -> dict[str, Any]:
        """The data that the page fetches first.

        Returns:
            "times_s" of all steps and "moments" of all frames as in the live page's stream, both on the clock of the
            recording, seconds; "begun_s", the time of the first step in seconds since 1970; "decisions", each [step,
            state, words]; "file", its name; "end", why the recording ended.
        """
        return {
            "file": self._recording.path.name,
            "begun_s": round(self._start.started_s + self._read.steps[0].at_s - self._start.monotonic_s, 3),
            "times_s": [round(step.at_s, 3) for step in self._read.steps],
            "moments": [moment.as_json() for moment in self._read.moments],
            "decisions": [
                [min(decision.step, len(self) - 1), decision.state.value, decision.words]
                for decision in self._read.decisions
            ],
            "end": self._recording.end_reason or "it was cut off",
        }

    def message(self, number: int) -> dict[str, Any]:
        """The page's data of a step: a message as in the live page's stream, without the moments.

        Raises:
            IndexError: if there is no step with this number.
            UnreadableRecordingError: if the file has been changed since it was read.
        """
        step = self._read.steps[number]
        picture, distance_m, frame_age_s = None, None, None
        found: tuple[Spot, ...] = ()
        camera = self._start.camera
        if step.shot is not None:
            before = self._answered_at(step.shot.answered)
            distance_m, frame_age_s = before.distance_m, step.at_s - step.shot.frame.arrival_s
            picture, found, camera = self._draw(step.shot, before.situation, step.target)
        situation = self._situation(step)
        about = describe(self._start.session, step.target.name, situation, distance_m, frame_age_s, found, camera) | {
            "recording": None,
            "warnings": self._warnings(step.at_s),
            "picture": picture,
            "moments": [],
        }
        return {
            "now_s": round(step.at_s, 3),
            "trouble": None,
            "network": {
                "name": self._start.weights or "a network without a file",
                "engine": self._start.engine,
                "targets": [],
                "loading": None,
                "trouble": None,
                "choices": None,
            },
            "others": [],
            "simulators": [about],
        }

    def _answered_at(self, place: Place) -> Answered:
        entry = self._recording.entry_at(place)
        assert isinstance(entry, Answered)
        return entry

    def _situation(self, step: Step) -> Situation:
        if step.answered is None:
            state = restored(self._start).state.tracker.state
            profile = self._start.tracker.profile
            return Situation(
                state=state,
                is_held=False,
                is_told_to_follow=False,
                position_m=None,
                velocity_mps=None,
                age_s=None,
                people=(),
                followed=None,
                chosen=None,
                is_undecided=False,
                marker_m=profile.marker_m,
            )._replace(**step.changes)
        answered = self._answered_at(step.answered)
        situation = answered.situation
        if situation.age_s is not None:
            situation = situation._replace(age_s=situation.age_s + step.at_s - answered.now_s)
        return situation._replace(**step.changes)

    def _draw(self, shot: Shot, situation: Situation, target: Profile) -> tuple[str | None, tuple[Spot, ...], Camera]:
        """The picture (None if its image or mask cannot be decoded), the positions of people in it, and the camera."""
        number, place, arrival_s, _ = shot.frame
        frame = restored_frame(number, arrival_s, self._recording.argument_at(place)).content
        mask = self._recording.entry_at(shot.mask)
        assert isinstance(frame, SensorFrame) and isinstance(mask, Mask)
        camera = self._start.camera
        try:
            classes, _ = decode_rgb(mask.png, camera.image_px)
            _, size = decode_rgb(frame.rgb_image, camera.image_px)
            camera = camera.of_shape(*size)
            seen = (classes > 127).astype(np.float32)  # red, green and blue are the classes of this card
            card = Card(target.classes, profile=target)
            is_part = bool(classes.max(axis=-1).min() < DARKEST)
            view = View((), camera, size, seen, card, is_part=is_part)
            return *draw(frame, view, situation), camera
        except BadFrameError:
            return None, (), camera

    def _warnings(self, now_s: float) -> list[dict[str, Any]]:
        """The latest complaints, the newest first."""
        recent = [(at_s, words) for at_s, words in self._read.complaints if 0 <= now_s - at_s < WARNING_SHOWN_S]
        counts, latest = Counter(words for _, words in recent), {words: at_s for at_s, words in recent}
        newest = sorted(latest, key=lambda words: -latest[words])[:WARNINGS_SHOWN]
        name = self._start.session
        return [
            {"client": name, "words": words, "count": counts[words], "age_s": rounded(now_s - latest[words])}
            for words in newest
        ]
