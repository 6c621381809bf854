"""The folders that an evaluation reads; `tests/tools/test_evaluate.py` tests the rest through the command."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model.evaluation import EXAM, VALIDATION, find_sets, truth_of
from model.scoring import EVALUATION_SETS, HERO


@pytest.fixture
def data(tmp_path):
    for name in (*(f"sample_evaluation_data/{name}" for name in EVALUATION_SETS), VALIDATION):
        for file in ("images/00001.jpeg", "masks/00001.png"):
            (tmp_path / name / file).parent.mkdir(parents=True)
            (tmp_path / name / file).touch()
    return tmp_path


def test_the_exams_sets_are_found_in_the_dataset_and_in_their_own_folder(data):
    exam = data / "sample_evaluation_data"
    assert find_sets(data, EXAM) == find_sets(exam) == {name: exam / name for name in EVALUATION_SETS}


def test_the_validation_set_is_in_the_dataset(data):
    assert find_sets(data, VALIDATION) == {VALIDATION: data / VALIDATION}


def test_a_set_that_does_not_pair_up_is_refused_before_the_work(data):
    mask = data / VALIDATION / "masks" / "00001.png"
    mask.rename(mask.with_name("00002.png"))
    with pytest.raises(ValueError, match=r"expected a mask of 00001\.jpeg next in .*, got 00002\.png"):
        find_sets(data, VALIDATION)


def test_a_mask_of_more_targets_than_the_network_has_is_refused_with_its_name():
    mask = np.full((8, 8, 3), (255, 0, 0), np.uint8)
    mask[2:4] = (255, 255, 0)
    assert truth_of(Image.fromarray(mask), Path("dog.png"), 8, HERO + 1, targets=2)[..., HERO].sum() == 16
    with pytest.raises(ValueError, match=r"expected exactly one class per pixel .* in dog\.png"):
        truth_of(Image.fromarray(mask), Path("dog.png"), 8)


@pytest.mark.parametrize("which", [EXAM, VALIDATION])
def test_a_missing_set_is_named(tmp_path, which):
    with pytest.raises(FileNotFoundError, match=f"expected the set .* in {tmp_path}, found no"):
        find_sets(tmp_path, which)
