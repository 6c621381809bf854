"""Raw recordings to a training set: as the original did it, also if files are missing or broken, or runs are killed."""

import io
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.full_disk import files_of_at_most

from model.coco import annotations_of
from model.dataset import list_pairs, read_pair, read_set
from model.scoring import HERO, PEOPLE, SURROUNDINGS
from tools import take_corrections
from tools.preprocess_ims import main
from tools.simulator.server_process import REPOSITORY

APPLE_DOUBLE = b"\x00\x05\x16\x07" + bytes(22)


def png(array):
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return file.getvalue()


def depth(grey=255, nearer=0, nearer_px=0):
    """(256, 256, 3) of one grey, except for its first pixels."""
    flat = np.full(256 * 256, grey, np.uint8)
    flat[:nearer_px] = nearer
    return np.repeat(flat, 3).reshape(256, 256, 3)


def record(raw, run, numbers, *, hero_px=100, people_px=300, red=200):
    """Record frames as QuadSim does: hero before people before surroundings, each from the first pixel on."""
    cameras = (depth(red), depth(255, 80, people_px), depth(255, 60, hero_px), depth(120))
    folder = raw / run / "IMG"
    folder.mkdir(parents=True, exist_ok=True)
    for camera, array in enumerate(cameras, start=1):
        data = png(array)
        for number in numbers:
            (folder / f"cam{camera}_{number:05}.png").write_bytes(data)


@pytest.fixture
def raw(tmp_path):
    """Three frames to train, two to validate on."""
    record(tmp_path / "raw", "train/run1", range(3))
    record(tmp_path / "raw", "validation/run2", range(2))
    return tmp_path / "raw"


@pytest.fixture
def out(tmp_path):
    return tmp_path / "set"


def preprocess(raw, out):
    return main(["--raw", str(raw), "--out", str(out)])


def files(folder):
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


def contents(folder):
    """Name, bytes and time of every file."""
    return {file: ((folder / file).read_bytes(), (folder / file).stat().st_mtime_ns) for file in files(folder)}


def frame_numbers(folder):
    """The numbers of the pairs of a split, which must read as pairs."""
    return [image.stem[-5:] for image, _ in list_pairs(folder)]


# --- the same as the original


@pytest.fixture
def golden(shared_dir):
    return shared_dir / "golden" / "preprocess"


def test_the_originals_set_comes_out_of_its_recording(golden, out):
    assert preprocess(golden / "raw_sim_data", out) == 0
    expected = golden / "processed_sim_data"
    assert files(out) == files(expected)
    assert len(files(out)) == 10
    for name in files(out):
        made, original = (np.asarray(Image.open(folder / name)) for folder in (out, expected))
        # Masks to the pixel; JPEG encoders may round otherwise than the one at hand, which gives the same bytes.
        tolerance = 0 if name.endswith(".png") else 4
        assert np.abs(made.astype(int) - original).max() <= tolerance, name


def test_the_golden_set_reads_as_a_training_set(golden, out):
    preprocess(golden / "raw_sim_data", out)
    train = read_set(out / "train", 256)
    assert train.images.shape == (3, 256, 256, 3)
    assert train.shows_hero().all()


def test_each_camera_is_taken_for_its_own_layer(raw, out):
    preprocess(raw, out)
    image, mask = read_pair(*list_pairs(out / "train")[0], px=256)
    # 100 pixels of the hero, in front of 300 of people: 200 remain theirs.
    assert np.bincount(mask.ravel()).tolist() == [256 * 256 - 300, 200, 100]
    assert mask.ravel()[[0, 99, 100, 299, 300]].tolist() == [HERO, HERO, PEOPLE, PEOPLE, SURROUNDINGS]
    assert np.abs(image.astype(int) - 200).max() <= 2


def test_recordings_with_an_alpha_channel_come_out_the_same(raw, out, tmp_path):
    preprocess(raw, out)
    for file in raw.rglob("*.png"):
        Image.open(file).convert("RGBA").save(file)
    assert preprocess(raw, tmp_path / "other") == 0
    assert files(tmp_path / "other") == files(out)
    for name in files(out):
        assert (tmp_path / "other" / name).read_bytes() == (out / name).read_bytes()


def test_folds_count_the_runs_by_name_train_first_and_those_without_frames_too(tmp_path, out, capsys):
    raw = tmp_path / "raw"
    for run in ("validation/a", "train/run2", "train/run10"):
        record(raw, run, [7])
    (raw / "train" / "run1" / "IMG").mkdir(parents=True)
    (raw / "validation" / "Z").mkdir()  # chosen in QuadSim, but not recorded to yet
    assert preprocess(raw, out) == 0
    assert files(out) == [
        "train/images/1_run10_cam1_00007.jpeg",
        "train/images/2_run2_cam1_00007.jpeg",
        "train/masks/1_run10_mask_00007.png",
        "train/masks/2_run2_mask_00007.png",
        "validation/images/4_a_cam1_00007.jpeg",
        "validation/masks/4_a_mask_00007.png",
    ]
    assert "train/run1: no frames yet\nvalidation/Z: no frames yet\n" in capsys.readouterr().out


def test_gaps_in_the_numbers_remain(tmp_path, out):
    record(tmp_path / "raw", "train/run1", [0, 3, 4, 250, 99999, 100000])
    assert preprocess(tmp_path / "raw", out) == 0
    names = [mask.name for _, mask in list_pairs(out / "train")]
    assert [name.removesuffix(".png").rpartition("_")[2] for name in names] == [
        "00000",
        "00003",
        "00004",
        "00250",
        "100000",  # sorted as text, as its image is
        "99999",
    ]


# --- what is told


def test_the_summary_tells_what_each_split_holds_and_what_to_do_with_it(tmp_path, out, capsys):
    raw = tmp_path / "raw"
    record(raw, "train/near", [0], hero_px=200)
    record(raw, "train/far", [0, 1], hero_px=100, people_px=0)
    record(raw, "train/none", [0], hero_px=0)
    record(raw, "validation/none", [0, 1], hero_px=0, people_px=0)
    assert preprocess(raw, out) == 0
    # Heroes of 100, 100 and 200 px: the median is the second, the 75th percentile half way from it to the third, …
    assert capsys.readouterr().out == (
        "pairs made: 6, already there: 0, frames skipped: 0\n"
        "train: 4 frames\n"
        "  3 with the hero (75%), 2 with other people\n"
        "  hero of 100 / 100 / 100 / 150 / 190 px (percentiles 5 / 25 / 50 / 75 / 95)\n"
        "  frames by recording: 0_far 2, 1_near 1, 2_none 1\n"
        "validation: 2 frames\n"
        "  0 with the hero (0%), 0 with other people\n"
        "  frames by recording: 3_none 2\n"
        f"Next: .venv/bin/python tools/train.py --data {out} --out runs/new\n"
    )


def test_without_a_validation_run_the_next_step_is_to_record_one(tmp_path, out, capsys):
    record(tmp_path / "raw", "train/run1", [0])
    assert preprocess(tmp_path / "raw", out) == 0
    output = capsys.readouterr().out
    assert "validation: no frames\nNext: record runs for validation as well; training needs both splits\n" in output


def test_the_log_of_a_run_in_the_background_holds_no_progress_bar(raw, out, capsys):
    assert preprocess(raw, out) == 0
    assert capsys.readouterr().err == ""


def test_neither_keras_nor_tensorflow_is_imported():
    program = "import sys, tools.preprocess_ims; sys.exit('keras' in sys.modules or 'tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY).returncode == 0


def test_the_folders_are_the_originals_by_default(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    record(Path("data/raw_sim_data"), "train/run1", [0])
    assert main([]) == 0
    assert len(files(Path("data/processed_sim_data"))) == 2


def test_the_hero_of_a_recording_may_be_a_further_target_with_a_colour_of_its_own(raw, out, capsys):
    preprocess(raw, out)
    assert main(["--raw", str(raw), "--out", str(out), "--colour", "yellow"]) == 0
    told = capsys.readouterr().out
    assert "pairs made: 5, already there: 0" in told, "all anew, for the colour was another"
    assert told.endswith("Next: train a network of several targets; docs/targets.md says how\n")
    assert "3 with the hero (100%)" in told
    _, mask = read_pair(*list_pairs(out / "train")[0], px=256, targets=2)
    assert np.bincount(mask.ravel()).tolist() == [256 * 256 - 300, 200, 0, 100]
    assert main(["--raw", str(raw), "--out", str(out), "--colour", "yellow"]) == 0
    assert "pairs made: 0, already there: 5" in capsys.readouterr().out


# --- run twice


def test_a_second_run_makes_nothing_and_changes_nothing(raw, out, capsys):
    preprocess(raw, out)
    before = contents(out)
    capsys.readouterr()
    assert preprocess(raw, out) == 0
    assert contents(out) == before
    assert capsys.readouterr().out.startswith("pairs made: 0, already there: 5, frames skipped: 0\n")


def test_frames_that_came_since_are_added(raw, out, capsys):
    preprocess(raw, out)
    before = contents(out)
    record(raw, "train/run1", [3, 4])
    assert preprocess(raw, out) == 0
    assert before.items() <= contents(out).items()
    assert frame_numbers(out / "train") == ["00000", "00001", "00002", "00003", "00004"]
    assert "pairs made: 2, already there: 5" in capsys.readouterr().out


@pytest.mark.parametrize("age_s", [-100, 100])
def test_a_frame_recorded_anew_is_made_anew_though_its_files_bear_an_older_time(raw, out, capsys, age_s):
    preprocess(raw, out)
    before = contents(out)
    record(raw, "train/run1", [1], red=50, hero_px=0)
    recorded_s = time.time() - age_s
    for file in (raw / "train" / "run1" / "IMG").glob("*_00001.png"):
        os.utime(file, (recorded_s, recorded_s))
    assert preprocess(raw, out) == 0
    assert "pairs made: 1, already there: 4" in capsys.readouterr().out
    image, mask = read_pair(*list_pairs(out / "train")[1], px=256)
    assert np.abs(image.astype(int) - 50).max() <= 2
    assert not (mask == HERO).any()
    changed = {name for name, content in contents(out).items() if before[name] != content}
    assert changed == {"train/images/0_run1_cam1_00001.jpeg", "train/masks/0_run1_mask_00001.png"}


def test_a_mask_that_was_corrected_is_kept_and_named(raw, out, tmp_path, capsys):
    preprocess(raw, out)
    nobody, file = np.full((256, 256), SURROUNDINGS), tmp_path / "corrections.json"
    file.write_bytes(annotations_of([("0_run1_cam1_00001.jpeg", nobody)], as_polygons=False))
    assert take_corrections.main([str(out / "train"), str(file)]) == 0
    mask = out / "train" / "masks" / "0_run1_mask_00001.png"
    before = mask.read_bytes()
    for colour in ("blue", "yellow"):
        capsys.readouterr()
        assert main(["--raw", str(raw), "--out", str(out), "--colour", colour]) == 0
        told, errors = capsys.readouterr()
        assert errors.startswith(f"kept {mask}: it was changed after it was made; delete it to have it made anew\n")
        assert ", of them with changed masks that were kept: 1, frames skipped: 0" in told
        assert mask.read_bytes() == before
    mask.unlink()
    preprocess(raw, out)
    assert mask.read_bytes() != before


def test_pairs_of_other_runs_stay_as_they_are(raw, out, tmp_path):
    record(tmp_path / "other", "train/elsewhere", [0, 1])
    preprocess(tmp_path / "other", out)
    for kind, names in (("images", "10_run1cam1_00003.jpeg"), ("masks", "10_run1_mask_00003.png")):
        shutil.copy(next((out / "train" / kind).iterdir()), out / "train" / kind / names)
    (out / "train" / "images" / "download.jpeg.partial").write_text("not of this tool")
    before = contents(out)
    assert preprocess(raw, out) == 0
    assert before.items() <= contents(out).items()
    assert [image.name.partition("cam1")[0] for image, _ in list_pairs(out / "train")] == [
        *["0_elsewhere_"] * 2,
        *["0_run1_"] * 3,
        "10_run1",
    ]


# --- what cannot be read


def spoil(file, how):
    whole = file.read_bytes()
    if how == "missing":
        file.unlink()
    elif how == "empty":
        file.write_bytes(b"")
    elif how == "truncated":
        file.write_bytes(whole[: len(whole) // 2])
    elif how == "header only":
        file.write_bytes(whole[:33])
    elif how == "no PNG":
        Image.new("RGB", (256, 256)).save(file, "JPEG")
    elif how == "a bit flipped":
        # In the checksum of the pixels, which lies before the last chunk, IEND, of 12 bytes.
        file.write_bytes(whole[:-13] + bytes([whole[-13] ^ 1]) + whole[-12:])
    elif how == "small":
        file.write_bytes(png(np.zeros((160, 128, 3), np.uint8)))
    elif how == "grey":
        file.write_bytes(png(np.zeros((256, 256), np.uint8)))
    elif how == "a folder":
        file.unlink()
        file.mkdir()


@pytest.mark.parametrize("camera", [1, 2, 3, 4])
@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("missing", "expected {file}, found none"),
        ("empty", "expected a whole PNG in {file}, got: "),
        ("truncated", "expected a whole PNG in {file}, got: "),
        ("header only", "expected a whole PNG in {file}, got: "),
        ("no PNG", "expected a whole PNG in {file}, got: "),
        ("a bit flipped", "expected a whole PNG in {file}, got: "),
        ("small", "expected 256×256 RGB in {file}, got 128×160 RGB"),
        ("grey", "expected 256×256 RGB in {file}, got 256×256 L"),
        ("a folder", "expected a whole PNG in {file}, got: "),
    ],
)
def test_a_bad_frame_is_named_and_skipped_and_the_others_are_made(raw, out, capsys, camera, how, reason):
    file = raw / "train" / "run1" / "IMG" / f"cam{camera}_00001.png"
    spoil(file, how)
    assert preprocess(raw, out) == 1
    assert frame_numbers(out / "train") == ["00000", "00002"]
    assert frame_numbers(out / "validation") == ["00000", "00001"]
    assert not list(out.rglob("*.partial"))
    output, errors = capsys.readouterr()
    assert "pairs made: 4, already there: 0, frames skipped: 1\n" in output
    named = [line for line in errors.splitlines() if "skipped" in line]
    assert len(named) == 1
    assert named[0].strip().startswith(f"skipped train/run1 frame 00001: {reason.format(file=file)}")


def test_a_recording_still_being_written_is_taken_up_by_the_next_run(raw, out, capsys):
    record(raw, "train/run1", [3])
    folder = raw / "train" / "run1" / "IMG"
    (folder / "cam4_00003.png").unlink()  # QuadSim writes the four in order
    spoil(folder / "cam3_00003.png", "truncated")
    assert preprocess(raw, out) == 1
    assert frame_numbers(out / "train") == ["00000", "00001", "00002"]
    assert "Run the same command again for skipped frames" in capsys.readouterr().out
    record(raw, "train/run1", [3])
    assert preprocess(raw, out) == 0
    assert frame_numbers(out / "train") == ["00000", "00001", "00002", "00003"]


def test_a_pair_stays_when_its_recording_breaks(raw, out):
    preprocess(raw, out)
    before = contents(out)
    spoil(raw / "train" / "run1" / "IMG" / "cam2_00001.png", "truncated")
    assert preprocess(raw, out) == 1
    assert contents(out) == before


# --- killed and interrupted


@pytest.fixture
def long_recording(tmp_path):
    """40 frames, hard links to four files, of which the camera's is noise: long to read, quick to record."""
    raw = tmp_path / "raw"
    record(raw, "train/long", [0])
    folder = raw / "train" / "long" / "IMG"
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    (folder / "cam1_00000.png").write_bytes(png(noise))
    for source in list(folder.iterdir()):
        for number in range(1, 40):
            source.with_name(source.name.replace("00000", f"{number:05}")).hardlink_to(source)
    return raw


STOPPED_AFTER_A_PAIR = """
import os, signal, sys, threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tools.preprocess_ims import main
from tools.simulator.server_process import REPOSITORY

replace, shutdown = Path.replace, ThreadPoolExecutor.shutdown
first, is_ending = threading.Lock(), threading.Event()

def replace_and_stop(self, target):
    replace(self, target)
    if target.suffix == ".png":
        if first.acquire(blocking=False):
            os.kill(os.getpid(), int(sys.argv[1]))
        is_ending.wait(120)  # no thread begins another pair until those that wait are cancelled

def end(self, *arguments, **options):
    is_ending.set()
    shutdown(self, *arguments, **options)

Path.replace, ThreadPoolExecutor.shutdown = replace_and_stop, end
sys.exit(main(sys.argv[2:]))
"""


def stop_after_a_pair(raw, out, with_signal):
    """Run the tool as a process that sends itself a signal after its first pair; returns the ended process."""
    command = [sys.executable, "-c", STOPPED_AFTER_A_PAIR, str(int(with_signal)), "--raw", str(raw), "--out", str(out)]
    return subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def test_a_killed_run_leaves_whole_pairs_and_the_next_one_completes_the_set(long_recording, out, tmp_path):
    assert stop_after_a_pair(long_recording, out, signal.SIGKILL).returncode == -signal.SIGKILL
    images, masks = (
        {file.stem[-5:]: file for file in (out / "train" / kind).glob(ending)}
        for kind, ending in (("images", "*.jpeg"), ("masks", "*.png"))
    )
    assert 1 <= len(masks) < 40
    # A frame in the very moment between its two renames, at most one a thread, may have its image alone.
    assert masks.keys() <= images.keys()
    assert len(images) - len(masks) <= (os.cpu_count() or 1)
    for number, mask in masks.items():
        read_pair(images[number], mask, px=256)
    if len(images) == len(masks):
        assert len(list_pairs(out / "train")) == len(masks)
    killed = contents(out)

    assert preprocess(long_recording, out) == 0
    assert len(list_pairs(out / "train")) == 40
    now = contents(out)
    for number, mask in masks.items():
        for file in (str(images[number].relative_to(out)), str(mask.relative_to(out))):
            assert now[file] == killed[file]
    preprocess(long_recording, tmp_path / "at once")
    assert files(out) == files(tmp_path / "at once")
    for name, (data, _) in now.items():
        assert data == (tmp_path / "at once" / name).read_bytes()


def test_an_interrupted_run_ends_with_whole_pairs_and_says_how_to_go_on(long_recording, out):
    process = stop_after_a_pair(long_recording, out, signal.SIGINT)
    assert process.returncode == 130
    assert process.stderr.splitlines()[-1] == "interrupted; the same command continues"
    assert 1 <= len(list_pairs(out / "train")) < 40
    assert not list(out.rglob("*.partial"))


KILLED_AT_RENAME = """
import os, signal, sys
from pathlib import Path
from tools.preprocess_ims import main
from tools.simulator.server_process import REPOSITORY

replace = Path.replace

def replace_or_die(self, target):
    if target.name == sys.argv[1]:
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(self, target)

Path.replace = replace_or_die
main(sys.argv[2:])
"""


def kill_at_rename_to(name, raw, out):
    command = [sys.executable, "-c", KILLED_AT_RENAME, name, "--raw", str(raw), "--out", str(out)]
    assert subprocess.run(command, cwd=REPOSITORY, capture_output=True).returncode == -signal.SIGKILL


def test_a_kill_before_the_first_rename_leaves_a_readable_set_without_the_pair(raw, out):
    preprocess(raw, out)
    record(raw, "train/run1", [3])
    kill_at_rename_to("0_run1_cam1_00003.jpeg", raw, out)
    assert len(list(out.rglob("*.partial"))) == 2
    assert frame_numbers(out / "train") == ["00000", "00001", "00002"]
    assert preprocess(raw, out) == 0
    assert frame_numbers(out / "train") == ["00000", "00001", "00002", "00003"]
    assert not list(out.rglob("*.partial"))


def test_a_kill_between_the_renames_leaves_an_image_alone_which_the_reader_refuses_and_the_next_run_completes(raw, out):
    preprocess(raw, out)
    record(raw, "train/run1", [3])
    kill_at_rename_to("0_run1_mask_00003.png", raw, out)
    with pytest.raises(ValueError, match=r"expected a mask for each image, found none for .*0_run1_cam1_00003\.jpeg"):
        list_pairs(out / "train")
    assert preprocess(raw, out) == 0
    assert frame_numbers(out / "train") == ["00000", "00001", "00002", "00003"]
    assert not list(out.rglob("*.partial"))


def test_half_a_pair_whose_recording_is_gone_is_taken_away(raw, out):
    preprocess(raw, out)
    record(raw, "train/run1", [3])
    kill_at_rename_to("0_run1_mask_00003.png", raw, out)
    for file in (raw / "train" / "run1" / "IMG").glob("*_00003.png"):
        file.unlink()
    assert preprocess(raw, out) == 0
    assert frame_numbers(out / "train") == ["00000", "00001", "00002"]


@pytest.mark.parametrize("name", ["0_run1_cam1_00001.jpeg", "0_run1_mask_00001.png"])
def test_a_kill_never_leaves_an_older_recordings_mask_beside_a_newer_image(raw, out, name):
    preprocess(raw, out)
    record(raw, "train/run1", [1], red=50, hero_px=0)
    kill_at_rename_to(name, raw, out)
    assert not (out / "train" / "masks" / "0_run1_mask_00001.png").exists()
    assert preprocess(raw, out) == 0
    image, mask = read_pair(*list_pairs(out / "train")[1], px=256)
    assert np.abs(image.astype(int) - 50).max() <= 2
    assert not (mask == HERO).any()


def test_a_full_disk_fails_in_one_line_and_leaves_no_partial_file(raw, out, capsys, monkeypatch):
    def full(self, target):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        assert preprocess(raw, out) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "preprocess_ims: No space left on device"
    assert files(out) == []
    assert preprocess(raw, out) == 0


def test_a_disk_that_takes_only_a_part_of_an_image_leaves_no_pair(raw, out, capsys):
    with files_of_at_most(1000):
        assert preprocess(raw, out) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "preprocess_ims: File too large"
    assert files(out) == []


# --- what is refused


def remove(path):
    shutil.rmtree(path)


REFUSED = [
    (
        remove,
        "",
        "expected a folder with train and validation in it at {raw}, found none; recordings must be at {wanted}",
    ),
    (
        lambda folder: (remove(folder), folder.touch()),
        "",
        "expected a folder with train and validation in it at {raw}, got a file; recordings must be at {wanted}",
    ),
    (
        lambda folder: (remove(folder), folder.mkdir()),
        "",
        "expected recordings as {wanted}, found none",
    ),
    (
        lambda folder: folder.rename(folder.with_name("val")),
        "validation",
        "expected only train and validation in {raw}, got val; recordings must be at {wanted}",
    ),
    (
        lambda folder: folder.rename(folder.parent.parent / "run1"),
        "train/run1",
        "expected only train and validation in {raw}, got run1; recordings must be at {wanted}",
    ),
    (
        lambda folder: (remove(folder), folder.touch()),
        "train",
        "expected a folder with runs in it at {raw}/train, got a file; recordings must be at {wanted}",
    ),
    (
        lambda file: file.touch(),
        "train/notes.txt",
        "expected a folder with IMG in it at {raw}/train/notes.txt, got a file; recordings must be at {wanted}",
    ),
    (
        lambda file: file.touch(),
        "train/run1/cam1_00000.png",
        "expected only IMG in {raw}/train/run1, got cam1_00000.png; recordings must be at {wanted}",
    ),
    (
        lambda file: file.touch(),
        "train/run1/IMG/cam1_00000 (copy).png",
        "expected only cam1_NNNNN.png to cam4_NNNNN.png in {raw}/train/run1/IMG, got cam1_00000 (copy).png",
    ),
    (
        lambda file: file.touch(),
        "train/run1/IMG/cam5_00000.png",
        "expected only cam1_NNNNN.png to cam4_NNNNN.png in {raw}/train/run1/IMG, got cam5_00000.png",
    ),
    (
        lambda folder: folder.rename(folder.parent.parent / "IMG"),
        "train/run1/IMG",
        "expected only runs in {raw}/train, got IMG; recordings must be at {wanted}",
    ),
    (
        lambda folder: (folder.rename(folder.with_name("other")), (folder / "x").mkdir(parents=True)),
        "train/run1",
        "expected only IMG in {raw}/train/run1, got x; recordings must be at {wanted}",
    ),
]


def refused(raw, out, capsys):
    """The reason that a command is refused with, in one line."""
    assert preprocess(raw, out) == 2
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.count("\n") == 1
    return errors.removeprefix("preprocess_ims: ").removesuffix("\n")


@pytest.mark.parametrize(("spoil_it", "where", "reason"), REFUSED)
def test_what_are_no_recordings_is_refused_before_anything_is_written(raw, out, capsys, spoil_it, where, reason):
    spoil_it(raw / where)
    assert refused(raw, out, capsys) == reason.format(
        raw=raw, wanted=raw / "<train or validation>" / "<run>" / "IMG" / "cam1_NNNNN.png"
    )
    assert not out.exists()


def test_runs_without_a_frame_are_refused(tmp_path, out, capsys):
    (tmp_path / "raw" / "train" / "run1" / "IMG").mkdir(parents=True)
    assert (
        refused(tmp_path / "raw", out, capsys)
        == f"expected recorded frames in {tmp_path / 'raw'}, got 1 runs without frames"
    )
    assert not out.exists()


def test_what_file_managers_leave_is_overlooked(raw, out):
    for folder in ("", "train", "train/run1", "train/run1/IMG"):
        for name in (".DS_Store", "Thumbs.db", "desktop.ini"):
            (raw / folder / name).touch()
        (raw / folder / "__MACOSX").mkdir()
    assert preprocess(raw, out) == 0
    assert len(files(out)) == 10


@pytest.mark.parametrize("colour", ["blue", "yellow"])
def test_a_run_that_was_moved_to_the_other_split_is_refused_not_learned_and_validated_on(tmp_path, out, capsys, colour):
    raw = tmp_path / "raw"
    for run in ("a", "b"):
        record(raw, f"train/{run}", range(2))
    main(["--raw", str(raw), "--out", str(out), "--colour", colour])
    before = contents(out)
    (raw / "validation").mkdir()
    (raw / "train" / "b").rename(raw / "validation" / "b")  # it stays the second run
    capsys.readouterr()
    assert refused(raw, out, capsys) == (
        f"expected frames of b only in {out / 'validation'}, got some in {out / 'train'}: "
        "choose another --out, or delete this set and make it again"
    )
    assert contents(out) == before


def test_a_run_with_the_name_of_another_recording_in_the_other_split_is_made(tmp_path, out):
    record(tmp_path / "first", "train/run", range(2))
    record(tmp_path / "second", "validation/run", range(2))
    assert preprocess(tmp_path / "first", out) == 0
    assert preprocess(tmp_path / "second", out) == 0
    assert len(list_pairs(out / "train")) == len(list_pairs(out / "validation")) == 2


def test_a_run_that_was_made_under_another_fold_is_refused_not_doubled(raw, out, capsys):
    preprocess(raw, out)
    before = contents(out)
    capsys.readouterr()
    record(raw, "train/run0", [0])
    assert refused(raw, out, capsys) == (
        f"expected train/run1 in {out} as fold 1, its number among the present runs, got 0_run1_cam1_00000.jpeg: "
        "choose another --out, or delete this set and make it again"
    )
    assert contents(out) == before


@pytest.mark.parametrize("number", ["00001", "00007"])
def test_masks_of_a_runs_names_from_elsewhere_are_neither_overwritten_nor_mixed_in(raw, out, capsys, number):
    """The published set names images otherwise, but masks alike."""
    for kind, name in (("images", f"0_run1cam1_{number}.jpeg"), ("masks", f"0_run1_mask_{number}.png")):
        (out / "train" / kind).mkdir(parents=True)
        (out / "train" / kind / name).touch()
    before = contents(out)
    assert refused(raw, out, capsys) == (
        f"expected the image 0_run1_cam1_{number}.jpeg of the mask {out}/train/masks/0_run1_mask_{number}.png, "
        "found none: delete the mask, or choose another --out"
    )
    assert contents(out) == before


def test_runs_that_would_pair_up_wrongly_are_refused(tmp_path, out, capsys):
    """0_a_cam1_ sorts before 0_a_far_cam1_, but 0_a_mask_ behind 0_a_far_mask_."""
    for run in ("a", "a_far"):
        record(tmp_path / run, f"train/{run}", [0])
    preprocess(tmp_path / "a", out)
    capsys.readouterr()
    assert refused(tmp_path / "a_far", out, capsys) == (
        f"expected runs in {out}/train whose images and masks sort alike, got 0_a and 0_a_far: choose another --out"
    )
    assert frame_numbers(out / "train") == ["00000"]


def test_a_set_that_was_not_paired_before_is_told(raw, out, capsys):
    (out / "train" / "images").mkdir(parents=True)
    (out / "train" / "images" / "alone.jpeg").touch()
    assert refused(raw, out, capsys) == f"expected a mask for each image, found none for {out}/train/images/alone.jpeg"
    assert files(out) == ["train/images/alone.jpeg"]


def test_what_an_interrupted_run_of_the_original_left_is_refused_before_anything_is_written(raw, out, capsys):
    masks = out / "train" / "masks"
    masks.mkdir(parents=True)
    for camera in (2, 3, 4):
        (masks / f"0_run1_cam{camera}_00000.png").touch()
    before = contents(out)
    assert refused(raw, out, capsys) == (
        f"expected only masks in {masks}, got 0_run1_cam2_00000.png, a depth layer that an interrupted run of the "
        "original tool left: delete its cam2_, cam3_ and cam4_ files, or make the set again in a new folder"
    )
    assert contents(out) == before


def test_a_second_run_ignores_what_macos_leaves_beside_each_file(raw, out):
    preprocess(raw, out)
    for file in [*raw.rglob("*.png"), *out.rglob("*.png"), *out.rglob("*.jpeg")]:
        file.with_name(f"._{file.name}").write_bytes(APPLE_DOUBLE)
    before = contents(out)
    assert preprocess(raw, out) == 0
    assert contents(out) == before


@pytest.mark.parametrize("where", ["", "train", "set", "../raw/validation"])
def test_a_set_among_the_recordings_is_refused(raw, capsys, where):
    before = contents(raw)
    assert refused(raw, raw / where, capsys) == f"expected --out outside the recordings in {raw}, got {raw / where}"
    assert contents(raw) == before


def test_a_set_that_cannot_be_written_is_an_error_in_one_line(raw, out, capsys):
    out.touch()
    assert str(out) in refused(raw, out, capsys)


def test_help_names_both_folders_with_their_defaults(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "(default: data/raw_sim_data)" in text
    assert "(default: data/processed_sim_data)" in text
