"""Recordings are QuadSim's: the tool chain makes a training set of them whose masks are the truth."""

import numpy as np
import pytest
from PIL import Image

from model.dataset import list_pairs, read_pair
from model.preprocessing import nearest_layer
from model.scoring import HERO, PEOPLE, SURROUNDINGS
from server.wire.messages import Pose
from tools.preprocess_ims import main as preprocess
from tools.simulator.cameraman import Cameraman
from tools.simulator.quadsim import record_by_truth
from tools.simulator.recording import Recorder, depth_layers
from tools.simulator.scene import View
from tools.simulator.world import Observation, Truth, World


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A minute with many people around: the folder of the run, and what was true."""
    run = tmp_path_factory.mktemp("raw") / "train" / "run1"
    with World(3, 40) as world:
        cameraman = Cameraman(world.drone, np.random.default_rng(1))
        frames = list(record_by_truth(world, Recorder(run), cameraman, 90.0, 3.0))
    return run, frames


def test_the_masks_of_the_training_set_are_the_true_classes(recorded, tmp_path):
    run, frames = recorded
    assert preprocess(["--raw", str(run.parents[1]), "--out", str(tmp_path)]) == 0
    pairs = list_pairs(tmp_path / "train")
    assert len(pairs) == len(frames) == 30
    for (_, mask), frame in zip(pairs, frames, strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(mask)).argmax(axis=-1), frame.truth.classes)
    assert {value for frame in frames for value in np.unique(frame.truth.classes)} == {SURROUNDINGS, PEOPLE, HERO}
    image, _ = read_pair(*pairs[0], 256)
    assert np.abs(image.astype(int) - frames[0].view.rgb).mean() < 6.0  # of JPEG


def test_the_files_are_named_and_made_like_quadsims(recorded, shared_dir):
    run, _ = recorded
    golden = shared_dir / "golden" / "preprocess" / "raw_sim_data" / "train" / "run1"
    for camera in range(1, 5):
        name = f"IMG/cam{camera}_00000.png"
        with Image.open(run / name) as ours, Image.open(golden / name) as theirs:
            assert (ours.mode, ours.size, ours.format) == (theirs.mode, theirs.size, theirs.format)
    assert len(list((run / "IMG").iterdir())) == 4 * 30


def test_layers_are_grey_depth(recorded):
    run, frames = recorded
    for camera in (2, 3, 4):
        layer = np.asarray(Image.open(run / f"IMG/cam{camera}_00003.png"))
        assert (layer == layer[..., :1]).all()
        if camera == 4:
            is_ours = frames[3].truth.classes == SURROUNDINGS
            expected = np.minimum(np.rint(frames[3].view.depth_m[is_ours] * 2.55), 255)
            assert np.abs(layer[..., 0][is_ours] - expected).max() <= 1


def test_the_hero_is_recorded_near_and_far_and_not_at_all(recorded):
    _, frames = recorded
    hero_px = np.array([frame.truth.hero_px for frame in frames])
    assert (hero_px == 0).any()
    assert (hero_px > 3).mean() > 0.2
    assert hero_px.max() > 4 * np.median(hero_px[hero_px > 0])


def test_people_win_where_eight_bits_cannot_tell_them_from_what_is_behind():
    """Surroundings − 1 in wrapping uint8 must exceed the person: at least two steps behind, or 0, which wraps."""
    depth_m = np.array([[0.1, 0.5, 10.0, 50.0, 99.0, 99.9, 120.0]])
    for person_class in (PEOPLE, HERO):
        for behind_m in (depth_m, depth_m + 0.2, np.full_like(depth_m, np.inf), np.zeros_like(depth_m)):
            classes = np.full(depth_m.shape, person_class, np.uint8)
            people, hero, surroundings = depth_layers(_seen(depth_m, classes), behind_m)
            nearest = nearest_layer(surroundings, people, hero).argmax(axis=-1)
            np.testing.assert_array_equal(nearest, classes)


def test_surroundings_win_where_there_is_nobody_at_any_depth():
    depth_m = np.array([[0.0, 0.1, 0.5, 99.0, 100.0, np.inf]])
    layers = depth_layers(_seen(depth_m, np.zeros(depth_m.shape, np.uint8)), depth_m)
    people, hero, surroundings = layers
    assert (nearest_layer(surroundings, people, hero).argmax(axis=-1) == SURROUNDINGS).all()


def test_a_recording_is_not_written_over(recorded):
    with pytest.raises(FileExistsError, match="expected no recording in"):
        Recorder(recorded[0])


def _seen(depth_m, classes):
    rgb = np.zeros((*depth_m.shape, 3), np.uint8)
    view = View(rgb, depth_m, classes, np.full(classes.shape, 255, np.uint8), 0)
    nowhere = Pose(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    truth = Truth(0.0, np.zeros(3), np.zeros(3), np.zeros((0, 3)), 0, 1.0, classes)
    return Observation(0.0, view, nowhere, nowhere, truth)
