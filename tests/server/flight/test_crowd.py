"""Which sighting is of which person from frame to frame, at QuadSim's five frames a second."""

import numpy as np
import pytest

from server.flight.crowd import FLICKER_S, Crowd, Person
from server.flight.identity import Belief
from server.flight.motion import Fix
from server.settings import TrackerConfig

FRAME_S = 0.2
CONFIG = TrackerConfig()
HERO, STRANGER = 5.0, -5.0  # evidence


class CrowdFromFrames:
    """A crowd from frame to frame; `show` takes (x, y, evidence) of each sighting.

    A fourth value is the second look's evidence; without it, it is that of the first look.
    """

    def __init__(self) -> None:
        self.crowd, self.time_s = Crowd(), 0.0

    def show(self, *people: tuple[float, ...], after_s: float = FRAME_S, std_m: float = 0.15) -> list[Person]:
        """The people seen in one frame, in the order of the sightings."""
        self.time_s += after_s
        fixes = [
            Fix(self.time_s, (x, y, 1.0), std_m, evidence, *(second or (evidence,)))
            for x, y, evidence, *second in people
        ]
        self.crowd = self.crowd.update(self.time_s, after_s, fixes, CONFIG)
        seen = [person for person in self.crowd.people if person.seen_s == self.time_s]
        return [
            min(seen, key=lambda each: abs(each.track.position_m[0] - x) + abs(each.track.position_m[1] - y))
            for x, y, *_ in people
        ]

    def probability(self, number: int) -> float:
        return dict(zip((p.number for p in self.crowd.people), self.crowd.probabilities(), strict=True))[number]


@pytest.fixture
def street() -> CrowdFromFrames:
    return CrowdFromFrames()


def test_everybody_has_a_number_of_their_own_and_keeps_it(street):
    for frame in range(10):
        x = 0.28 * frame  # 1.4 m/s
        people = street.show((x, 0.0, HERO), (x, 3.0, STRANGER), (-x, 6.0, STRANGER))
        assert [person.number for person in people] == [1, 2, 3]


def test_two_who_cross_keep_their_numbers(street):
    for frame in range(21):
        x = 0.28 * (frame - 10)
        one, other = street.show((x, 0.3, HERO), (-x, -0.3, STRANGER))
        assert (one.number, other.number) == (1, 2), frame


def test_two_who_cross_keep_their_numbers_where_each_hides_a_part_of_the_other(street):
    """Only a part of each is visible, which shifts their measured places towards the other's predicted place."""
    for frame in range(21):
        x, pulled = 0.28 * (frame - 10), 0.9 if frame in (11, 12) else 0.0
        one, other = street.show((x - pulled, 0.1, HERO), (pulled - x, -0.1, STRANGER))
        assert (one.number, other.number) == (1, 2), frame


def test_the_hero_is_told_from_a_stranger_close_by_by_their_looks(street):
    """The stranger comes from behind the hero, who is hidden from then on."""
    for _ in range(10):
        street.show((0.0, 0.0, HERO))
    people = [street.show((1.0, 0.0, STRANGER))[0] for _ in range(3)]
    assert all(person.number != 1 for person in people)
    assert street.probability(1) > 0.9


def test_somebody_out_of_view_is_predicted_and_known_again(street):
    for frame in range(10):
        street.show((0.2 * frame, 0.0, STRANGER))
    for _ in range(5):
        street.show()
    (person,) = street.show((0.2 * 15, 0.0, STRANGER))
    assert person.number == 1


def test_who_is_not_the_hero_stays_so_when_seen_again(street):
    for _ in range(20):
        street.show((0.0, 0.0, STRANGER))
    for _ in range(20):
        street.show()
    (person,) = street.show((1.0, 0.0, 2.0))
    assert person.number == 1
    assert street.probability(1) < 0.15


def test_after_a_long_absence_a_person_is_remembered_only_as_far_as_it_can_be_the_same(street):
    for _ in range(20):
        street.show((0.0, 0.0, STRANGER))
    before = street.crowd.person(1).belief
    (person,) = street.show((1.0, 0.0, 0.0), after_s=3.0)
    assert person.number == 1
    assert before.faded(3.0).nats(0) < person.belief.nats(0) < 0


def test_a_flicker_is_forgotten_soon_and_a_person_is_remembered(street):
    street.show((0.0, 0.0, STRANGER), (9.0, 0.0, STRANGER))
    street.show((0.0, 0.0, STRANGER))
    for _ in range(round(FLICKER_S / FRAME_S) + 1):
        street.show()
    assert [person.number for person in street.crowd.people] == [1]
    street.show(after_s=CONFIG.remember_s)
    assert street.crowd.people == ()


def test_poses_that_jump_do_not_hide_the_hero(street):
    """In each frame, the hero seems to be far from the place in the frame before."""
    for frame in range(12):
        (person,) = street.show((40.0 * (frame % 2), 25.0 * frame, HERO))
    assert street.probability(person.number) > 0.9


def test_who_is_refused_leaves_nothing_to_a_newcomer_when_poses_jump(street):
    street.show((0.0, 0.0, HERO))
    street.crowd = street.crowd.with_refused(1, True)
    (newcomer,) = street.show((40.0, 25.0, HERO))
    assert newcomer.is_seen_once
    assert newcomer.belief == Belief.first(HERO, HERO)


@pytest.mark.parametrize(("before", "after"), [(HERO, STRANGER), (STRANGER, HERO)])
def test_a_stranger_takes_nothing_over_and_leaves_nothing(street, before, after):
    street.show((0.0, 0.0, before))
    (newcomer,) = street.show((40.0, 25.0, after))
    assert newcomer.is_seen_once
    assert newcomer.belief == Belief.first(after, after)


def test_a_stranger_who_leaves_nothing_stays_a_stranger(street):
    street.show((0.0, 0.0, STRANGER))
    street.show((40.0, 25.0, HERO))
    assert street.crowd.person(1).belief == Belief.first(STRANGER, STRANGER).faded(FRAME_S)


def test_the_hero_keeps_what_a_stranger_does_not_take_over(street):
    street.show((0.0, 0.0, HERO))
    street.show((40.0, 25.0, STRANGER))
    assert street.crowd.person(1).belief == Belief.first(HERO, HERO).faded(FRAME_S)


def test_a_hero_whose_track_holds_leaves_nothing_to_a_newcomer(street):
    for _ in range(10):
        street.show((0.0, 0.0, HERO))
    (newcomer,) = street.show((30.0, 0.0, 1.0))
    assert street.probability(1) > 0.9
    assert street.probability(newcomer.number) < 0.1


def test_somebody_refused_is_never_the_hero(street):
    for _ in range(5):
        street.show((0.0, 0.0, HERO))
    street.crowd = street.crowd.with_refused(1, True)
    for _ in range(20):
        street.show((0.0, 0.0, HERO))
    assert street.probability(1) == 0.0


@pytest.mark.parametrize("pace", [1, 2, 3, 5])
def test_the_pace_of_the_world_is_learned_from_how_fast_people_walk(street, pace):
    rng, lost = np.random.default_rng(0), 0
    for frame in range(60):
        x = 1.4 * pace * FRAME_S * frame
        noise = rng.normal(scale=0.05, size=4)
        one, other = street.show((x + noise[0], noise[1], HERO), (-x + noise[2], 5 + noise[3], STRANGER))
        lost += (one.number, other.number) != (1, 2)
    assert lost == 0
    assert street.crowd.pace == pytest.approx(max(1.0, 1.4 * pace / 2.0), rel=0.15)


@pytest.mark.parametrize(
    ("course", "evidence"),
    [((-1.0, 0.0), HERO), ((0.0, 1.0), HERO), ((0.0, 0.0), HERO), ((0.0, 1.0), STRANGER), ((0.0, 0.0), STRANGER)],
    ids=["back", "aside", "stops", "a stranger aside", "a stranger stops"],
)
def test_somebody_who_turns_in_a_fast_world_is_still_the_same(street, evidence, course):
    """Walking 1.4 m/s in a world of three times the pace; seen nearby, so that each place is known well."""
    frame_m = 3 * 1.4 * FRAME_S
    for frame in range(15):
        street.show((frame * frame_m, 0.0, evidence), std_m=0.05)
    for frame in range(1, 6):
        x, y = (14 + course[0] * frame) * frame_m, course[1] * frame * frame_m
        (person,) = street.show((x, y, evidence), std_m=0.05)
        assert person.number == 1, frame
        assert np.hypot(person.track.position_m[0] - x, person.track.position_m[1] - y) < 0.25, frame


def test_somebody_who_turns_back_is_at_once_taken_to_walk_back(street):
    for frame in range(15):
        street.show((0.28 * frame, 0.0, HERO), std_m=0.05)
    (person,) = street.show((0.28 * 13, 0.0, HERO), std_m=0.05)
    assert person.number == 1
    assert person.track.velocity_mps[0] < -1.0


def test_standing_people_and_a_walking_one_are_a_world_at_its_usual_pace(street):
    rng = np.random.default_rng(0)
    for frame in range(60):
        street.show(*((8.0 * n + rng.normal(scale=0.1), 0.0, STRANGER) for n in range(5)), (0.3 * frame, 9.0, HERO))
    assert street.crowd.pace == pytest.approx(1.0, abs=0.05)


def test_a_crowd_is_bounded(street):
    for frame in range(6):
        street.show(*((3.0 * n, 50.0 * frame, STRANGER) for n in range(60)))
    numbers = [person.number for person in street.crowd.people]
    assert len(numbers) == 200
    assert numbers == sorted(numbers)
    assert numbers[20:] == list(range(181, 361)), "those of the latest three frames"


def test_each_update_gives_a_new_value_and_leaves_the_old_one(street):
    street.show((0.0, 0.0, HERO))
    before = street.crowd
    street.show((0.1, 0.0, HERO))
    assert before.people[0].sightings == 1
    assert street.crowd.people[0].sightings == 2


@pytest.mark.parametrize(("lost_frames", "number"), [(2, 1), (3, 2)])
def test_who_was_not_seen_in_two_frames_may_be_where_hardly_expected(street, lost_frames, number):
    for _ in range(5):
        street.show((0.0, 0.0, HERO))
    for _ in range(lost_frames):
        street.show()
    (person,) = street.show((2.0, 0.0, 0.0))
    assert person.number == number


def test_after_a_longer_one_somebody_nearby_is_as_likely_a_newcomer(street):
    for _ in range(20):
        street.show((0.0, 0.0, STRANGER))
    (person,) = street.show((3.0, 0.0, 0.0), after_s=8.0)
    assert person.number == 2


def test_a_hero_out_of_view_is_not_confused_with_a_stranger_who_comes_by(street):
    for frame in range(20):
        street.show((0.25 * frame, 0.0, HERO))
    for _ in range(8):
        street.show()
    (person,) = street.show((7.5, 1.0, -2.0))
    assert person.number == 2
    assert street.probability(1) > 0.9


# --- lookalikes

LOOKALIKE = (5.0, -4.0)


def test_a_lookalike_is_met_once_however_long_they_are_in_view(street):
    for _ in range(30):
        street.show((0.0, 0.0, *LOOKALIKE), (10.0, 0.0, STRANGER))
    assert street.crowd.lookalikes == 1
    for _ in range(30):
        street.show((0.0, 0.0, *LOOKALIKE), (10.0, 0.0, STRANGER), (20.0, 0.0, *LOOKALIKE))
    assert street.crowd.lookalikes == 2


def test_the_hero_is_followed_from_afar_until_a_lookalike_was_met(street):
    far = (40.0, 0.0, HERO, None)
    for _ in range(20):
        street.show(far)
    assert street.probability(1) > 0.9
    for _ in range(20):
        street.show(far, (0.0, 0.0, *LOOKALIKE))
    assert street.crowd.lookalikes == 1
    assert street.probability(1) < 0.5


def test_people_are_told_apart_by_the_first_look(street):
    # The hero goes past a lookalike: both together are like the hero in part, and not at a second look.
    for _ in range(20):
        street.show((0.0, 0.0, HERO), (1.0, 0.0, *LOOKALIKE))
    (both,) = street.show((0.5, 0.0, 3.0, -4.0))
    assert both.number == 1
