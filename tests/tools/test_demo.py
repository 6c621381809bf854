"""`make demo` on the shipped weights, start to end."""

import re
import socket

import numpy as np
import pytest

from tools import demo
from tools.simulator.recorded import dataset_directory

needs_weights = pytest.mark.skipif(
    not list(demo.SHIPPED_WEIGHTS.parent.glob(f"{demo.SHIPPED_WEIGHTS.name}*")), reason="no weights are shipped yet"
)


@needs_weights
def test_without_the_dataset_a_drawn_hero_is_followed_where_it_is_and_then_given_up(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("FOLLOWME_DATA", str(tmp_path))
    assert demo.main([]) == 0
    output = capsys.readouterr().out
    assert "Playing a drawn sequence" in output
    assert "exit status 0" in output
    assert "make test" in output
    number = r"\s*(-?[\d.]+)"
    pairs = re.findall(rf"hero at \({number},{number}\) m\s+FOLLOW \({number},{number},{number}\) m", output)
    assert len(pairs) > 30
    truth_and_command = np.array(pairs, float)
    errors_m = np.linalg.norm(truth_and_command[:, :2] - truth_and_command[:, 2:4], axis=1)
    assert np.median(errors_m) < 0.3
    last_frame = [line for line in output.splitlines() if re.match(r" +60  ", line)]
    assert "PATROL" in last_frame[0]


def test_with_the_dataset_real_frames_are_played(capsys):
    if dataset_directory() is None:
        pytest.skip("the recorded dataset is not beside the project")
    following, empty, far = demo.choose_acts()
    assert "Playing real frames" in capsys.readouterr().out
    assert [len(list(act.frames)) for act in (following, empty, far)] == [40, 15, 20]


def test_a_taken_port_is_said_and_another_one_used(capsys, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken = listener.getsockname()[1]
        monkeypatch.setattr(demo, "QUADSIM_PORT", taken)
        port = demo._choose_port()
    assert port != taken
    assert f"Port {taken}, " in (said := capsys.readouterr().out)
    assert f"is taken; using {port} instead" in said


def test_a_server_that_does_not_start_fails_the_demo_with_its_words(tmp_path, capsys):
    assert demo.main(["--weights", str(tmp_path / "no_such_network")]) == 1
    error = capsys.readouterr().err
    assert error.startswith("demo: expected a running server, got exit status 2")
    assert "no_such_network" in error
