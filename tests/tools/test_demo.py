"""`make demo` on the shipped weights, start to end."""

import re
import socket

from tools import demo


def test_the_drone_finds_the_hero_and_follows(capsys):
    assert demo.main(["--duration", "25"]) == 0
    output = capsys.readouterr().out
    assert re.search(r"Open http://127\.0\.0\.1:\d+ in a browser", output)
    assert re.search(r"FOLLOW  hero +[\d.]+ m away, in view \(\d+ px\), coordinates [01]\.\d\d m off", output)
    figures = re.search(
        r"First followed after (\d+) s, .* flight; within 2 m of the hero for (\d+)% .* ([\d.]+) m\.", output
    )
    assert figures is not None
    first_s, on_target_percent, error_m = map(float, figures.groups())
    assert first_s < 20
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
    assert demo.main(["--weights", str(tmp_path / "no_such_network")]) == 1
    error = capsys.readouterr().err
    assert error.startswith("demo: expected a running server, got exit status 2")
    assert "no_such_network" in error
