"""What all commands have in common: they report mistakes in one line before the work, and Ctrl-C ends them quietly."""

import importlib
import os
import re
import signal
import subprocess
import sys

import psutil
import pytest
from PIL import Image
from support.command import exit_status
from support.recorded_session import FORMAT_1
from support.waiting import wait_until

from model.scoring import EVALUATION_SETS
from tools.simulator.server_process import REPOSITORY, SHIPPED_WEIGHTS

COMMANDS = sorted(file.stem for file in (REPOSITORY / "tools").glob("*.py") if file.stem != "__init__")

# Takes the place of the first large library that a command imports.
# In short steps: a signal that comes just before a sleep begins is handled after it.
SLOW_LIBRARY = """
import time
print("importing", flush=True)
while True:
    time.sleep(0.1)
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The working folder of a command: a dataset of a single frame, and files that are not what commands expect."""
    for name in ("train", "validation", *(f"sample_evaluation_data/{name}" for name in EVALUATION_SETS)):
        for kind, ending in (("images", "jpeg"), ("masks", "png")):
            (tmp_path / "data" / name / kind).mkdir(parents=True)
            Image.new("RGB", (32, 32), (255, 0, 0)).save(tmp_path / "data" / name / kind / f"run_00001.{ending}")
    (tmp_path / "text").write_text("not a network, nor a recording\n")
    (tmp_path / "text.json").write_text("no figures\n")
    (tmp_path / "broken.keras").write_text("not a network\n")
    (tmp_path / "recording.mcap").write_bytes(FORMAT_1.read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


CASES = [
    ("average fcn4 --out out --data data", "expected at least two networks to average, got 1"),
    ("average nope nope --out out --data data", "expected a network at nope"),
    ("benchmark --weights nope", "expected a network at "),
    ("benchmark --weights text", "expected a whole HDF5 file"),
    ("benchmark --data text", "expected a folder of images"),
    ("benchmark --json nodir/x.json", "expected to be able to write nodir/x.json"),
    ("benchmark --seconds 0", "expected --seconds above 0"),
    ("benchmark --compare text.json", "expected figures that benchmark.py wrote with --json"),
    ("benchmark --fleet --compare HEAD", "expected --fleet without --compare, --precision and --drones"),
    ("benchmark --fleet --drones 3", "expected --fleet without --compare, --precision and --drones"),
    ("doctor --server --port 1", "expected --server without --host, --port and --seconds"),
    ("benchmark --drones 0", "expected --drones of at least 1"),
    ("calibrate nope --data data", "expected a network at nope"),
    ("calibrate broken --data nope", "expected the folder nope, which does not exist"),
    ("calibrate broken --data data --recordings r7 r8", "expected frames of r7, r8 in data, got none"),
    ("calibrate broken --data data --recordings run r8", "expected frames of r8 in data, got none"),
    ("calibrate broken --data data", "broken.keras: expected a network saved by Keras 3"),
    ("calibrate broken --data data --plot nodir/x.png", "expected to be able to write nodir/x.png"),
    ("calibrate text --data data", "text: expected a whole HDF5 file"),
    ("check_readme nope.md", "expected pages of the documentation (README.md, docs/"),
    ("closed_loop --weights nope", "expected a network at nope"),
    ("closed_loop --weights broken.keras --jobs 2", "broken.keras: expected a network saved by Keras 3"),
    ("closed_loop --weights text --jobs 2", "text: expected a whole HDF5 file"),
    ("closed_loop --json nodir/x.json", "expected to be able to write nodir/x.json"),
    ("closed_loop --json data", "expected to be able to write data, got: Is a directory"),
    ("compare --data nope --out runs", "expected the folder nope, which does not exist"),
    ("compare --data data --out text", "expected to be able to write into the folder text"),
    ("compare --data data --out runs --minutes 0", "expected --minutes above 0"),
    ("convert nope", "expected a network at nope"),
    ("convert broken", "broken.keras: expected a network saved by Keras 3"),
    ("demo --weights nope", "expected a network at "),
    ("demo --duration nan", "expected --duration above 0"),
    ("doctor --listen --port 99999", "expected --port of 0 to 65535"),
    ("doctor --listen --seconds 0", "expected --seconds above 0"),
    ("doctor --server nowhere", "expected http://host:port"),
    ("evaluate nope --data data", "expected a network at nope"),
    ("evaluate broken --data data", "broken.keras: expected a network saved by Keras 3"),
    ("evaluate broken --data nope", "expected the folder nope, which does not exist"),
    ("evaluate broken --data data --json nodir/x.json", "expected to be able to write nodir/x.json"),
    ("evaluate broken --data data --report text", "expected to be able to write into the folder text"),
    ("export_dataset nope --out out", "expected nope, which does not exist"),
    ("export_dataset recording.mcap text --out out", "text: expected a whole MCAP file"),
    ("export_dataset recording.mcap --out text", "expected to be able to write into the folder text/images"),
    ("image --duration 0", "expected --duration above 0 and finite, got 0.0"),
    ("learning_curve --data nope --out out", "expected the folder nope, which does not exist"),
    ("learning_curve --data data --out out", "expected --frames of at most 1, those of data/train, got 3000"),
    ("learning_curve --data data --out out --frames 1 0", "expected --frames of at least 1, got [1, 0]"),
    ("learning_curve --data data --out out --steps 0", "expected --steps of at least 2, got 0"),
    ("measure_range nope", "expected a network at nope"),
    ("measure_range broken --duration 0", "expected --duration of at least 1"),
    ("plot_people nope --out people.png", "expected nope, which does not exist"),
    ("measure_range broken --seeds 1 -1", "expected --seeds of at least 0, got [1, -1]"),
    ("plot_people text --out people.png --least 5", "expected --least from 0 to 1, got 5.0"),
    ("plot_people text --out people.png", "text: expected a whole MCAP file"),
    ("fleet --drones 0", "expected --drones of at least 1, got 0"),
    ("fleet --duration 0", "expected --duration above 0 and finite, got 0.0"),
    ("fleet_faults --weights nope", "expected a network at "),
    ("fleet_faults --drones 0", "expected --drones of at least 1, got 0"),
    ("fleet_faults --frames-per-s 1", "expected --frames-per-s with more than one frame in --watchdog-s, got 1.0"),
    ("fleet_faults --watchdog-s 4", "expected --watchdog-s above 0 and up to 3, got 4.0"),
    ("fleet_faults --faults flood", "invalid choice: 'flood'"),
    ("play_frames nope", "expected a folder of images, found none at nope"),
    ("play_frames text", "expected a folder of images, found none at text"),
    ("play_video nope", "expected a video, a folder of images or a camera's number, found none at nope"),
    ("play_video text", "expected a video that OpenCV can read, got none in text"),
    ("play_video data", "expected images"),
    ("play_video text --height-m 0", "expected --height-m above 0"),
    ("preprocess_ims --raw nope --out out", "expected a folder with train and validation"),
    ("preprocess_ims --raw data --out data", "expected --out outside the recordings"),
    ("quantize nope --data data", "expected a network at nope"),
    ("quantize broken --data nope", "expected the folder nope, which does not exist"),
    ("quantize broken --data data", "broken.keras: expected a network saved by Keras 3"),
    ("repair nope", "expected nope, which does not exist"),
    ("repair recording.mcap text", "text: expected a whole MCAP file"),
    ("repair data", "data: expected a file"),
    ("replay nope", "expected nope, which does not exist"),
    ("replay text", "text: expected a whole MCAP file"),
    ("replay recording.mcap --weights nope", "expected a network at nope"),
    ("replay recording.mcap --weights broken", "broken.keras: expected a network saved by Keras 3"),
    ("search --space nope --data data --out out", "expected nope, which does not exist"),
    ("search --space text --data data --out out", "expected a search space in text, got: "),
    ("search --space text --data data --out out --at-once 0", "expected --at-once of at least 1"),
    ("search --space text --data data --out out --cpus 0", "expected --cpus above 0"),
    ("search --space text --data data --out out --gpus -1", "expected --gpus of at least 0"),
    ("replay nope --page", "expected nope, which does not exist"),
    ("replay text --page", "text: expected a whole MCAP file"),
    ("replay recording.mcap --page --port 99999", "expected --port of 0 to 65535"),
    ("replay recording.mcap --page --host 0.0.0.0", "expected --token-file with --host 0.0.0.0"),
    ("simulate --report nodir/x.json", "expected to be able to write nodir/x.json"),
    ("simulate --record text --no-server", "expected to be able to write into the folder text/IMG, got: Not a"),
    ("size_fleet --drones 0", "expected --drones of at least 1, got [0]"),
    ("size_fleet --replicas 4 0", "expected --replicas of at least 1, got [4, 0]"),
    (
        "size_fleet --batch-ms 0 0",
        "expected --batch-ms with FIRST of at least 0 and EACH above 0, both finite",
    ),
    ("size_fleet --batch-wait-ms nan", "expected --batch-wait-ms of at least 0 and finite, got nan"),
    ("size_fleet --seconds 3", "expected --seconds above 3.2 and finite, got 3.0"),
    ("soak --weights nope", "expected a network at "),
    ("soak --data text", "expected a folder of images"),
    ("soak --minutes 0", "expected --minutes of at least one frame"),
    ("soak --drones 0", "expected --drones of at least 1"),
    ("take_corrections nope x.json", "expected the folder nope, which does not exist"),
    ("take_corrections data/train nope.json", "expected nope.json, which does not exist"),
    ("take_corrections data/train text", "text: expected annotations in COCO's format, got: JSON is malformed"),
    ("teach nope.toml --stand-in", "expected nope.toml, which does not exist"),
    ("teach text --stand-in", "text: "),
    ("teach text --raw nope --hours 0", "expected --hours above 0"),
    ("teach text --raw nope --stand-in", "not allowed with argument --raw"),
    ("train_second_look nope --data data", "expected a network at nope"),
    ("train_second_look broken --data data --steps 0", "expected --steps of at least 1"),
    ("train_second_look broken --data data --most -1", "expected --most of at least 0"),
    ("train_second_look broken --data data --seed -1", "expected --seed from 0 to 4294967295"),
    ("train_second_look broken --data data --hold-out r7", "expected frames of r7 in data, got none"),
    ("train_second_look broken --data nope", "expected the folder nope, which does not exist"),
    ("train_second_look broken --data data", "broken.keras: expected a network saved by Keras 3"),
]


@pytest.mark.parametrize(("line", "complaint"), CASES, ids=[line for line, _ in CASES])
def test_a_mistake_is_told_in_one_line_before_the_work(place, capsys, line, complaint):
    before = sorted(place.rglob("*"))
    name, *arguments = line.split()
    assert exit_status(importlib.import_module(f"tools.{name}").main, arguments) == 2
    errors = capsys.readouterr().err
    assert complaint in errors.splitlines()[-1]
    assert len(errors.splitlines()) == 1 or errors.startswith("usage: ")  # argparse's own errors show it
    assert sorted(place.rglob("*")) == before


def test_the_table_has_every_command():
    assert {line.split()[0] for line, _ in CASES} == set(COMMANDS) - {"train"}  # its mistakes are in test_train.py


# The others import no library that takes time.
@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in ("check_readme", "repair")])
def test_ctrl_c_while_a_command_starts_shows_no_traceback(tmp_path, name):
    (tmp_path / "numpy.py").write_text(SLOW_LIBRARY)
    process = subprocess.Popen(
        [sys.executable, REPOSITORY / "tools" / f"{name}.py"],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{REPOSITORY}"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    while (line := process.stdout.readline()) != "importing\n":  # the doctor reports on Python first
        assert line, "expected it to import numpy"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    # `import_keras` hides standard error.
    assert (process.returncode, errors.strip()) in [(130, "interrupted"), (130, "")]


@pytest.mark.parametrize(
    ("end", "status", "message"),
    [(signal.SIGINT, 130, r"\ninterrupted\n"), (signal.SIGKILL, -signal.SIGKILL, r"(?s).*")],  # multiprocessing warns
)
def test_workers_that_fly_episodes_end_with_the_command(tmp_path, end, status, message):
    command = [sys.executable, REPOSITORY / "tools" / "closed_loop.py", "--weights", SHIPPED_WEIGHTS, "--jobs", "2"]
    process = subprocess.Popen(
        [*command, "--duration", "1e6"], cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    family = psutil.Process(process.pid)
    # The third one belongs to multiprocessing.
    workers = wait_until(lambda: len(family.children()) == 3 and family.children(), "two workers")
    if end == signal.SIGINT:
        os.killpg(process.pid, end)  # as a terminal does
    else:
        process.kill()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == status
    assert re.fullmatch(message, errors)
    wait_until(lambda: not any(map(runs, workers)), "the end of all workers")


def test_a_command_that_is_told_to_end_ends_the_server_that_it_has_started(data_dir):
    command = [sys.executable, REPOSITORY / "tools" / "soak.py", "--data", data_dir, "--drones", "1", "--idle", "0"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    started = wait_until(lambda: psutil.Process(process.pid).children(), "a server")
    process.terminate()
    assert process.wait(timeout=60) == 128 + signal.SIGTERM
    wait_until(lambda: not any(map(runs, started)), "the end of the server")


def runs(process):
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
