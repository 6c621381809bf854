"""The routes of a recording's page, without a server; the live ones are in `test_recording_page.py`."""

import socket

import pytest
from support.recorded_session import FORMAT_1

from server.playback import PlaybackServer, make_app
from server.supervision import Faults
from server.watch.recording.film import Film
from server.watch.recording.reader import Recording


@pytest.fixture
def film():
    with Recording(FORMAT_1, with_states=True) as recording:
        yield Film(recording)


def test_the_page_is_the_live_one_with_another_source(film):
    client = make_app(film, Faults()).test_client()
    assert b'src="/source.js"' in client.get("/").data
    assert client.get("/source.js").data == client.get("/page/recording.js").data
    assert "default-src 'self'" in client.get("/recording").headers["Content-Security-Policy"]


def test_steps_are_told_and_others_are_the_clients_mistake(film):
    faults = Faults()
    client = make_app(film, faults).test_client()
    count = len(client.get("/recording").json["times_s"])
    assert client.get(f"/recording/{count - 1}").json == film.message(count - 1)
    for path in (f"/recording/{count}", "/recording/-1", "/recording/x", "/events", "/hold"):
        assert client.get(path).status_code == 404
    assert faults.counts == {}


def test_a_file_that_changed_meanwhile_is_told_in_words(tmp_path):
    copy = tmp_path / "copy.mcap"
    copy.write_bytes(FORMAT_1.read_bytes())
    faults = Faults()
    with Recording(copy, with_states=True) as recording:
        client = make_app(Film(recording), faults).test_client()
        copy.write_bytes(bytes(copy.stat().st_size))
        response = client.get("/recording/50")
    assert response.status_code == 409
    assert "expected it unchanged" in response.text
    assert faults.counts == {}


def test_a_port_in_use_is_told_with_the_next_step(film):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(OSError, match=f"^cannot listen on 127.0.0.1:{port}: Address already in use; end the "):
            PlaybackServer(film, "127.0.0.1", port, None)


@pytest.mark.parametrize(
    ("address", "name"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]"), ("0.0.0.0", "localhost"), ("::", "localhost")]
)
def test_the_url_has_a_name_that_the_page_answers_to(film, monkeypatch, address, name):
    monkeypatch.setattr("server.playback.EventLoop.serve", lambda *_: (address, 4568))
    assert PlaybackServer(film, address, 4568, "of-0123456789-abcdef").url == f"http://{name}:4568/"
