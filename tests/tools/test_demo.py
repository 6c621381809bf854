"""`make demo` on the shipped weights, start to end."""

import functools
import re
import socket

import pytest
from support.live import WATCHDOG

from tools import demo
from tools.simulator.quadsim import QuadSim, run
from tools.simulator.server_process import running_server


@pytest.fixture
def as_fast_as_it_goes(monkeypatch):
    """The flight of the demo in lock-step: the same on every machine, and no waiting for the wall clock."""

    def run_unpaced(simulators, duration_s, *, speed, on_frame):
        assert speed == 1.0
        run(simulators, duration_s, speed=None, on_frame=on_frame)

    def patient_server(weights, port):
        return running_server(weights, *WATCHDOG, port=port)

    monkeypatch.setattr(demo, "running_server", patient_server)
    monkeypatch.setattr(demo, "QuadSim", functools.partial(QuadSim, is_lock_step=True))
    monkeypatch.setattr(demo, "run", run_unpaced)


def test_the_drone_finds_the_hero_and_follows(capsys, as_fast_as_it_goes):
    assert demo.main(["--duration", "12"]) == 0
    output = capsys.readouterr().out
    assert re.search(r"Open http://127\.0\.0\.1:\d+ in a browser", output)
    assert re.search(r"FOLLOW  hero +[\d.]+ m away, in view \(\d+ px\), coordinates [01]\.\d\d m off", output)
    figures = re.search(
        r"First followed after (\d+) s, .* flight; within 2 m of the hero for (\d+)% .* ([\d.]+) m\.", output
    )
    assert figures is not None
    first_s, on_target_percent, error_m = map(float, figures.groups())
    assert first_s < 10
    assert on_target_percent > 80
    assert error_m < 0.6
    assert "Server stopped, exit status 0." in output
    assert "make test" in output


def test_a_taken_port_is_said_and_another_one_used(capsys, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken = listener.getsockname()[1]
        monkeypatch.setattr(demo, "QUADSIM_PORT", taken)
        port = demo.choose_port()
    assert port != taken
    assert f"Port {taken}, " in (said := capsys.readouterr().out)
    assert f"is taken; using {port} instead" in said


def test_a_server_that_does_not_start_fails_the_demo_with_its_words(tmp_path, capsys):
    (tmp_path / "broken.keras").write_text("not a network")
    assert demo.main(["--weights", str(tmp_path / "broken")]) == 1
    error = capsys.readouterr().err
    assert error.startswith("demo: expected a running server, got exit status 2")
    assert "broken.keras" in error
