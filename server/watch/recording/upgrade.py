"""Upgrades recordings of older formats to the present format, message by message as they are read.

Format 7 lacks the tracker settings that the user had changed, and the hashes of the network's card, second look and
conversion.

Format 6 lacks the weight of a belief's short mean; the upgrade assumes many frames. The bounds of a network's doubt
were in the profile.

Format 5 has one evidence of a sighting, for both looks together, and one belief in a person.

Format 4 has whole frames only.

Format 3 has the hero's motion among the tracker's settings, and no other targets (`model/profile.py`). Each frame had a
depth image, so a camera had no ground.

Format 2 has the network's `confidence` of a sighting instead of its `evidence`, has no other people, and has other
settings of the tracker: the settings that still exist are kept.

Format 1 identifies a frame by its arrival instead of a number, tells of a frame only whether it superseded another, and
has other names for events:

    frame                           received: numbered here, and with the number of the frame that it superseded
    seen, bad, failed               seen, not_understood, failed: with the frame's number; targets become sightings
    tick, hold, release, shutdown   the same; `now_s` becomes `at_s`

The state of a session that had begun earlier is upgraded from format 3 on, but not from format 1 (`snapshot`) or 2
(`state`).
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, NamedTuple

import msgspec

from model.card import FORMER_DOUBT
from model.profile import MOTION, hero_profile
from server.flight.identity import PRESENT_S
from server.flight.tracks import TrackState
from server.settings import OWN, TrackerConfig
from server.sight.geometry import Camera
from server.watch.recording.restore import Waiting
from server.wire.messages import parse_timestamp, shorten

FORMATS = (1, 2, 3, 4, 5, 6, 7)
# Largest absolute evidence, of a sighting whose confidence is 0 or 1.
MOST_EVIDENCE = 5.0
# Weight of a short mean of many frames, at five frames a second.
STEADY_WEIGHT = 1 / (1 - math.exp(-0.2 / PRESENT_S))
FACTS = ("session", "camera", "tracker", "watchdog_s", "min_blob_px", "weights", "weights_sha256", "engine")
TIMES = ("started_s", "monotonic_s")
MID_SESSION = (
    "it was recorded by an older version of this program and begins in the middle of a session, "
    "which cannot be continued here; replay it with the version that made it"
)

Fields = Mapping[str, Any]


class Upgrade:
    """Upgrades the messages of one recording, in order.

    Messages may come from anybody. Missing and malformed fields raise KeyError, TypeError or ValueError.

    Args:
        format: format of the recording, one of `FORMATS`.
    """

    def __init__(self, format: int) -> None:
        self._format = format
        self._first = _FromFormat1() if format == 1 else None

    def start(self, fields: Fields) -> dict[str, Any]:
        """The first message in the present format.

        Raises:
            ValueError: if a recording before format 3 begins in the middle of a session.
        """
        if self._first is not None:
            fields = self._first.start(fields)
        state = fields["state"]
        if state is not None:
            if self._format < 3:
                raise ValueError(MID_SESSION)
            tracker = {**state["tracker"], "config": self._config(state["tracker"]["config"])}
            if self._format < 5:
                tracker["whole_s"] = tracker["time_s"]
            if self._format < 6:
                tracker["crowd"] = _with_both_beliefs(tracker["crowd"])
            if self._format < 7:
                tracker["crowd"] = _with_weights(tracker["crowd"])
            state = {**state, "tracker": tracker}
        camera = {**{name: getattr(Camera(), name) for name in ("has_depth", "ground_z_m")}, **fields["camera"]}
        changed = {"camera": camera, "tracker": self._config(fields["tracker"]), "state": state}
        return {**fields, **changed, "chosen": {}, "parts_sha256": None}

    def message(self, fields: Fields) -> Fields:
        """Any later message in the present format.

        Raises:
            ValueError: if it answers a frame that is not in the recording.
        """
        if self._first is not None:
            fields = self._first.message(fields)
        if fields["kind"] != "seen":
            return fields
        sightings = fields["sightings"]
        if self._format < 3:
            sightings = [_with_evidence(sighting) for sighting in sightings]
        if self._format < 6:
            sightings = [_with_second_evidence(sighting) for sighting in sightings]
        return {**fields, "sightings": sightings}

    def _config(self, settings: Fields) -> Fields:
        """The settings of a tracker in the present format."""
        settings = settings if self._format >= 4 else _with_profile(settings)
        profile = {name: value for name, value in dict(settings["profile"]).items() if name not in FORMER_DOUBT}
        return {**settings, "profile": profile}


class _FromFormat1:
    """Upgrades the messages of a recording of format 1 to format 2, in order."""

    def __init__(self) -> None:
        self._frames = 0
        self._state: Any = TrackState.PATROL.value
        # Frames without an answer, by arrival, oldest first.
        self._unanswered = Waiting[float, _Frame]()

    def start(self, fields: Fields) -> dict[str, Any]:
        """The first message in format 2.

        Raises:
            ValueError: if the recording begins in the middle of a session.
        """
        if fields["snapshot"] is not None:
            raise ValueError(MID_SESSION)
        return {**{name: fields[name] for name in FACTS + TIMES}, "state": None}

    def message(self, fields: Fields) -> Fields:
        """Any later message in format 2.

        Raises:
            ValueError: if it answers a frame that is not in the recording.
        """
        match kind := fields["kind"]:
            case "end":
                return fields
            case "frame":
                return self._received(fields)
            case "seen":
                frame = self._answered(fields)
                about = {
                    "frame": frame.number,
                    "arrival_s": fields["arrival_s"],
                    "timestamp_s": frame.timestamp_s,
                    "sightings": [_sighting(target) for target in fields["targets"]],
                }
            case "bad":
                kind = "not_understood"
                about = {name: fields[name] for name in ("arrival_s", "field", "expected", "received")}
                about["frame"] = self._answered(fields).number
            case "failed":
                about = {"frame": self._answered(fields).number}
            case "tick" | "hold" | "release" | "shutdown":
                about = {}
            case _:
                raise ValueError(f"expected an event of a known kind, got {shorten(kind)}")
        self._state = fields["state"]
        return {"kind": kind, "at_s": fields["now_s"], **about, "state": self._state, "commands": fields["commands"]}

    def _received(self, fields: Fields) -> dict[str, Any]:
        self._frames += 1
        superseded = None
        if fields["is_superseding"] and self._unanswered:
            superseded = self._unanswered.popitem()[1].number  # the frame that waits for perception is the newest
        arrival_s, argument = fields["arrival_s"], fields["argument"]
        self._unanswered[arrival_s] = _Frame(self._frames, _timestamp_s(argument))
        return {
            "kind": "received",
            "at_s": arrival_s,
            "frame": self._frames,
            "superseded": superseded,
            "argument": argument,
            "state": self._state,
            "commands": [],
        }

    def _answered(self, fields: Fields) -> "_Frame":
        frame = self._unanswered.pop(fields["arrival_s"], None)
        if frame is None:
            raise ValueError(f"expected the frame that is answered at {fields['now_s']} s before its answer, got none")
        return frame


class _Frame(NamedTuple):
    number: int
    timestamp_s: float | None


def _timestamp_s(argument: str) -> float | None:
    content = json.loads(argument)
    return parse_timestamp(content.get("timestamp")) if isinstance(content, dict) else None


def _with_profile(settings: Fields) -> dict[str, Any]:
    """Settings of a tracker with the hero's profile; values in the recording replace the defaults of both."""
    own, profile = asdict(TrackerConfig()), json.loads(json.dumps(asdict(hero_profile())))
    return {
        **{name: settings.get(name, own[name]) for name in OWN},
        "profile": {**profile, **{name: settings[name] for name in MOTION if name in settings}},
    }


def _with_evidence(sighting: list[Any]) -> list[Any]:
    """A sighting with the log odds of its confidence instead of the confidence."""
    *before, confidence, place = sighting
    share = min(max(msgspec.convert(confidence, float), 1e-6), 1 - 1e-6)
    return [*before, min(max(math.log(share / (1 - share)), -MOST_EVIDENCE), MOST_EVIDENCE), place]


def _with_second_evidence(sighting: list[Any]) -> list[Any]:
    """A sighting whose evidence is used for both looks."""
    *before, evidence, place = sighting
    return [*before, evidence, evidence, place]


def _with_both_beliefs(crowd: list[Any]) -> list[Any]:
    """A crowd that has met no lookalike. Each belief is used for both looks."""
    people, *others = crowd
    known = [[number, track, [belief, belief], *about, False] for number, track, belief, *about in people]
    return [known, *others, 0]


def _with_weights(crowd: list[Any]) -> list[Any]:
    """A crowd whose beliefs have the weight of many frames."""
    people, *others = crowd
    known = [
        [number, track, [[*means, STEADY_WEIGHT] for means in belief], *about]
        for number, track, belief, *about in people
    ]
    return [known, *others]


def _sighting(target: Fields) -> list[Any]:
    """A target as a `Sighting`, with a `Place` or None."""
    place = [target[name] for name in ("position_m", "position_std_m", "depth_m", "area_m2")]
    about = [target[name] for name in ("centroid_px", "feet_px", "box_px", "area_px", "confidence")]
    return [*about, None if target["position_m"] is None else place]
