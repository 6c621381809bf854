"""Recordings as the page shows them, of files that older versions made with a fake network."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image
from support.recorded_session import FORMAT_1, FORMAT_2, FORMAT_6, FORMAT_7, rewritten

from server.flight.session import Situation, Somebody
from server.flight.tracks import TrackState
from server.watch.recording import restore, states, steps
from server.watch.recording.film import Film
from server.watch.recording.items import Answered
from server.watch.recording.reader import Recording
from server.watch.recording.records import UnreadableRecordingError
from server.watch.recording.restore import Waiting

HERO = Somebody(3, 0.97, (4.0, 6.0, 1.0), is_in_view=True, is_refused=False)
OF_THE_FOLLOWED = ("followed", "distance_m", "speed_mps", "age_s")
MARKER_M = (0.7, 0.7, 2.0)
SITUATION = Situation(
    TrackState.FOLLOWING, False, True, (4.0, 6.0, 1.0), (1.0, 0.5, 0.0), 0.1, (HERO,), 3, None, False, MARKER_M
)


@pytest.fixture
def film():
    with Recording(FORMAT_1, with_states=True) as recording:
        yield Film(recording)


def about(film: Film, step: int) -> dict:
    """The only simulator at a step."""
    return film.message(step)["simulators"][0]


def step_of(film: Film, words: str) -> int:
    """Where a decision is first shown."""
    return next(step for step, _, said in film.timeline()["decisions"] if words in said)


def test_a_situation_comes_back_from_its_message():
    answered = Answered(12.5, 0.02, SITUATION, 7.25)
    assert states.from_json(states.to_json(answered).encode(), 12.5) == answered


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"state": "asleep"}, "asleep"),
        ({"position_m": [1.0, 2.0]}, "position_m"),
        ({"position_m": [1e300, 2.0, 3.0]}, "expected position_m of at most"),
        ({"latency_s": None}, "latency_s"),
        ({"people": [{"number": 1}]}, "probability"),
    ],
)
def test_a_message_that_tells_no_situation_is_refused(change, complaint):
    fields = json.loads(states.to_json(Answered(12.5, 0.02, SITUATION, 7.25))) | change
    with pytest.raises(ValueError, match=complaint):
        states.from_json(json.dumps(fields).encode(), 12.5)


@pytest.mark.parametrize(("path", "frames", "end"), [(FORMAT_1, 56, "shut down"), (FORMAT_2, 39, "shut down")])
def test_each_answered_frame_is_a_moment_and_times_go_up(path, frames, end):
    with Recording(path, with_states=True) as recording:
        timeline = Film(recording).timeline()
    assert len(timeline["moments"]) == frames
    assert timeline["times_s"] == sorted(timeline["times_s"])
    assert end in timeline["end"]
    assert timeline["file"] == path.name
    assert all(0 <= step < len(timeline["times_s"]) for step, _, _ in timeline["decisions"])


def test_a_step_shows_what_was_recorded(film: Film):
    step = step_of(film, "the drone is told to follow")
    shown = about(film, step)
    assert (shown["state"], shown["is_told_to_follow"], shown["is_held"]) == ("following", True, False)
    assert 12 < shown["distance_m"] < 13
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(shown["picture"])))).astype(int)
    red, green, blue = picture[..., 0], picture[..., 1], picture[..., 2]
    assert picture.shape == (512, 512, 3)
    assert ((green > red + 20) & (green > blue + 20)).sum() > 500, "the hero, tinted green"


def test_a_drone_that_the_watchdog_stopped_is_shown_stopped_without_a_new_frame(film: Film):
    step = step_of(film, "no fresh frame for too long")
    before, stopped = about(film, step - 1), about(film, step)
    assert (before["state"], before["is_told_to_follow"]) == ("following", True)
    assert (stopped["state"], stopped["is_told_to_follow"]) == ("lost", False)
    assert stopped["picture"] == before["picture"]
    assert stopped["age_s"] >= before["age_s"] + 0.9, "the watchdog waits for 1 s"
    assert 0 <= before["frame_age_s"] < 0.2
    assert stopped["frame_age_s"] == pytest.approx(before["frame_age_s"] + stopped["age_s"] - before["age_s"], abs=0.02)


def test_a_hold_is_shown_until_its_release(film: Film):
    held, released = step_of(film, "held by hand"), step_of(film, "released by hand")
    assert not about(film, held - 1)["is_held"]
    assert all(about(film, step)["is_held"] for step in range(held, released))
    assert not about(film, released)["is_held"]


def test_a_fault_of_the_servers_own_is_not_called_one_of_perception(tmp_path):
    failed = {"kind": "failed", "frame": None, "state": "lost"}
    copy = rewritten(FORMAT_6, tmp_path, lambda _, event: event | failed if event["kind"] == "hold" else event)
    with Recording(copy, with_states=True) as recording:
        decisions = [words for _, _, words in Film(recording).timeline()["decisions"]]
    assert any(words.startswith("internal error") for words in decisions)


def test_who_is_refused_is_no_longer_chosen_from_then_on(tmp_path):
    orders = {"hold": {"kind": "choose", "person": 1}, "release": {"kind": "refuse", "person": 1}}
    copy = rewritten(FORMAT_6, tmp_path, lambda _, event: event | orders.get(event["kind"], {}))
    with Recording(copy, with_states=True) as recording:
        film = Film(recording)
        chosen, refused = step_of(film, "person 1 chosen by hand"), step_of(film, "person 1 refused by hand")
        assert about(film, chosen)["chosen"] == 1
        assert about(film, refused)["chosen"] is None


def test_who_is_refused_is_no_longer_followed_from_then_on(tmp_path):
    refused = {"kind": "refuse", "person": 1, "state": "patrol"}
    copy = rewritten(FORMAT_6, tmp_path, lambda _, event: event | refused if event["kind"] == "release" else event)
    with Recording(copy, with_states=True) as recording:
        film = Film(recording)
        step = step_of(film, "person 1 refused by hand")
        before, after = about(film, step - 1), about(film, step)
    assert (before["followed"], before["age_s"] is not None) == (1, True)
    assert [after[name] for name in OF_THE_FOLLOWED] == [None] * 4
    assert after["people"] == before["people"]


def test_a_chosen_stranger_who_is_released_is_no_longer_followed_from_then_on():
    with Recording(FORMAT_7, with_states=True) as recording:
        film = Film(recording)
        released = step_of(film, "told by hand to follow the target again, patrol")
        before, after = about(film, released - 1), about(film, released)
    assert (before["followed"], before["chosen"]) == (5, 5)
    assert [after[name] for name in OF_THE_FOLLOWED] == [None] * 4


def test_with_another_target_nobody_is_tracked_until_the_next_frame_is_answered():
    with Recording(FORMAT_7, with_states=True) as recording:
        film = Film(recording)
        changed = step_of(film, "the target is the dog")
        before, after = about(film, changed - 1), about(film, changed)
    assert before["people"] and before["age_s"] is not None
    assert (after["target"], after["people"]) == ("dog", [])
    assert [after[name] for name in OF_THE_FOLLOWED] == [None] * 4


def test_labels_are_above_the_head_of_whoever_the_target_is(tmp_path):
    def with_a_tall_target(number: int, event: dict) -> dict:
        if number == 0:
            event["tracker"]["profile"]["height_m"] = 3.0
        return event

    copy = rewritten(FORMAT_6, tmp_path, with_a_tall_target)
    pictures = []
    for path in (FORMAT_6, copy):
        with Recording(path, with_states=True) as recording:
            film = Film(recording)
            pictures.append(about(film, step_of(film, "the drone is told to follow"))["picture"])
    assert pictures[0] != pictures[1], "the label is higher"


def test_a_target_may_be_called_people(tmp_path):
    def with_another_name(number: int, event: dict) -> dict:
        if number == 0:
            event["tracker"]["profile"] |= {"name": "people", "others": "robots"}
        return event

    with Recording(rewritten(FORMAT_6, tmp_path, with_another_name), with_states=True) as recording:
        film = Film(recording)
        shown = about(film, step_of(film, "the drone is told to follow"))
    assert shown["target"] == "people"
    assert shown["picture"] is not None


def test_a_bad_frame_is_a_warning_for_a_while(film: Film):
    step = step_of(film, "a frame was not understood (pose)")
    (warning,) = about(film, step)["warnings"]
    assert warning["words"].startswith("pose: ")
    assert warning["count"] == 1
    assert about(film, step - 1)["warnings"] == []


@pytest.mark.parametrize("field", ["field", "received"])
def test_of_words_that_no_server_writes_only_the_beginning_is_kept(tmp_path, field):
    def with_long_words(_: int, event: dict) -> dict:
        return event | {field: 100_000 * "x"} if event["kind"] == "not_understood" else event

    with Recording(rewritten(FORMAT_2, tmp_path, with_long_words), with_states=True) as recording:
        film = Film(recording)
        step = step_of(film, "a frame was not understood")
        (warning,) = about(film, step)["warnings"]
    assert max(len(words) for _, _, words in film.timeline()["decisions"]) <= steps.LONGEST_WORDS
    assert len(warning["words"]) == steps.LONGEST_WORDS


def test_more_steps_than_memory_is_meant_for_are_refused(monkeypatch):
    monkeypatch.setattr(steps, "MOST_NOTED", 40)
    with (
        Recording(FORMAT_1, with_states=True) as recording,
        pytest.raises(UnreadableRecordingError, match=r"format1\.mcap: expected at most 40 steps, decisions and "),
    ):
        Film(recording)


def test_of_frames_that_are_never_answered_only_the_latest_are_kept():
    waiting = Waiting[int, str]()
    for number in range(1000):
        waiting[number] = "frame"
    assert list(waiting) == [*range(1000 - restore.MOST_WAITING, 1000)]


@pytest.mark.parametrize(("path", "complaint"), [(FORMAT_1, "the frame that is answered"), (FORMAT_2, "frame 1")])
def test_each_reader_of_frames_forgets_those_that_wait_for_too_long(monkeypatch, path, complaint):
    monkeypatch.setattr(restore, "MOST_WAITING", 0)
    with (
        Recording(path, with_states=True) as recording,
        pytest.raises(UnreadableRecordingError, match=rf"expected {complaint}.* before its answer, got none"),
    ):
        Film(recording)


def test_a_step_that_is_not_there_is_an_index_error(film: Film):
    with pytest.raises(IndexError):
        film.message(len(film))


def test_a_recording_without_an_answered_frame_is_refused(tmp_path):
    copy = rewritten(FORMAT_2, tmp_path, lambda number, event: event if number == 0 else None)
    with (
        Recording(copy, with_states=True) as recording,
        pytest.raises(UnreadableRecordingError, match="expected frames to show, got none"),
    ):
        Film(recording)


def test_an_answer_to_a_frame_that_is_not_there_is_refused(tmp_path):
    copy = rewritten(FORMAT_2, tmp_path, lambda number, event: None if event["kind"] == "received" else event)
    with (
        Recording(copy, with_states=True) as recording,
        pytest.raises(UnreadableRecordingError, match="expected frame"),
    ):
        Film(recording)


def test_a_file_that_changed_under_the_film_is_told(tmp_path):
    copy = tmp_path / "copy.mcap"
    copy.write_bytes(FORMAT_1.read_bytes())
    with Recording(copy, with_states=True) as recording:
        film = Film(recording)
        copy.write_bytes(bytes(copy.stat().st_size))
        with pytest.raises(UnreadableRecordingError, match=r"copy\.mcap: expected it unchanged"):
            film.message(len(film) - 1)
