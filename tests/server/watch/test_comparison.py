"""Comparison of a replay with its recording: who may be the hero, the tracker's state, the commands."""

from support.seen import seen, sighting, stranger

from server.flight.events import Tick
from server.flight.tracks import TrackState
from server.watch.recording.comparison import FIRST_MOMENTS, Comparison, Outcome
from server.wire.messages import object_detected, object_lost

PATROL, FOLLOWING = TrackState.PATROL, TrackState.FOLLOWING
NEAR, FAR = (10.0, 2.0, 1.0), (30.0, 2.0, 1.0)


def outcome(*people, state=PATROL, commands=()) -> Outcome:
    """The outcome of a frame that shows some people."""
    return Outcome(seen(1.0, *people), state, list(commands))


def compared(*pairs: tuple[Outcome, Outcome]) -> Comparison:
    comparison = Comparison()
    for number, (recorded, replayed) in enumerate(pairs):
        comparison.add(0.2 * number, number, recorded, replayed)
    return comparison


def figures(comparison: Comparison) -> dict[str, list[str]]:
    """The table, by the name of the line."""
    return {line[:36].strip(): line[36:].split() for line in comparison.summary().splitlines()[1:8]}


def test_a_hero_is_found_where_somebody_may_be_the_hero():
    assert str(outcome()) == "no hero found, patrol, nothing told"
    assert str(outcome(stranger(), stranger(FAR))) == "no hero found, patrol, nothing told"
    assert str(outcome(sighting(evidence=0.0))) == "no hero found, patrol, nothing told"
    assert str(outcome(stranger(), sighting(FAR, evidence=0.1))) == "hero found, patrol, nothing told"


def test_places_are_of_those_who_may_be_the_hero_the_likeliest_first():
    people = stranger((1.0, 1.0, 1.0)), sighting(FAR, evidence=1.0), sighting(None, evidence=0.5), sighting(NEAR)
    assert outcome(*people).places_m == [NEAR, FAR, None]
    assert Outcome(Tick(1.0), PATROL, []).places_m == []


def test_strangers_who_look_a_little_different_change_nothing():
    recorded = outcome(stranger(), state=PATROL)
    assert compared((recorded, outcome(stranger(), sighting(FAR, evidence=-0.1)))).is_identical


def test_a_hero_whom_only_one_of_the_two_finds_is_counted_and_told():
    comparison = compared(
        (outcome(sighting(NEAR)), outcome(sighting(NEAR))),
        (outcome(sighting(NEAR)), outcome(sighting(NEAR, evidence=-0.5))),
        (outcome(stranger()), outcome(sighting(NEAR))),
        (outcome(sighting(FAR)), outcome()),
    )
    assert figures(comparison)["frames with a hero found"] == ["3", "2"]
    assert figures(comparison)["… which the other did not find"] == ["2", "1"]
    assert [moment.frame for moment in comparison.moments] == [1, 2, 3]
    assert "replayed: no hero found, patrol, nothing told" in comparison.summary()


def test_one_event_is_counted_as_one():
    comparison = compared((outcome(sighting(NEAR)), outcome(sighting(NEAR))))
    assert "1 of them perceived" in comparison.summary()


def test_of_many_moments_that_differ_only_the_first_are_kept():
    follow, moved = ([object_detected((x_m, 2.0, 1.0))] for x_m in (10.0, 10.25))
    nearly = (outcome(commands=follow), outcome(commands=moved))
    comparison = compared(*[nearly] * 500, *[(outcome(commands=follow), outcome())] * 500)
    assert (len(comparison.moments), len(comparison.decisions)) == (FIRST_MOMENTS, FIRST_MOMENTS)
    summary = comparison.summary()
    assert "moments that differ: 1000 of 1000, not only in coordinates: 500\n" in summary
    assert "coordinates sent by both: 0.250 m apart (median of 500), at most 0.250 m\n" in summary
    assert "the first 10 of these, in seconds since the recording began:\n   100.00  frame 500, recorded: " in summary


def test_places_are_compared_of_the_likeliest_hero():
    follow = [object_detected(NEAR)]
    recorded = outcome(sighting(FAR, evidence=1.0), sighting(NEAR), state=FOLLOWING, commands=follow)
    moved = (NEAR[0] + 0.5, *NEAR[1:])
    replayed = outcome(sighting(moved), sighting(FAR, evidence=1.0), state=FOLLOWING, commands=[object_lost()])
    assert (
        "places of the likeliest hero of both: 0.500 m apart (median of 1), at most 0.500 m"
        in compared((recorded, replayed)).summary()
    )
