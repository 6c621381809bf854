"""A narrow network starts from its teacher's channels, and learns what the teacher says."""

import keras
import numpy as np
import pytest

from model import distilling
from model.distilling import Pupil, disagreement, load_teacher, narrowed, start_narrowed
from model.fpn import NARROW_FPN, Pyramid, Stage
from model.networks import NETWORKS, build
from model.recipes import TrainingConfig

WIDE = Pyramid((Stage(6, 1), Stage(8, 2)), channels=6)
NARROW = Pyramid((Stage(4, 1), Stage(5, 2)), channels=3)
IMAGES = np.random.default_rng(0).uniform(-1, 1, (4, 16, 16, 3)).astype(np.float32)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setitem(NETWORKS, "wide", WIDE)
    monkeypatch.setitem(NETWORKS, "narrow", NARROW)


def trained(name="wide", seed=1):
    """A network with weights as after a training: those of batch norm differ from channel to channel, too."""
    keras.utils.set_random_seed(seed)
    network = build(name, None)
    rng = np.random.default_rng(seed)
    network.set_weights([np.abs(each) + rng.uniform(0.1, 1, each.shape) for each in network.get_weights()])
    return network


def without_channels(network, kept):
    """Silence all channels of each layer but the first of them: `kept` says how many, by the layer's number."""
    for layer in network.layers:
        if not layer.name.endswith("_norm"):
            continue
        gamma, beta, mean, variance = layer.get_weights()
        silent = np.arange(len(gamma)) >= kept(layer.name)
        gamma[silent] = beta[silent] = mean[silent] = 0
        layer.set_weights([gamma, beta, mean, variance])
    return network


def test_a_network_as_wide_as_its_teacher_starts_as_the_teacher():
    teacher, pupil = trained(), build("wide", None)
    start_narrowed(pupil, teacher, IMAGES)
    np.testing.assert_allclose(pupil.predict_on_batch(IMAGES), teacher.predict_on_batch(IMAGES), atol=1e-5)


def test_channels_that_say_nothing_are_left_out():
    def kept(name):
        number = int(name[5]) - 1 if name.startswith("stage") else None
        return NARROW.channels if number is None else NARROW.stages[number].filters

    teacher = without_channels(trained(), kept)
    lateral = [teacher.get_layer(f"pyramid{number}_lateral") for number in (1, 2)]
    for layer in lateral:
        kernel, bias = layer.get_weights()
        kernel[..., NARROW.channels :], bias[NARROW.channels :] = 0, 0
        layer.set_weights([kernel, bias])
    pupil = build("narrow", None)
    start_narrowed(pupil, teacher, IMAGES)
    np.testing.assert_allclose(pupil.predict_on_batch(IMAGES), teacher.predict_on_batch(IMAGES), atol=1e-5)


@pytest.mark.parametrize(
    "narrow",
    [
        Pyramid((Stage(7, 1), Stage(5, 2)), channels=3),
        Pyramid((Stage(4, 1), Stage(5, 2)), channels=7),
        Pyramid((Stage(4, 1), Stage(5, 1)), channels=3),
        Pyramid((Stage(4, 1),), channels=3),
    ],
    ids=["wider stage", "wider pyramid", "fewer blocks", "fewer stages"],
)
def test_other_stages_or_more_channels_are_refused(narrow):
    with pytest.raises(
        ValueError, match=r"no wider than its teacher \(channels × residual blocks 6 × 1, 8 × 2, and 6\)"
    ):
        narrowed(trained(), WIDE, narrow, IMAGES)


def test_an_fcn_that_learns_from_a_pyramid_keeps_its_random_weights():
    pupil = build("fcn1", None)
    before = pupil.get_weights()
    start_narrowed(pupil, trained(), IMAGES)
    assert all(np.array_equal(*pair) for pair in zip(before, pupil.get_weights(), strict=True))


def test_who_says_the_same_does_not_disagree():
    says = trained().predict_on_batch(IMAGES)
    np.testing.assert_allclose(disagreement(says, says, 4.0), np.zeros(len(IMAGES)), atol=1e-5)


def test_a_hero_whom_only_the_teacher_sees_costs_the_overlap_and_the_divergence():
    taught = np.zeros((1, 2, 2, 3), np.float32)
    taught[..., 2] = 1.0  # the hero in all four pixels
    found = np.full((1, 2, 2, 3), (0.5, 0.0, 0.5), np.float32)
    # Weight 4 of the hero's pixels × log(1 / 0.5), twice; both = 4 · 0.5, either = 4 · 0.25 + 4 · 1 − 2 = 3.
    expected = 2 * 4 * np.log(2) + 1 - (2 + 0.5) / (3 + 0.5)
    assert float(disagreement(taught, found, 4.0)[0]) == pytest.approx(expected, abs=1e-4)


def test_a_pupil_comes_closer_to_its_teacher_and_saves_only_its_own_weights(tmp_path):
    teacher = trained()
    teacher.trainable = False
    pupil = Pupil(build("narrow", None), teacher, hero_weight=4.0)
    start_narrowed(pupil, teacher, IMAGES)

    class Nothing(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return keras.ops.zeros(keras.ops.shape(y_pred)[0])

    pupil.compile(keras.optimizers.Adam(0.01), Nothing())
    masks = np.zeros(IMAGES.shape[:3], np.uint8)
    before, taught = teacher.get_weights(), teacher.predict_on_batch(IMAGES)
    losses = pupil.fit(IMAGES, masks, batch_size=4, epochs=15, verbose=0).history["loss"]
    assert losses[-1] < 0.8 * losses[0]
    assert all(np.array_equal(*pair) for pair in zip(before, teacher.get_weights(), strict=True))
    np.testing.assert_array_equal(teacher.predict_on_batch(IMAGES), taught)
    pupil.save_weights(tmp_path / "state.weights.h5")
    build("narrow", None).load_weights(tmp_path / "state.weights.h5")


def test_a_teacher_of_other_classes_or_of_another_kind_is_refused(tmp_path):
    build("fcn1", 16, classes=4).save(tmp_path / "four.keras")
    with pytest.raises(ValueError, match=r"a teacher of 3 classes in .*four.keras, one of fcn1.* got fcn1 with 4"):
        load_teacher(TrainingConfig(teacher=str(tmp_path / "four.keras")))
    build("fcn1", 16).save(tmp_path / "dog.keras")
    load_teacher(TrainingConfig(teacher=str(tmp_path / "dog.keras")))  # nothing says what its classes are
    (tmp_path / "dog.json").write_text('{"classes": ["surroundings", "dogs", "dog"]}')
    with pytest.raises(
        ValueError, match=r"classes surroundings, people, hero in .*dog.keras, got one of .*, dogs, dog"
    ):
        load_teacher(TrainingConfig(teacher=str(tmp_path / "dog.keras")))


def test_the_shipped_widths_fit_the_shipped_network():
    distilling._check_narrower(NETWORKS["fpn"], NARROW_FPN)
