"""The topics of a recording, in Foxglove's own schemas where there is one.

/events              every event of the session in order, and its commands: all data that a replay needs
/camera              the image file of each frame that was understood, as received
/camera/calibration  the camera that took it
/mask                the network's classes: red surroundings, green people, blue the hero, as in the dataset
/tf                  world → quad, world → camera, camera → camera_optical (x right, y down, z forward)
/target              predicted position and direction of the hero, and positions of all other people
/state               the session's situation after each answer, with all tracked people
/commands            the commands sent to the simulator
/log                 messages about frames that were not understood
"""

import json
from collections.abc import Mapping
from typing import Any

import cv2
import foxglove
import numpy as np
from foxglove import channels
from foxglove.messages import (
    CameraCalibration,
    CompressedImage,
    FrameTransform,
    FrameTransforms,
    Log,
    LogLevel,
    Quaternion,
    Timestamp,
    Vector3,
)

from model.scoring import threshold
from server.flight.events import NotUnderstood, Received, Seen
from server.sight.geometry import Camera
from server.sight.images import Size
from server.sight.sight import View
from server.watch.recording import states
from server.watch.recording.format import EVENTS_TOPIC, MASK_TOPIC, STATE_TOPIC, End, Happened, InWork, Start, to_json
from server.watch.recording.items import Answered, Clock, Ended, Pending, Told
from server.watch.recording.scene import WORLD, rotation, scene, vector
from server.watch.recording.states import NUMBER, OBJECT, TEXT
from server.wire.messages import BadFrameError, SensorFrame

QUAD, CAMERA, OPTICAL = "quad", "camera", "camera_optical"
# The start is dated back by this, because players sort messages by time and the start must stay the first.
BEFORE_ALL_S = 0.001
# Rotation from axes x right, y down, z forward to axes x forward, y left, z up.
CAMERA_FROM_OPTICAL = Quaternion(x=-0.5, y=0.5, z=-0.5, w=0.5)


class Topics:
    """The channels of one simulator: in a recording, or live.

    Args:
        context: context of the recording's file, or of the live server.
        clock: clock of the messages.
        name: name of the simulator.
        prefix: prefix of the names of topics and of frames (except `world`), if several simulators share a context.
    """

    def __init__(self, context: foxglove.Context, clock: Clock, name: str, prefix: str = "") -> None:
        self._clock, self._name, self._prefix = clock, name, prefix
        before = f"/{prefix}" if prefix else ""
        self._camera = channels.CompressedImageChannel(f"{before}/camera", context=context)
        self._calibration = channels.CameraCalibrationChannel(f"{before}/camera/calibration", context=context)
        self._mask = channels.CompressedImageChannel(f"{before}{MASK_TOPIC}", context=context)
        self._transforms = channels.FrameTransformsChannel(f"{before}/tf", context=context)
        self._target = channels.SceneUpdateChannel(f"{before}/target", context=context)
        self._log = channels.LogChannel(f"{before}/log", context=context)
        self._events = _json_channel(
            context, f"{before}{EVENTS_TOPIC}", "Event", kind=TEXT, at_s=NUMBER, frame=NUMBER, state=TEXT, argument=TEXT
        )
        self._commands = _json_channel(context, f"{before}/commands", "Command", event=TEXT, payload=OBJECT)
        self._state = _json_channel(context, f"{before}{STATE_TOPIC}", "State", **states.PROPERTIES)
        self._all = (
            self._camera, self._calibration, self._mask, self._transforms, self._target, self._log, self._events,
            self._commands, self._state,
        )  # fmt: skip

    @property
    def is_wanted(self) -> bool:
        """Whether anybody receives messages of any channel; a file receives all."""
        return any(channel.has_sinks() for channel in self._all)

    def close(self) -> None:
        """Close all channels."""
        for channel in self._all:
            channel.close()

    def log(self, item: Start | Pending | Told | Answered | Ended) -> None:
        """Write all messages about an item."""
        match item:
            case Start():
                self._log_event(item.monotonic_s - BEFORE_ALL_S, to_json(item))
            case Pending(frame):
                in_work = InWork(frame.number, frame.arrival_s, as_text(frame.argument), frame.expected_m)
                self._log_event(self._clock.monotonic_s, to_json(in_work))  # not before the recording's start
            case Told():
                self._log_told(item)
            case Answered():
                self._log_situation(item)
            case Ended():
                self._log_event(item.now_s, to_json(End(item.reason)))

    def _log_event(self, at_s: float, text: str) -> None:
        self._events.log(text, log_time=self._clock.ns(at_s))

    def _log_told(self, item: Told) -> None:
        event, at_s = item.event, item.event.at_s
        if self._events.has_sinks():
            argument = as_text(item.argument) if isinstance(event, Received) else None
            happened = Happened(event, item.state, list(item.commands), argument)
            self._log_event(max(at_s, self._clock.monotonic_s), to_json(happened))
        if isinstance(event, Seen) and item.content is not None and item.view is not None:
            self._log_seen(event, item.content, item.view)
        elif isinstance(event, NotUnderstood):
            self._log_not_understood(event)
        for command in item.commands:
            self._commands.log(json.dumps(command._asdict()), log_time=self._clock.ns(at_s))

    def _log_not_understood(self, event: NotUnderstood) -> None:
        words = str(BadFrameError(event.field, event.expected, event.received))
        line = Log(
            timestamp=self._stamp(event.at_s),
            level=LogLevel.Warning,
            message=words.encode(errors="replace").decode(),
            name=self._name,
        )
        self._log.log(line, log_time=self._clock.ns(event.at_s))

    def _stamp(self, moment_s: float) -> Timestamp:
        return Timestamp(*divmod(self._clock.ns(moment_s), 10**9))

    def _log_seen(self, event: Seen, frame: SensorFrame, view: View) -> None:
        now_ns, arrival = self._clock.ns(event.at_s), self._stamp(event.arrival_s)
        quad, camera, optical = (self._frame(name) for name in (QUAD, CAMERA, OPTICAL))
        image_format = "png" if frame.rgb_image.startswith(b"\x89PNG") else "jpeg"
        self._camera.log(
            CompressedImage(timestamp=arrival, frame_id=optical, data=frame.rgb_image, format=image_format),
            log_time=now_ns,
        )
        self._calibration.log(_calibration(view.camera, view.size, arrival, optical), log_time=now_ns)
        if self._mask.has_sinks():
            self._mask.log(
                CompressedImage(timestamp=arrival, frame_id=optical, data=_png(view), format="png"), log_time=now_ns
            )
        self._transforms.log(
            FrameTransforms(
                transforms=[
                    _transform(arrival, WORLD, quad, vector(frame.pose[:3]), rotation(frame.pose)),
                    _transform(arrival, WORLD, camera, vector(frame.gimbal_pose[:3]), rotation(frame.gimbal_pose)),
                    _transform(arrival, camera, optical, Vector3(), CAMERA_FROM_OPTICAL),
                ]
            ),
            log_time=now_ns,
        )

    def _frame(self, name: str) -> str:
        return f"{self._prefix}/{name}" if self._prefix else name

    def _log_situation(self, item: Answered) -> None:
        situation, now_ns = item.situation, self._clock.ns(item.now_s)
        self._state.log(states.to_json(item), log_time=now_ns)
        self._target.log(scene(situation, self._stamp(item.now_s)), log_time=now_ns)


def as_text(argument: object) -> str:
    """JSON of an event's argument, from which `parse_sensor_frame` gets the same result."""
    try:
        return json.dumps(argument)
    except (RecursionError, ValueError):
        # Nested too deeply, or with numbers of thousands of digits. Only the texts are kept, because parsing a frame
        # uses only texts.
        texts = argument if isinstance(argument, Mapping) else {}
        return json.dumps({key: value for key, value in texts.items() if isinstance(value, str)})


def _png(view: View) -> bytes:
    """The network's classes in the dataset's colours; black where the network did not look."""
    probabilities, card = view.probabilities, view.card
    hero = threshold(probabilities[..., card.hero], card.hero_threshold_255)
    likeliest = np.maximum.reduce([probabilities[..., number] for number in card.others], initial=0)
    people = (likeliest > probabilities[..., 0]) & ~hero
    surroundings = (probabilities[..., 0] > 0) & ~(hero | people)
    # Plane by plane, which takes a third of the time that numpy takes along the last axis.
    blue_green_red = cv2.merge([plane * np.uint8(255) for plane in (hero, people, surroundings)])
    _, png = cv2.imencode(".png", blue_green_red)
    return png.tobytes()


def _json_channel(
    context: foxglove.Context, topic: str, title: str, **properties: Mapping[str, Any]
) -> foxglove.Channel:
    schema = {"title": f"followme.{title}", "type": "object", "properties": properties}
    return foxglove.Channel(topic, schema=schema, context=context)


def _calibration(camera: Camera, size: Size, stamp: Timestamp, frame_id: str) -> CameraCalibration:
    """The calibration for the image as received, which may be larger or smaller than the camera's image."""
    u_px, v_px, focal_px = size.width_px / 2, size.height_px / 2, camera.focal_px * size.height_px / camera.image_px
    return CameraCalibration(
        timestamp=stamp,
        frame_id=frame_id,
        width=size.width_px,
        height=size.height_px,
        K=[focal_px, 0.0, u_px, 0.0, focal_px, v_px, 0.0, 0.0, 1.0],
        R=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        P=[focal_px, 0.0, u_px, 0.0, 0.0, focal_px, v_px, 0.0, 0.0, 0.0, 1.0, 0.0],
    )


def _transform(stamp: Timestamp, parent: str, child: str, translation: Vector3, turn: Quaternion) -> FrameTransform:
    return FrameTransform(
        timestamp=stamp, parent_frame_id=parent, child_frame_id=child, translation=translation, rotation=turn
    )
