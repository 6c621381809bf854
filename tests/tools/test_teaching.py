"""The parts of teaching: stages that are resumed, recordings that are held out, what the data lacks, the report."""

import json
import os
import re

import numpy as np
import pytest
from PIL import Image
from support.dataset import save_pair

from model.dataset import Recording
from model.pair_files import list_pairs
from model.profile import HERO_FILE, read_profile
from model.raw_recordings import Run
from model.recipes import TrainingConfig, preset_text
from model.run_folder import SETTINGS
from tools.simulator.targets import NAMES
from tools.teaching import course, flights, planning, recordings
from tools.teaching.course import Course
from tools.teaching.data_check import check_data, words
from tools.teaching.report import Results, write_report
from tools.teaching.stages import Stage, fingerprint, run_stages

DOG = read_profile(HERO_FILE.with_name("dog.toml"))

# --- stages


class Work:
    """Two stages in a folder: `first` copies `source`, `second` copies that. Notes what was done and how it began."""

    def __init__(self, folder):
        self.folder, self.done, self.fails_in = folder, [], None
        (folder / "source").write_text("one")

    def stage(self, name, source, output):
        def work(goes_on):
            self.done.append((name, goes_on))
            if self.fails_in == name:
                raise OSError("no space")
            (self.folder / output).write_text((self.folder / source).read_text())

        inputs = lambda: {"of": (fingerprint(self.folder / source),)}  # noqa: E731
        return Stage(name, f"make {output}", inputs, [self.folder / output], work)

    def run(self):
        stages = [self.stage("first", "source", "a"), self.stage("second", "a", "b")]
        self.done.clear()
        run_stages(stages, self.folder / "state.json")
        return self.done


@pytest.fixture
def work(tmp_path):
    return Work(tmp_path)


def test_stages_are_done_in_order_and_not_done_again(work, capsys):
    assert work.run() == [("first", False), ("second", False)]
    assert capsys.readouterr().out == "[1/2] first: make a\n[2/2] second: make b\n"
    assert work.run() == []
    assert capsys.readouterr().out == "[1/2] first: done before\n[2/2] second: done before\n"


def test_a_stage_that_was_interrupted_goes_on_and_those_before_it_are_not_done_again(work):
    work.fails_in = "second"
    with pytest.raises(OSError, match="no space"):
        work.run()
    work.fails_in = None
    assert work.run() == [("second", True)]
    assert work.run() == []


def test_what_has_changed_is_made_anew_with_all_that_depends_on_it(work):
    work.run()
    (work.folder / "source").write_text("another")
    assert work.run() == [("first", False), ("second", False)]
    assert (work.folder / "b").read_text() == "another"


def test_an_interrupted_stage_begins_anew_when_its_inputs_have_changed_since(work):
    work.fails_in = "first"
    with pytest.raises(OSError, match="no space"):
        work.run()
    work.fails_in = None
    (work.folder / "source").write_text("another")
    assert work.run()[0] == ("first", False)


def test_a_stage_whose_output_was_deleted_is_done_anew(work):
    work.run()
    (work.folder / "b").unlink()
    assert work.run() == [("second", False)]


@pytest.mark.parametrize("text", ["", "[]", '{"first": 1}', '{"first": {}}'])
def test_a_file_of_the_state_that_is_something_else_is_refused(work, text):
    (work.folder / "state.json").write_text(text)
    with pytest.raises(ValueError, match=r"expected the stages that are done in .*state\.json"):
        work.run()


def test_a_fingerprint_changes_with_names_sizes_and_places(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a").write_text("1")
    seen = {fingerprint(tmp_path)}
    (tmp_path / "folder" / "b").touch()
    seen.add(fingerprint(tmp_path))
    (tmp_path / "folder" / "b").write_text("22")
    seen.add(fingerprint(tmp_path))
    (tmp_path / "folder" / "b").rename(tmp_path / "b")
    seen.add(fingerprint(tmp_path))
    assert len(seen) == 4
    assert fingerprint(tmp_path) in seen


def test_a_fingerprint_stays_when_a_file_manager_has_looked_at_the_folder(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a").write_text("1")
    before = fingerprint(tmp_path)
    (tmp_path / ".DS_Store").touch()
    (tmp_path / "folder" / "Thumbs.db").touch()
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "__MACOSX" / "a").touch()
    assert fingerprint(tmp_path) == before


# --- recordings


class FakeRun(Run):
    """A recording with as many frames as its fold."""

    def frame_numbers(self):
        return [f"{number:05}" for number in range(self.fold)]


def runs_of(*splits, first=1):
    return [FakeRun(split, f"run{number}", number, None) for number, split in enumerate(splits, first)]


def test_whole_recordings_are_held_out_one_in_four():
    for count, held_out in ((3, [3]), (4, [4]), (7, [7]), (8, [4, 8]), (12, [4, 8, 12])):
        found = recordings.split_recordings(runs_of(*["train"] * count))
        assert [run.fold for run in found if run.split == "validation"] == held_out
        assert [run.fold for run in found] == list(range(1, count + 1))


def test_a_split_that_was_recorded_stays():
    given = runs_of("train", "validation", "train", "train")
    assert recordings.split_recordings(given) == given


def test_recordings_of_validation_alone_are_split_too():
    assert [run.split for run in recordings.split_recordings(runs_of(*["validation"] * 3))] == [
        *["train"] * 2,
        "validation",
    ]


def test_too_few_recordings_are_told_with_what_to_record():
    with pytest.raises(ValueError) as told:
        recordings.split_recordings(runs_of("train", "train", "train", first=0))  # the first has no frames
    assert str(told.value).startswith("expected at least 3 recordings with frames, got 2 (train/run1, train/run2): ")
    assert "Record 1 more" in str(told.value)


def test_the_stand_in_records_learns_and_flies_different_worlds():
    seeds = [*recordings.SEEDS["train"], *recordings.SEEDS["validation"], *flights.SEEDS]
    assert len(set(seeds)) == len(seeds)
    assert max(seeds) < 9000
    assert len(recordings.SEEDS["train"]) + len(recordings.SEEDS["validation"]) >= recordings.LEAST_RECORDINGS


@pytest.mark.parametrize("name", ["dog", "car", "person-in-blue"])
def test_shipped_profiles_are_of_targets_of_the_stand_in(name):
    assert read_profile(HERO_FILE.with_name(f"{name}.toml")).name in NAMES


# --- data


def recorded(name, use="train", frames=300, sizes=(), others_only=100):
    return Recording("data", name, use, frames, 0, others_only, np.array(sizes, int))


GOOD = [*[40] * 40, *[300] * 80, *[900] * 30]  # far, middle, near
RECORDINGS = [*(recorded(str(number), sizes=GOOD) for number in range(5)), recorded("5", "validation", sizes=GOOD)]
NAMED = {str(number): f"flight{number}" for number in range(6)}


def checked(*recordings, skipped=0):
    return check_data(recordings, NAMED, DOG, skipped)


def test_good_recordings_lack_nothing():
    check = checked(*RECORDINGS)
    assert (check.problems, check.advice) == ([], [])
    text = words(check, "dog").splitlines()
    assert text[0] == "to learn from: 5 recordings, 1500 frames, 750 of them with the dog"
    assert text[1] == "  flight0: 300 frames, 150 with the dog of 40 / 300 / 900 px, 100 with others only"
    assert text[6] == "held out: 1 recordings, 300 frames, 150 of them with the dog"
    assert text[-1] == "- Nothing is missing."


@pytest.mark.parametrize(
    ("change", "advice"),
    [
        (
            {"sizes": GOOD[::5], "frames": 150, "others_only": 50},
            "Only 150 frames to learn from show the dog; 300 are a good start. At a frame each 3 s, ",
        ),
        ({"sizes": [300] * 140 + [40] * 10}, "The dog is hardly ever near (over 600 pixels in 0% of its frames)"),
        ({"sizes": [300] * 140 + [900] * 10}, "The dog is hardly ever far away (under 100 pixels in 0%"),
        ({"sizes": GOOD * 2, "frames": 310}, "Nearly every frame shows the dog: record streets without it"),
        ({"sizes": GOOD, "frames": 2000, "others_only": 500}, "The dog is in view in only 7% of the frames"),
        ({"sizes": GOOD, "others_only": 3}, "Few frames show other dogs and people without the dog (1%)"),
    ],
)
def test_what_is_missing_is_told_in_words(change, advice):
    learning = [recorded(str(number), **change) for number in range(5)]
    check = checked(*learning, RECORDINGS[-1])
    assert check.problems == []
    assert [line for line in check.advice if line.startswith(advice)], check.advice
    assert len(check.advice) == 1


def test_few_recordings_few_held_out_frames_and_skipped_ones_are_told():
    check = checked(*RECORDINGS[:3], recorded("5", "validation", sizes=GOOD[::10]), skipped=7)
    assert [line.split(":")[0].split(" because")[0] for line in check.advice] == [
        "Only 15 held-out frames show the dog, so thresholds and scores are rough; 50 are enough",
        "4 recordings are few",
        "7 frames were left out",
    ]


def test_recordings_without_the_target_are_a_problem():
    check = checked(*RECORDINGS[:2], recorded("5", "validation"))
    assert len(check.problems) == 1
    assert check.problems[0].startswith("None of the held-out recordings (flight5) shows the dog. It must be in ")
    assert check.rows[-1]["px_50"] is None


# --- plan


@pytest.mark.parametrize(
    ("hours", "crop_px", "steps"), [(1.0, 192, 900), (0.1, 128, 240), (0.05, 96, 180), (1e-9, 96, 2)]
)
def test_the_training_fits_the_hours_and_a_short_one_has_smaller_crops(monkeypatch, tmp_path, hours, crop_px, steps):
    seconds = {192: 4.0, 128: 1.5, 96: 1.0}
    monkeypatch.setattr(planning, "step_s", lambda config, frames, clock: seconds[config.crop_px])
    monkeypatch.setattr(planning, "list_pairs", lambda folder: [])
    monkeypatch.setattr(planning, "frames_to_time", lambda config, pairs: None)
    monkeypatch.chdir(planning.START.parents[1])
    config = planning.plan_training(hours, tmp_path, HERO_FILE)
    assert (config.crop_px, config.epochs * config.steps) == (crop_px, steps)
    assert config.validate_every == config.epochs
    assert config.start == "weights/model_weights.keras"


def test_steps_are_timed_with_all_frames_if_a_part_of_them_lacks_the_target(tmp_path, monkeypatch):
    monkeypatch.setattr(planning, "TIMED_FRAMES", 4)
    image, person = np.full((64, 64, 3), 90, np.uint8), np.full((64, 64, 3), (255, 0, 0), np.uint8)
    person[10:20, 10:20] = (0, 255, 0)
    for number in range(8):
        mask = person.copy()
        if number == 1:  # not among every other one
            mask[30:50, 30:40] = (0, 0, 255)
        save_pair(tmp_path, f"run_{number:05}", image, mask)
    config, pairs = TrainingConfig(input_px=64, crop_px=64, batch=2), list_pairs(tmp_path / "train")
    assert len(planning.frames_to_time(config, pairs).images) == 8
    assert len(planning.frames_to_time(config, pairs[1:2] + pairs[:1] + pairs[2:5]).images) == 4


def test_a_start_in_another_folder_is_told_in_full(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert planning.short_path(planning.START) == str(planning.START)


def test_too_few_steps_are_told():
    few, enough = (planning.plan_advice(planning.with_steps(TrainingConfig(), steps)) for steps in (60, 200))
    assert few[0].startswith("Only 60 steps fitted into the time")
    assert enough == []


def test_the_average_is_over_the_last_tenth_of_the_steps():
    config = TrainingConfig()
    assert [planning.with_steps(config, steps).average for steps in (5, 100, 1000, 10_000)] == [0.0, 0.9, 0.99, 0.995]


# --- training


@pytest.mark.parametrize(
    ("goes_on", "was_begun", "resumes"), [(True, True, True), (True, False, False), (False, True, False)]
)
def test_a_training_that_was_begun_goes_on_and_another_one_begins_in_an_empty_folder(
    monkeypatch, tmp_path, goes_on, was_begun, resumes
):
    begun = []

    def noted(config, folders, out, *, preset, resume):
        begun.append((config, folders, resume, (out / SETTINGS).exists()))

    monkeypatch.setattr(course, "run_training", noted)
    teaching = course.Course(HERO_FILE, None, 1.0, tmp_path / "out")
    teaching.run.mkdir(parents=True)
    (teaching.out / "plan.toml").write_text(preset_text(TrainingConfig(seed=7)))
    if was_begun:
        (teaching.run / SETTINGS).write_text("{}")
    (train,) = (stage for stage in teaching.stages() if stage.name == "train")
    train.work(goes_on)
    assert begun == [(TrainingConfig(seed=7), [teaching.data], resumes, resumes)]


# --- report

SCORE = {"px": 256, "ms_per_frame": 21.0, "frames": 400, "quality": 0.61, "hero_iou": 0.7, "tp": 90, "fp": 4, "fn": 10}
COMPARED = {"frames": 400, "agreement": 0.995, "f32": {"quality": 0.61}, "int8": {"quality": 0.6}}
INT8 = {"bytes": 1_512_345, "validation": COMPARED}
FLIGHT = {"acquired": 1, "episodes": 1, "acquire_s": 2.5, "on_target": 0.93, "losses": 1, "wrong_person": 0.01,
          "error_m": 0.4}  # fmt: skip
FLOWN = {"together": FLIGHT, "flights": [{"seed": 700, **FLIGHT, "acquire_s": None}]}


@pytest.fixture
def results(tmp_path):
    for name in ("samples.png", "loss.png", "misses.jpeg", "false_alarms.jpeg", "masks.jpeg", "recall_by_size.png",
                 "reliability.png", "flights.png"):  # fmt: skip
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    check = checked(*RECORDINGS)._asdict()
    calibration = {"log_loss": 0.2, "without": 0.6, "warning": "few examples: 7 heroes"}
    return Results(DOG, TrainingConfig(start="weights/model_weights.keras"), "server/follower.py w<1>", tmp_path,
                   tmp_path, check, calibration, INT8, SCORE, FLOWN)  # fmt: skip


def written(results, tmp_path):
    write_report(results, tmp_path / "report.html")
    return (tmp_path / "report.html").read_text()


def test_the_report_tells_what_was_found_and_has_its_pictures_inside(results, tmp_path):
    page = written(results, tmp_path)
    assert "it found the dog in 90 of 100 frames that show it, and saw one in 4 of the other 300" in page
    assert "<td>flight5</td><td>held out</td><td>300</td><td>150</td><td>100</td><td>40</td>" in page
    assert "Nothing is missing." in page
    assert "1.51 MB, under the 2 MB aimed at. It agrees with float32 in 99.5% of 400 frames" in page
    assert "1 of 1 times found, then 93.0% of the time on target, 1.00% of all time on another" in page
    assert "<td>seed 700</td><td>1</td><td>–</td><td>93.0%</td><td>1</td><td>1.00%</td><td>0.40 m</td>" in page
    assert "<li>Few examples: 7 heroes.</li>" in page
    assert page.count('src="data:image/') == 8
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    assert "w&lt;1&gt;" in page


def test_the_report_tells_what_could_not_be_done(results, tmp_path):
    results = results._replace(
        calibration={"why_not": "expected examples of <them>"},
        int8=INT8 | {"bytes": None},
        flights={"why_not": "the stand-in has no horse"},
    )
    page = written(results, tmp_path)
    assert "Not calibrated, usual values are used: expected examples of &lt;them&gt;." in page
    assert "that is too little, so the network is served without int8" in page
    assert page.count("Not flown: the stand-in has no horse.") == 2
    assert page.count('src="data:image/') == 6


def test_the_figures_of_flights_are_ready_for_json(tmp_path):
    frames = 20
    lost = flights.Flight(0.2, np.zeros((frames, 2)), np.zeros((frames, 1, 2)), np.zeros(frames, int),
                          np.full((frames, 2), np.nan), np.zeros((frames, 2), bool), ((),) * frames)  # fmt: skip
    found = flights.describe([lost] * len(flights.SEEDS))
    assert [each["seed"] for each in found["flights"]] == list(flights.SEEDS)
    assert found["together"]["on_target"] is None
    json.dumps(found, allow_nan=False)
    flights.draw_errors([lost] * len(flights.SEEDS), "dog", tmp_path / "flights.png")
    with Image.open(tmp_path / "flights.png") as picture:
        assert picture.width > picture.height


# --- what is refused


def test_a_target_that_the_stand_in_lacks_is_refused(tmp_path):
    profile = tmp_path / "horse.toml"
    profile.write_text(HERO_FILE.read_text().replace('"hero"', '"horse"'))
    with pytest.raises(ValueError, match=r"expected a profile of a target of the stand-in, hero, dog, .* got horse"):
        Course(profile, None, 1.0, tmp_path / "out")


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "data").mkdir()
    with pytest.raises(ValueError, match="expected a new or empty folder, or that of an earlier run, got other files"):
        Course(HERO_FILE, None, 1.0, tmp_path)


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "out").touch()
    with pytest.raises(ValueError, match="expected a folder for everything that is made, got the file"):
        Course(HERO_FILE, None, 1.0, tmp_path / "out")


@pytest.mark.parametrize("run", ["0_a", "0_a_mask_b"])
def test_corrected_masks_are_not_thrown_away_when_the_dataset_has_to_be_made_anew(tmp_path, run):
    image, mask = (
        tmp_path / "train" / kind for kind in (f"images/{run}_cam1_00001.jpeg", f"masks/{run}_mask_00001.png")
    )
    for file, modified_s in ((image, 2000), (mask, 1000)):
        file.parent.mkdir(parents=True)
        file.touch()
        os.utime(file, (modified_s, modified_s))
    recordings.refuse_corrected(tmp_path)
    recordings.refuse_corrected(tmp_path / "none yet")
    os.utime(mask, (3000, 3000))
    with pytest.raises(ValueError, match=rf"got 1 corrected ones, such as .*{run}_mask_00001\.png: move that folder"):
        recordings.refuse_corrected(tmp_path)


def test_recordings_among_what_is_made_are_refused(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "state.json").write_text("{}")
    with pytest.raises(ValueError, match="expected recordings outside of"):
        Course(HERO_FILE, tmp_path / "data", 1.0, tmp_path)


def test_a_folder_for_what_is_made_among_the_recordings_is_refused(tmp_path):
    (tmp_path / "raw" / "train").mkdir(parents=True)
    with pytest.raises(ValueError, match="expected --out outside of the recordings in"):
        Course(HERO_FILE, tmp_path / "raw", 1.0, tmp_path / "raw" / "out")


def test_a_profile_that_cannot_be_read_is_refused_first(tmp_path):
    (tmp_path / "raw").mkdir()
    with pytest.raises(FileNotFoundError):
        Course(tmp_path / "nope.toml", tmp_path / "raw", 1.0, tmp_path / "out")
