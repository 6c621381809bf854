"""The fit on made-up examples whose weights are known."""

import math
from functools import partial

import numpy as np
import pytest

from model import calibration
from model.calibration import (
    FAR_SHARE_NOT_DOUBTED,
    LARGEST,
    LEAST_HEROES,
    NEAR_SHARE_NOT_DOUBTED,
    Example,
    OneSidedError,
    Reliability,
    fit_doubt,
    log_loss,
    reliability,
)
from model.evidence import LOOKALIKE_SHARE, Doubt, Evidence, Looks, among_lookalikes

FROM_PX = 100.0  # least area worth a second look
fit, held_out = partial(calibration.fit, from_px=FROM_PX), partial(calibration.held_out, from_px=FROM_PX)

# Weights of the hero's log odds: constant, mean margin, strongest margin, size, brightness, margin · brightness.
KNOWN = (-1.0, 0.6, 0.3, 0.4, -0.5, 0.2)


def examples(count: int, seed: int = 0, weights=KNOWN, recordings: int = 8) -> list[Example]:
    """Examples of people whose chance to be the hero follows from their looks."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(count):
        mean = float(rng.normal(0, 2.5))
        looks = Looks(mean, mean + float(rng.exponential(2)), float(rng.uniform(6, 900)), float(rng.uniform(5, 220)))
        odds = sum(weight * term for weight, term in zip(weights, looks.terms(), strict=False))
        made.append(Example(f"r{number % recordings}", looks, bool(rng.random() < 1 / (1 + math.exp(-odds)))))
    return made


def test_the_fit_recovers_known_weights():
    known = examples(20_000)
    fitted = fit(known).first
    names = ["mean_margin", "strongest_margin", "log_area", "log_brightness", "mean_margin_by_log_brightness"]
    assert [getattr(fitted, name) for name in names] == pytest.approx(KNOWN[1:], abs=0.08)
    assert fitted.largest == LARGEST
    # The constant is that of log odds, less the log odds of the examples themselves.
    heroes = sum(example.is_hero for example in known)
    assert fitted.constant == pytest.approx(KNOWN[0] - math.log(heroes / (len(known) - heroes)), abs=0.15)


def test_how_many_heroes_are_among_the_examples_changes_nothing():
    """A log-likelihood ratio does not depend on how frequent heroes are."""
    known = examples(30_000)
    fewer = [example for number, example in enumerate(known) if not example.is_hero or number % 5 == 0]
    looks = [Looks(margin, margin + 2, 100.0, 90.0) for margin in (-3.0, 0.0, 3.0)]
    ratios, others = ([weights.of(each) for each in looks] for weights in (fit(known), fit(fewer)))
    assert others == pytest.approx(ratios, abs=0.2)


def test_what_says_nothing_has_no_weight():
    rng = np.random.default_rng(1)
    silent = [example._replace(is_hero=bool(rng.random() < 0.2)) for example in examples(5000)]
    fitted = fit(silent)
    for looks in (Looks(3.0, 5.0, 100.0, 90.0), Looks(-3.0, -1.0, 20.0, 30.0)):
        assert abs(fitted.of(looks)) < 0.4


def test_what_is_the_same_for_all_has_no_weight():
    alike = [example._replace(looks=example.looks._replace(area_px=300.0)) for example in examples(5000)]
    fitted = fit(alike).first
    assert fitted.log_area == 0.0
    assert fitted.mean_margin == pytest.approx(KNOWN[1], abs=0.15)


def test_few_examples_that_can_be_told_apart_give_finite_weights():
    clear = [Example("r", Looks(margin, margin, 60.0, 60.0), margin > 0) for margin in (-4.0, -3.0, 3.0, 4.0)]
    fitted = fit(clear)
    assert fitted.of(clear[0].looks) < 0 < fitted.of(clear[-1].looks)


def test_the_fit_is_that_of_its_inputs_alone():
    assert fit(examples(500)) == fit(examples(500))


@pytest.mark.parametrize("is_hero", [None, True, False])
def test_without_the_hero_or_without_others_there_is_no_fit(is_hero):
    known = [] if is_hero is None else [example._replace(is_hero=is_hero) for example in examples(10)]
    count = sum(example.is_hero for example in known)
    complaint = f"expected examples of the hero and of others, got {count} of {len(known)} of the hero"
    with pytest.raises(ValueError, match=complaint):
        fit(known)


# --- after a second look


def looked_at_again(count: int, area_px: float = 300.0) -> list[Example]:
    """Examples of people who look alike to the network; only the second look tells which of them are the hero."""
    rng = np.random.default_rng(3)
    made = []
    for number in range(count):
        is_hero = number % 4 == 0
        likeness = float(rng.normal(2.0 if is_hero else -2.0, 2.0))
        made.append(Example("r", Looks(3.0, 3.0, area_px, 60.0, likeness), is_hero))
    return made


def test_the_second_look_is_worth_what_it_tells():
    fitted = fit(looked_at_again(20_000))
    assert fitted.second is not None
    # Two normal distributions of the same spread: log-likelihood ratio 2 · 2 · likeness / 2².
    for likeness in (-3.0, -1.0, 0.0, 1.0, 3.0):
        assert fitted.second.of(Looks(3.0, 3.0, 300.0, 60.0, likeness)) == pytest.approx(likeness, abs=0.2)


def test_the_second_look_takes_away_from_the_first_and_adds_nothing():
    people = [*looked_at_again(4000), *(Example("r", Looks(-3.0, -3.0, 300.0, 60.0), False) for _ in range(4000))]
    fitted = fit(people)
    assert fitted.second is not None
    looks = Looks(2.5, 3.0, 300.0, 60.0)
    first = fitted.first.of(looks)
    assert first > 0
    assert fitted.of(looks._replace(likeness=9.0)) == pytest.approx(first, abs=0.06)
    assert fitted.of(looks._replace(likeness=-9.0)) < 0
    for likeness in (-3.0, 0.0, 3.0):
        second = fitted.second.of(looks._replace(likeness=likeness))
        assert (
            fitted.of(looks._replace(likeness=likeness))
            == among_lookalikes(first, second, LOOKALIKE_SHARE)
            < first + 0.06
        )


def test_lookalikes_change_the_second_look_only():
    usual, similar = examples(2000), looked_at_again(2000)
    assert fit(usual, similar).first == fit(usual).first
    assert fit(usual).second is None
    assert fit(usual, similar).second is not None


def test_of_anybody_too_small_or_unlike_the_hero_the_second_look_says_nothing():
    fitted = fit(looked_at_again(2000))
    for looks in (Looks(3.0, 3.0, 99.0, 60.0), Looks(2.9, 2.9, 300.0, 60.0)):
        assert fitted.of(looks._replace(likeness=-9.0)) == fitted.of(looks)


def test_without_a_second_look_there_is_one_fit():
    assert fit(examples(500)).second is None


# --- on recordings that were left out


def test_evidence_is_held_out_by_whole_recordings():
    known = examples(400, recordings=8)
    evidence = held_out(known)
    assert evidence.shape == (400,)
    # Every fourth recording in order of their names is a fold.
    for fold in range(4):
        left_out = {f"r{fold}", f"r{fold + 4}"}
        fitted = fit([example for example in known if example.recording not in left_out])
        for example, said in zip(known, evidence, strict=True):
            if example.recording in left_out:
                assert said == fitted.of(example.looks)


def test_where_one_recording_alone_shows_the_hero_frames_are_held_out():
    known = [
        each._replace(recording="shown" if each.is_hero else f"r{number % 3}")
        for number, each in enumerate(examples(400))
    ]
    truth = np.array([example.is_hero for example in known])
    assert log_loss(held_out(known), truth) < log_loss(np.zeros(len(truth)), truth)


def test_where_others_are_worth_a_second_look_in_one_recording_alone_frames_are_held_out():
    known = []
    for number, each in enumerate(looked_at_again(400)):
        recording = number // 4 % 8  # each shows the hero in a quarter of its frames
        is_worth = each.is_hero or recording == 3
        looks = each.looks if is_worth else each.looks._replace(strongest_margin=0.0, likeness=0.0)
        known.append(each._replace(recording=f"r{recording}", looks=looks))
    truth = np.array([example.is_hero for example in known])
    assert fit(known).second is not None
    assert log_loss(held_out(known), truth) < log_loss(np.zeros(len(truth)), truth)


def test_one_sided_examples_of_the_second_look_are_told_as_those():
    known = [*looked_at_again(40), *examples(40)]
    known = [each for each in known if each.is_hero or not each.looks.is_worth_second_look(FROM_PX)]
    with pytest.raises(OneSidedError, match="expected examples that are worth a second look of the hero and of others"):
        fit(known)


def test_misleading_recordings_give_held_out_evidence_at_chance_level():
    """In each recording, only the brightness tells the hero, but it is a different brightness in each recording."""
    rng = np.random.default_rng(2)
    learned_by_heart = []
    for number in range(8):
        hero_light, other_light = rng.permutation([20.0, 150.0]).tolist()
        for is_hero in [True, False] * 20:
            light = hero_light if is_hero else other_light
            learned_by_heart.append(Example(f"r{number}", Looks(0.0, 0.0, 60.0, light), is_hero))
    truth = np.array([example.is_hero for example in learned_by_heart])
    assert log_loss(held_out(learned_by_heart), truth) > log_loss(np.zeros(len(truth)), truth) - 0.05


def test_a_single_recording_is_judged_on_parts_that_the_fit_has_not_seen():
    rng = np.random.default_rng(3)
    noise = [Example("r0", Looks(*rng.normal(size=2), 60.0, 100.0), number % 2 == 0) for number in range(40)]
    truth = np.array([example.is_hero for example in noise])
    assert log_loss(held_out(noise), truth) > log_loss(np.zeros(len(truth)), truth), "noise tells nothing"
    known = examples(400, recordings=1)
    truth = np.array([example.is_hero for example in known])
    assert log_loss(held_out(known), truth) < log_loss(np.zeros(len(truth)), truth)


# --- reliability


def test_evidence_that_is_right_is_observed_as_said():
    known = examples(60_000)
    truth = np.array([example.is_hero for example in known])
    found = reliability(held_out(known), truth)
    enough = (found.heroes > 100) & (found.others > 100)
    assert enough.sum() >= 6
    np.testing.assert_allclose(found.observed[enough], found.evidence[enough], atol=0.3)
    assert found.heroes.sum() + found.others.sum() == len(known)


def test_evidence_that_is_too_sure_is_observed_as_less():
    known = examples(60_000)
    truth = np.array([example.is_hero for example in known])
    found = reliability(np.clip(3 * held_out(known), -LARGEST, LARGEST), truth)
    enough = (found.heroes > 100) & (found.others > 100)
    outer = enough & (np.abs(found.evidence) > 3)
    assert outer.sum() >= 2
    assert (np.abs(found.observed[outer]) < 0.7 * np.abs(found.evidence[outer])).all()


def test_classes_are_told_with_their_means_and_counts():
    # Three classes over −5 to 5: below −1.67, up to 1.67, above. The one in the middle is empty.
    found = reliability(np.array([-5.0, -3.0, 3.0, 5.0, 5.0]), np.array([False, False, True, True, False]), classes=3)
    assert isinstance(found, Reliability)
    assert found.evidence.tolist() == pytest.approx([-4.0, 13 / 3])
    assert (found.heroes.tolist(), found.others.tolist()) == ([0, 2], [2, 1])
    # Of 2 heroes both are above, of 3 others 1: log(1 / (1/3)). None of the heroes is below.
    assert found.observed.tolist() == pytest.approx([-math.inf, math.log(3)])


def test_the_log_loss_is_that_of_the_probabilities_with_heroes_as_frequent_as_among_the_examples():
    truth = np.array([True, False, False, False])
    # Without evidence each is the hero with 1/4.
    assert log_loss(np.zeros(4), truth) == pytest.approx(-(math.log(1 / 4) + 3 * math.log(3 / 4)) / 4)
    # Odds of 1/3 · e^ln 3 = 1 and of 1/9.
    said = np.array([math.log(3), -math.log(3), -math.log(3), -math.log(3)])
    assert log_loss(said, truth) == pytest.approx(-(math.log(1 / 2) + 3 * math.log(9 / 10)) / 4)


def test_right_evidence_has_less_loss_than_none_and_wrong_evidence_more():
    known = examples(2000)
    truth, said = np.array([example.is_hero for example in known]), held_out(known)
    assert log_loss(said, truth) < log_loss(np.zeros(len(truth)), truth) < log_loss(-said, truth)


def test_a_fit_can_be_kept_as_json_and_comes_back():
    fitted = fit(examples(500)).first
    assert Evidence(**{name: getattr(fitted, name) for name in Evidence.__dataclass_fields__}) == fitted
    assert all(value == round(value, 4) for value in vars(fitted).values())


# --- doubt


def heroes(area_px: float, doubts, distance_m: float = 20.0) -> list[Example]:
    """Heroes for whom the evidence speaks."""
    return [Example("r", Looks(5.0, 5.0, area_px, 60.0, sureness=1.0 - doubt), True, distance_m) for doubt in doubts]


def test_few_heroes_are_doubted():
    near, far = np.linspace(0.0, 0.1, 101), np.linspace(0.0, 0.2, 101)
    others = [example._replace(is_hero=False) for example in heroes(300.0, [0.9] * 500)]
    unlike = [Example("r", Looks(-5.0, -5.0, 300.0, 60.0, sureness=0.0), True)] * 500
    doubt = fit_doubt([*heroes(300.0, near), *heroes(50.0, far), *others, *unlike], Evidence())
    assert doubt == Doubt(
        near=round(0.1 * NEAR_SHARE_NOT_DOUBTED, 4), per_m=round(0.2 * FAR_SHARE_NOT_DOUBTED / 20.0, 5)
    )


@pytest.mark.parametrize(("area_px", "default"), [(300.0, "per_m"), (50.0, "near")])
def test_with_too_few_heroes_near_or_far_that_doubt_is_the_default(area_px, default):
    few = heroes(350.0 - area_px, [0.5] * (LEAST_HEROES - 1))
    doubt = fit_doubt([*few, *heroes(area_px, [0.03] * LEAST_HEROES)], Evidence())
    fitted = {"near": 0.03, "per_m": 0.0015}
    assert doubt == Doubt(**{name: value for name, value in fitted.items() if name != default})


@pytest.mark.parametrize(("heroes", "others", "is_few"), [(60, 60, False), (59, 1000, True), (1000, 59, True)])
def test_few_examples_of_either_kind_are_told(heroes, others, is_few):
    truth = np.repeat([True, False], [heroes, others])
    assert (reliability(np.zeros(heroes + others), truth).warning is not None) is is_few
