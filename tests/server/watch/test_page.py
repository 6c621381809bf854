"""The page over a real server: its stream, its commands, and itself in a real Chromium."""

import base64
import contextlib
import io
import json
import math
import re
import shutil
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import socketio
from PIL import Image
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support import expected_conditions
from selenium.webdriver.support.ui import Select, WebDriverWait
from support.browser import looking, press_key, screenshot, shows, too_wide, wait_idle
from support.fake_engine import BLUE, FAKE_SERVER, GREEN, GREY, HERO_AND_DOG, RED
from support.fronts import running_fronts
from support.live import BOX, WATCHDOG, answers, fields, follow, picture
from support.page import Flight, Viewer, flying, name_of, request
from support.waiting import PATIENCE_S, wait_until

from server.watch.routes import MOST_VIEWERS, PAGE
from tools.simulator.server_process import ServerProcess, free_port, running_server
from tools.simulator.wire import QuadSimClient

STATES = ("patrol", "confirming", "following", "coasting", "lost", "held")
GROUNDS = ("ground", "panel", "inset")
TEXTS = ("text", "quiet")
# Linear RGB as seen by eyes that lack one kind of cones.
# Source: Machado, Oliveira, Fernandes, A physiologically-based model for simulation of color vision deficiency, 2009.
COLOUR_BLIND = {
    "all cones": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}
# Linear RGB to OKLab, in which distances are as large as they look. Source: Ottosson, A perceptual color space, 2020.
OKLAB_CONES = np.array([[0.41222, 0.53633, 0.05145], [0.2119, 0.6807, 0.1074], [0.0883, 0.28172, 0.62998]])
OKLAB = np.array([[0.21045, 0.79362, -0.00407], [1.978, -2.42859, 0.45059], [0.0259, 0.78277, -0.80868]])
LUMINANCE = (0.2126, 0.7152, 0.0722)
# Hides the page as another tab in front of it does (argument: true), or shows it again.
TURN_AWAY = (
    "Object.defineProperty(document, 'hidden', {value: arguments[0], configurable: true});"
    "document.dispatchEvent(new Event('visibilitychange'));"
)


@pytest.fixture(scope="module")
def server():
    with running_server("unused", *WATCHDOG, script=FAKE_SERVER) as process:
        yield process


def hold(server: ServerProcess, name: str, is_held: bool = True, **headers: str) -> int:
    body = json.dumps({"simulator": name, "is_held": is_held})
    return request(server, "POST", "/hold", body, **{"Content_Type": "application/json", **headers})[0]


def test_the_page_comes_with_all_that_it_names_and_asks_no_other_server(server: ServerProcess):
    status, index, headers = request(server, "GET", "/")
    assert status == 200
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    named = set(re.findall(r'(?:src|href)="([^"]+)"', index.decode()))
    assert "/source.js" in named, "which is live.js here, and recording.js with a recording"
    named |= {"/page/live.js", "/page/recording.js"}
    for file in PAGE.glob("*.js"):
        named |= set(re.findall(r'from "([^"]+)"', file.read_text()))
    assert {Path(path).name for path in named} == {"source.js"} | {file.name for file in PAGE.iterdir()} - {
        "index.html"
    }
    for path in named:
        assert request(server, "GET", path)[0] == 200, path
    for file in PAGE.iterdir():
        assert set(re.findall(r"https?://[^\"' ]+", file.read_text())) <= {"http://www.w3.org/2000/svg"}
    assert request(server, "GET", "/page/../app.py")[0] == 404


def test_a_held_drone_is_told_to_patrol_and_nothing_else_until_it_is_released(server: ServerProcess):
    with flying(server) as flight:
        flight.client.wait_for("object_detected", timeout_s=PATIENCE_S)
        name = name_of(server)
        held_s = time.monotonic()
        assert hold(server, name) == 204
        lost = flight.client.wait_for("object_lost", since_s=held_s, timeout_s=PATIENCE_S)
        flight.wait_frames(5)
        assert [event.name for event in flight.client.events if event.arrived_s > lost.arrived_s] == []
        released_s = time.monotonic()
        assert hold(server, name, is_held=False) == 204
        assert flight.client.wait_for("object_detected", since_s=released_s, timeout_s=PATIENCE_S)


def test_a_hold_outlasts_a_lost_connection(server: ServerProcess):
    with flying(server) as flight:
        flight.client.wait_for("object_detected", timeout_s=PATIENCE_S)
        assert hold(server, name_of(server)) == 204
        with flying(server) as reconnected:  # before the server has noticed that the first one is gone
            stays_on_hold(reconnected)
    wait_until(lambda: not server.health()[1]["sessions"])
    with flying(server) as flight, flying(server) as another:  # either may be the one that was held
        stays_on_hold(flight)
        stays_on_hold(another)
        for session in server.health()[1]["sessions"]:
            assert hold(server, session["name"], is_held=False) == 204
        assert flight.client.wait_for("object_detected", timeout_s=PATIENCE_S)
    with flying(server) as flight:
        assert flight.client.wait_for("object_detected", timeout_s=PATIENCE_S), "released, and so is who comes next"


def stays_on_hold(flight: Flight) -> None:
    assert flight.client.wait_for("object_lost", timeout_s=PATIENCE_S)
    flight.wait_frames(5)
    assert [event.name for event in flight.client.events] == ["object_lost"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://127.0.0.1:{port}"}, 204),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Origin": "http://evil.example", "Host": "evil.example"}, 403),  # its name pointed at this machine
        ({"Content_Type": "text/plain"}, 415),  # what a form of another site can send
    ],
)
def test_only_the_servers_own_page_can_hold_or_record_a_drone(server: ServerProcess, headers, status):
    headers = {key: value.format(port=server.port) for key, value in headers.items()}
    with flying(server) as flight:
        flight.client.wait_for("object_detected", timeout_s=PATIENCE_S)
        assert hold(server, name_of(server), **headers) == status
        assert server.metrics()["followme_sessions_held"] == (status == 204)
        hold(server, name_of(server), is_held=False)
        wish = json.dumps({"simulator": name_of(server), "is_recorded": False})
        assert request(server, "POST", "/record", wish, **{"Content_Type": "application/json", **headers})[0] == status


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ('{"simulator": "nobody", "is_held": true, "is_recorded": true}', 404),
        ('{"simulator": "nobody", "is_held": "yes", "is_recorded": 1}', 400),
        ("[]", 400),
        ("{", 400),
        ('{"is_held": "' + "x" * 2000 + '"}', 413),
    ],
)
@pytest.mark.parametrize("path", ["/hold", "/record"])
def test_a_command_that_makes_no_sense_is_refused(server: ServerProcess, path, body, status):
    assert request(server, "POST", path, body, Content_Type="application/json")[0] == status


def stops_changing(read: Callable[[], float], flight: Flight) -> None:
    """Wait until a value stays the same for five frames; work that has begun may still change it before."""

    def stays() -> bool:
        before = read()
        flight.wait_frames(5)
        return read() == before

    wait_until(stays)


def test_nothing_is_drawn_while_nobody_looks_and_a_viewer_is_no_simulator(server: ServerProcess):
    drawn = server.metrics()["followme_pictures_total"]
    with flying(server) as flight:
        flight.client.wait_for("object_detected", timeout_s=PATIENCE_S)
        assert server.metrics()["followme_pictures_total"] == drawn
        viewer = Viewer(server)
        message = viewer.next_that(lambda message: message["simulators"][0].get("picture"))
        shown = Image.open(io.BytesIO(base64.b64decode(message["simulators"][0]["picture"])))
        assert shown.size == (512, 512)
        assert len(server.health()[1]["sessions"]) == 1
        assert server.metrics()["followme_viewers"] == 1
        viewer.close()
        wait_until(lambda: server.metrics()["followme_viewers"] == 0)
        stops_changing(lambda: server.metrics()["followme_pictures_total"], flight)


def test_pred_viz_draws_without_a_viewer():
    with running_server("unused", "--pred_viz", *WATCHDOG, script=FAKE_SERVER) as server, flying(server):
        wait_until(lambda: server.metrics()["followme_pictures_total"] >= 2)
        assert server.metrics()["followme_viewers"] == 0


def order(server: ServerProcess, path: str, person: object, **headers: str) -> int:
    body = json.dumps({"simulator": name_of(server), "person": person})
    return request(server, "POST", path, body, **{"Content_Type": "application/json", **headers})[0]


def test_the_operators_orders_about_people_come_over_http(server: ServerProcess):
    with flying(server, image=two_people()) as flight:
        left_m, viewer = flight.led_to(), Viewer(server)
        people = viewer.next_that(lambda message: message["simulators"])["simulators"][0]["people"]
        viewer.close()
        hero, other = (number for number, *_ in sorted(people, key=lambda person: -person[1]))
        assert order(server, "/choose", other) == 204
        wait_until(lambda: math.dist(left_m, flight.led_to()) > 3)
        assert order(server, "/choose", None) == 204
        wait_until(lambda: math.dist(left_m, flight.led_to()) < 1)
        refused_s = time.monotonic()
        assert order(server, "/refuse", hero) == 204
        assert flight.client.wait_for("object_lost", since_s=refused_s, timeout_s=PATIENCE_S)
        assert order(server, "/choose", other + 1) == 404
        assert order(server, "/choose", other, Origin="http://evil.example") == 403
        assert order(server, "/refuse", None) == 400


def test_scripts_give_the_same_orders_over_socket_io(server: ServerProcess):
    client = socketio.Client()
    client.connect(f"http://127.0.0.1:{server.port}", transports=["websocket"])
    try:
        with flying(server) as flight:
            flight.led_to()
            order = {"simulator": name_of(server), "person": 1}
            refused_s, logged = time.monotonic(), len(server.log)
            assert client.call("refuse_person", order, timeout=PATIENCE_S) is None
            assert flight.client.wait_for("object_lost", since_s=refused_s, timeout_s=PATIENCE_S)
            assert client.call("choose_person", order, timeout=PATIENCE_S) is None
            flight.led_to()
            assert server.wait_for_log("person 1 chosen by hand", PATIENCE_S, after=logged)
            assert client.call("choose_person", {**order, "person": 1000}, timeout=PATIENCE_S) is None
            assert server.wait_for_log("choose_person: expected a person tracked", PATIENCE_S, after=logged)
            client.emit("refuse_person", "please")
            assert server.wait_for_log('refuse_person: expected {"simulator"', PATIENCE_S, after=logged)
            assert len(server.health()[1]["sessions"]) == 1, "whoever gives orders is no simulator"
    finally:
        client.disconnect()


def test_overlay_images_go_to_clients_that_ask_and_to_nobody_else(server: ServerProcess):
    pictures = []
    client = socketio.Client()
    client.on("overlay_image", pictures.append)
    client.connect(f"http://127.0.0.1:{server.port}", transports=["websocket"])
    try:
        with flying(server) as flight:
            flight.client.wait_for("object_detected", timeout_s=PATIENCE_S)
            assert pictures == []
            assert client.call("watch_overlay", {"watch": True}, timeout=PATIENCE_S) is None
            wait_until(lambda: len(pictures) >= 3)
            assert set(pictures[-1]) == {"session", "timestamp", "image"}
            assert pictures[-1]["session"] == name_of(server)
            assert abs(pictures[-1]["timestamp"] - time.time()) < 60
            image = np.asarray(Image.open(io.BytesIO(base64.b64decode(pictures[-1]["image"]))))
            left, top, _, _ = BOX
            red, green, _ = image[2 * top + 20, 2 * left + 10].astype(int)
            assert image.shape == (512, 512, 3)
            assert green > 80 and red < 180, "the red hero is tinted green"
            client.call("watch_overlay", {"watch": False}, timeout=PATIENCE_S)
            stops_changing(lambda: len(pictures), flight)
            assert {event.name for event in flight.client.events} <= {
                "object_lost",
                "object_detected",
                "create_box_marker",
            }
            logged = len(server.log)
            client.emit("watch_overlay", "please")
            assert server.wait_for_log("watch_overlay: expected", PATIENCE_S, after=logged)
    finally:
        client.disconnect()


def test_viewers_and_one_who_does_not_read_leave_every_frame_answered(server: ServerProcess):
    viewers = [Viewer(server) for _ in range(2)]
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.connect(("127.0.0.1", server.port))
    deaf.sendall(b"GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    wait_until(lambda: server.metrics()["followme_viewers"] == 3)
    watched: list[int] = []

    def watch(viewer: Viewer) -> None:
        with contextlib.suppress(OSError, ValueError, AttributeError, AssertionError):  # closed by the test
            while True:
                watched.append(any(about.get("picture") for about in viewer.next()["simulators"]))

    watchers = [threading.Thread(target=watch, args=(viewer,), daemon=True) for viewer in viewers]
    for watcher in watchers:
        watcher.start()
    with QuadSimClient(port=server.port) as client:
        follow(client)
        noise = np.random.default_rng(0).integers(0, 30, (256, 256, 3))  # large pictures, the hero in one piece
        large = (picture() // 2 + 60 + noise).clip(0, 255).astype(np.uint8)

        def is_dropped() -> bool:
            assert answers(client, fields(large))
            return server.metrics()["followme_viewers"] == 2

        wait_until(is_dropped, "a viewer who has not read for seconds dropped")
        wait_until(lambda: answers(client, fields(large)) and sum(watched) > 20, "the others shown pictures")
        assert client.is_connected
    for viewer in viewers:
        viewer.close()
    deaf.close()


def colours(browser) -> dict[str, str]:
    """The page's colours by their names in its style: #rrggbb."""
    names = [*STATES, *GROUNDS, *TEXTS]
    script = (
        "const style = getComputedStyle(document.documentElement);"
        "return arguments[0].map((name) => style.getPropertyValue(`--${name}`).trim())"
    )
    return dict(zip(names, browser.execute_script(script, names), strict=True))


def rgb(colour: str) -> tuple[int, ...]:
    assert re.fullmatch("#[0-9a-f]{6}", colour), colour
    return tuple(bytes.fromhex(colour[1:]))


def test_the_page_waits_for_a_simulator_and_shows_it_live(server: ServerProcess, browser):
    with looking(browser, server.port):
        assert shows(browser, "Waiting for a simulator", "#nobody h2")
        assert shows(browser, f"tools/simulate.py --server {server.url}", "#nobody code")
        with flying(server) as flight:
            assert shows(browser, "FOLLOWING")
            assert shows(browser, "12", '[data-of="distance"]'), "12 m away"
            WebDriverWait(browser, PATIENCE_S).until(
                lambda _: browser.execute_script("return document.querySelector('.picture img').naturalWidth") == 512
            )
            camera = screenshot(browser, ".picture img")
            red, green, blue = camera[..., 0], camera[..., 1], camera[..., 2]
            assert ((green > red + 20) & (green > blue + 20)).sum() > 500, "the hero, tinted green"
            assert ((abs(red - 128) < 12) & (abs(green - 128) < 12)).mean() > 0.5, "the grey scene"
            charted = screenshot(browser, ".latency canvas")
            assert (charted[..., 2] > 150).sum() > 20, "dots of latency"
            mapped = screenshot(browser, ".map canvas")
            assert (mapped.max(axis=-1) > 100).sum() > 100, "drone and hero"
            late = (  # a moment of long before, as a history's come; and a new connection
                "const { cards, startAnew } = await import('/page/page.js'); const [card] = cards.values();"
                "card.show({ ...card.about, moments: [[card.nowS - 99, 999, 'patrol', null, null]] }, card.nowS, []);"
                "const seen = [card.moments[0].latencyMs, card.element.querySelector('[data-of=latency]').innerText];"
                "startAnew(); return [...seen, card.element.querySelector('.picture img').hidden];"
            )
            first_ms, shown, is_hidden = browser.execute_script(late)
            assert first_ms == 999 and "999" not in shown
            assert is_hidden, "until the server says that the picture is of now"
            flight.colour = GREY
            assert shows(browser, "PATROL")
        assert shows(browser, "Waiting for a simulator", "#nobody h2")


def is_grey(browser, selector: str) -> bool:
    script = "return getComputedStyle(document.querySelector(arguments[0])).filter"
    return browser.execute_script(script, selector) == "grayscale(1)"


def test_a_drone_whose_frames_have_stopped_does_not_look_live(server: ServerProcess, browser):
    with looking(browser, server.port), flying(server) as flight:
        assert shows(browser, "in view, followed", ".people .where")
        flight.is_silent = True
        assert shows(browser, "No picture for", ".picture .caption")
        assert shows(browser, "was in view", ".people .where")
        assert is_grey(browser, ".picture img")
        press_key(browser, "w")
        assert shows(browser, "No picture for", "#wall .caption")
        assert tiles(browser)[0].endswith("no picture")
        assert is_grey(browser, "#wall img")
        flight.is_silent = False
        wait_until(lambda: not is_grey(browser, "#wall img"), "a live tile")
        assert shows(browser, "12", "#wall .distance")


def test_the_hold_button_holds_and_releases(server: ServerProcess, browser):
    with looking(browser, server.port), flying(server) as flight:
        assert shows(browser, "in view, followed", ".people .where")
        pressed_s = time.monotonic()
        browser.find_element(By.CSS_SELECTOR, "button.hold").click()
        lost = flight.client.wait_for("object_lost", since_s=pressed_s, timeout_s=PATIENCE_S)
        assert shows(browser, "ON HOLD")
        assert shows(browser, "Release", "button.hold")
        for place in (".people .where", ".map .hero"):
            assert shows(browser, "would be followed", place)
        assert [event.name for event in flight.client.events if event.arrived_s > lost.arrived_s] == []
        button = browser.find_element(By.CSS_SELECTOR, "button.hold")
        wait_idle(button)
        released_s = time.monotonic()
        button.click()
        assert flight.client.wait_for("object_detected", since_s=released_s, timeout_s=PATIENCE_S)
        assert shows(browser, "FOLLOWING")
        assert shows(browser, "in view, followed", ".people .where")


LEFT, RIGHT = 70, 180  # columns of the image


def two_people(left=RED, right=BLUE) -> np.ndarray:
    """A picture of two, a few metres apart."""
    image = picture(GREY)
    for column, colour in ((LEFT, left), (RIGHT, right)):
        image[100:160, column - 10 : column + 10] = colour
    return image


def click_in_picture(browser, column: int, row: int = 130) -> None:
    """Click at the place of a pixel of the camera's image."""
    element = browser.find_element(By.CSS_SELECTOR, ".picture img")
    width, height = element.size["width"], element.size["height"]
    offset = (width * (column / 256 - 0.5), height * (row / 256 - 0.5))  # from the middle
    ActionChains(browser).move_to_element_with_offset(element, *map(round, offset)).click().perform()


def people(browser) -> dict[str, str]:
    """Number → whereabouts, as the page lists them."""
    script = (
        "return Object.fromEntries([...document.querySelectorAll('.people li')]"
        ".map((row) => [row.dataset.number, row.querySelector('.where').innerText]))"
    )
    return browser.execute_script(script)


def press(browser, button: str, number: str) -> None:
    """Press a person's button with the keyboard."""
    element = browser.find_element(By.CSS_SELECTOR, f'.people li[data-number="{number}"] button.{button}')
    assert number in element.get_attribute("aria-label")
    element.send_keys(Keys.ENTER)


def dot_on_map(browser) -> tuple[int, int]:
    """(x, y) from the map's middle: within the dot of somebody who is not followed."""
    shown = screenshot(browser, ".map canvas")[:-40]  # the legend has such dots, too
    is_shade = (abs(shown - rgb(colours(browser)["patrol"])).max(axis=-1) < 3).astype(np.uint8)
    rows, columns = np.nonzero(cv2.erode(is_shade, np.ones((5, 5), np.uint8)))  # without letters
    return int(columns[0]) - shown.shape[1] // 2, int(rows[0]) - (shown.shape[0] + 40) // 2


def test_a_person_clicked_in_the_picture_is_followed_until_released(server: ServerProcess, browser):
    with looking(browser, server.port), flying(server, image=two_people()) as flight:
        assert shows(browser, "FOLLOWING")
        left_m = flight.led_to()
        click_in_picture(browser, RIGHT)
        assert shows(browser, "is chosen and in sight", ".meaning")
        assert math.dist(left_m, flight.led_to()) > 3, "the other one, some metres away"
        assert shows(browser, "in view, followed, chosen", ".people .where")
        browser.find_element(By.CSS_SELECTOR, ".people .release").click()
        assert shows(browser, "The hero is in sight", ".meaning")
        assert math.dist(left_m, flight.led_to()) < 0.5


def test_a_person_refused_is_left_for_patrol_and_one_chosen_from_the_list_is_followed(server: ServerProcess, browser):
    with looking(browser, server.port), flying(server, image=two_people()) as flight:
        assert shows(browser, "FOLLOWING")
        assert shows(browser, "followed", ".people .where")
        (hero,) = (number for number, where in people(browser).items() if "followed" in where)
        pressed_s = time.monotonic()
        press(browser, "refuse", hero)
        lost = flight.client.wait_for("object_lost", since_s=pressed_s, timeout_s=PATIENCE_S)
        assert shows(browser, "refused", ".people .where")
        flight.wait_frames(5)
        assert [event.name for event in flight.client.events if event.arrived_s > lost.arrived_s] == []
        (other,) = people(browser).keys() - {hero}
        press(browser, "follow", other)
        assert flight.client.wait_for("object_detected", since_s=lost.arrived_s, timeout_s=PATIENCE_S)
        assert shows(browser, f"Person {other} is chosen and in sight", ".meaning")


def test_a_newcomer_is_listed_at_the_end_while_the_list_is_in_use(server: ServerProcess, browser):
    with looking(browser, server.port), flying(server, image=two_people(left=GREY)) as flight:
        assert shows(browser, "in view", ".people .where")
        (first,) = people(browser)
        ActionChains(browser).move_to_element(browser.find_element(By.TAG_NAME, "h1")).perform()  # off the list
        press_key(browser, Keys.TAB)
        button = browser.find_element(By.CSS_SELECTOR, ".people button.follow")
        browser.execute_script("arguments[0].focus()", button)
        flight.image = two_people()  # the hero, who else comes first
        numbers = "return [...document.querySelectorAll('.people li')].map((row) => row.dataset.number)"
        wait_until(lambda: len(browser.execute_script(numbers)) == 2, "two rows")
        assert browser.execute_script(numbers)[0] == first
        assert browser.switch_to.active_element == button
        browser.execute_script("arguments[0].blur()", button)
        wait_until(lambda: browser.execute_script(numbers)[1] == first, "the hero first")


def test_the_page_says_when_several_may_be_the_hero_and_a_click_on_the_map_decides(server: ServerProcess, browser):
    with looking(browser, server.port), flying(server, image=two_people(right=RED)) as flight:
        assert shows(browser, "Several people could be the hero", ".meaning")
        assert [event.name for event in flight.client.events] == ["object_lost"]
        assert shows(browser, "50 %", ".people .chance")
        canvas = browser.find_element(By.CSS_SELECTOR, ".map canvas")
        ActionChains(browser).move_to_element_with_offset(canvas, *dot_on_map(browser)).click().perform()
        assert shows(browser, "is chosen and in sight", ".meaning")
        assert flight.client.wait_for("object_detected", timeout_s=PATIENCE_S)


def test_the_record_button_records_and_stops_and_tells_the_file(browser, tmp_path: Path):
    with (
        running_server("unused", "--record", str(tmp_path / "folder"), *WATCHDOG, script=FAKE_SERVER) as server,
        looking(browser, server.port, width=360, height=740),
    ):
        with flying(server, pose="none"):
            assert shows(browser, "Recording from the first frame that is understood", ".recording")
            button = browser.find_element(By.CSS_SELECTOR, "button.record")
            wait_idle(button)
            button.send_keys(Keys.ENTER)
            assert shows(browser, "Nothing was recorded", ".recording")
        with flying(server):
            assert shows(browser, "Stop recording", "button.record"), "all are recorded from the start"
            (first,) = wait_until(lambda: list((tmp_path / "folder").iterdir()))
            assert shows(browser, f"min: {first}", ".recording")
            button = browser.find_element(By.CSS_SELECTOR, "button.record")
            assert button.size["height"] >= 44, "as large as a thumb"
            assert too_wide(browser) == []
            browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", button)
            wait_idle(button)
            button.click()
            assert shows(browser, "Recorded", ".recording")
            assert shows(browser, "Record", "button.record")
            wait_idle(button)
            button.click()
            assert shows(browser, "Stop recording", "button.record")
            wait_until(lambda: len(list((tmp_path / "folder").iterdir())) == 2, "a second file")
            shutil.rmtree(tmp_path / "folder")
            assert shows(browser, "Recording stopped: ", ".recording")
            assert shows(browser, "removed or moved away", ".recording")
            assert button.text == "Record"
            assert shows(browser, "FOLLOWING")


def test_bad_input_is_shown_in_words(server: ServerProcess, browser):
    with looking(browser, server.port), flying(server) as flight:
        assert shows(browser, "FOLLOWING")
        flight.changes = {"pose": "1.0000,2.0000,3.0000"}
        assert shows(browser, "pose: got '1.0000,2.0000,3.0000' (3 numbers), expected", ".simulator .warnings")
        assert shows(browser, "following was interrupted. The drone patrols.", ".meaning")


def test_another_network_is_loaded_from_the_page_and_what_comes_of_it_is_told(browser, tmp_path: Path):
    too_long = f"{'long' * 50}.keras"  # for the server, which refuses it at once
    (tmp_path / too_long).write_text("another")
    for name in ("another", "sky  blue", "damaged"):  # two spaces, which the page shows as one
        (tmp_path / f"{name}.keras").write_text(name.split()[-1])
    with (
        running_server("unused", "--networks", str(tmp_path), *WATCHDOG, script=FAKE_SERVER) as server,
        looking(browser, server.port),
        flying(server, BLUE),
    ):
        assert shows(browser, "unused, colours", "#engine")
        assert shows(browser, "PATROL")
        names = browser.find_element(By.CSS_SELECTOR, "#networks select")
        button = browser.find_element(By.CSS_SELECTOR, "#networks button")
        WebDriverWait(browser, PATIENCE_S).until(lambda _: len(Select(names).options) == 4)
        Select(names).select_by_visible_text("damaged.keras")
        button.click()
        assert shows(browser, "Network not loaded: ", "#network")
        assert shows(browser, "PATROL")
        Select(names).select_by_visible_text(too_long)
        WebDriverWait(browser, PATIENCE_S).until(lambda _: button.is_enabled())
        button.click()
        assert shows(browser, "Network not loaded: expected the path of a network below", "#network")
        assert "status of 400" in browser.get_log("browser")[-1]["message"]  # else `looking` would complain of it
        Select(names).select_by_visible_text("sky blue.keras")
        WebDriverWait(browser, PATIENCE_S).until(lambda _: button.is_enabled())
        button.click()
        assert shows(browser, "colours, the hero in blue", "#engine")
        assert shows(browser, "FOLLOWING")
        browser.refresh()
        assert shows(browser, "FOLLOWING")
        names = Select(browser.find_element(By.CSS_SELECTOR, "#networks select"))
        assert names.first_selected_option.text == "sky blue.keras", "the one in use"


def test_another_target_of_the_network_is_chosen_on_the_page_and_keys_are_obeyed_there(browser):
    with (
        running_server(HERO_AND_DOG, *WATCHDOG, script=FAKE_SERVER) as server,
        looking(browser, server.port),
        flying(server, GREEN),
    ):
        assert shows(browser, "Nobody in view is likely to be the hero.", ".meaning")
        targets = Select(browser.find_element(By.CSS_SELECTOR, ".target select"))
        assert [each.text for each in targets.options] == ["hero", "dog"]
        targets.select_by_visible_text("dog")
        assert shows(browser, "The dog is in sight. The drone follows.", ".meaning")
        assert targets.first_selected_option.text == "dog"
        press_key(browser, "h")  # holds the drone, and does not jump to the hero
        assert shows(browser, "ON HOLD")
        assert browser.switch_to.active_element.get_attribute("value") == "dog"
        press_key(browser, Keys.SHIFT + "H" + Keys.SHIFT)
        assert shows(browser, "The dog is in sight. The drone follows.", ".meaning")
        press_key(browser, Keys.ARROW_UP)
        assert shows(browser, "Nobody in view is likely to be the hero.", ".meaning")
        press_key(browser, "d")  # nor does a letter without a meaning choose
        assert browser.switch_to.active_element.get_attribute("value") == "hero"


def test_a_browser_of_another_machine_shows_the_token_once_and_then_uses_the_page(browser, tmp_path: Path):
    (tmp_path / "token").write_text("of-0123456789-abcdef")
    with running_server("unused", "--token-file", str(tmp_path / "token"), *WATCHDOG, script=FAKE_SERVER) as server:
        browser.execute_cdp_cmd("Network.enable", {})
        browser.execute_cdp_cmd("Network.setExtraHTTPHeaders", {"headers": {"X-Forwarded-For": "192.0.2.7"}})
        try:
            browser.get(server.url)
            assert shows(browser, "expected a token, got none", "body")
            browser.get(f"{server.url}/?token=of-0123456789-abcdef")
            WebDriverWait(browser, PATIENCE_S, 0.05).until(expected_conditions.url_to_be(f"{server.url}/"))
            with looking(browser, server.port), flying(server):
                assert shows(browser, "FOLLOWING")
                browser.find_element(By.CSS_SELECTOR, "button.hold").click()
                assert shows(browser, "ON HOLD")
        finally:
            browser.execute_cdp_cmd("Network.setExtraHTTPHeaders", {"headers": {}})
            browser.delete_all_cookies()


def test_the_page_of_one_of_several_fronts_says_which_it_is_and_leads_to_the_others(server: ServerProcess, browser):
    with looking(browser, server.port):
        assert shows(browser, "live", "#link")
        assert not browser.find_element(By.ID, "front").is_displayed()
    with running_fronts() as several, looking(browser, several.port + 1):
        assert shows(browser, "front 1 of 2", "#front")
        browser.find_element(By.CSS_SELECTOR, "#front a").click()
        assert shows(browser, "Front 2", "a")
        browser.find_element(By.LINK_TEXT, "Front 2").click()
        assert shows(browser, "front 2 of 2", "#front")


def test_the_second_click_of_a_double_click_does_not_release(server: ServerProcess, browser):
    with looking(browser, server.port), flying(server) as flight:
        assert shows(browser, "FOLLOWING")
        ActionChains(browser).double_click(browser.find_element(By.CSS_SELECTOR, "button.hold")).perform()
        assert shows(browser, "ON HOLD")
        flight.wait_frames(5)
        assert server.metrics()["followme_sessions_held"] == 1
        assert hold(server, name_of(server), is_held=False) == 204, "for the next test's drone"


def test_neither_a_key_kept_down_nor_a_click_at_a_button_that_has_just_changed_ends_a_hold(server, browser):
    enter = {"type": "keyDown", "key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"}
    with looking(browser, server.port), flying(server) as flight:
        assert shows(browser, "FOLLOWING")
        button = browser.find_element(By.CSS_SELECTOR, "button.hold")
        browser.execute_script("arguments[0].focus()", button)
        browser.execute_cdp_cmd("Input.dispatchKeyEvent", enter)
        assert shows(browser, "ON HOLD")
        wait_idle(button)
        browser.execute_cdp_cmd("Input.dispatchKeyEvent", {**enter, "autoRepeat": True})
        browser.execute_cdp_cmd("Input.dispatchKeyEvent", {**enter, "type": "keyUp"})
        flight.wait_frames(5)
        assert server.metrics()["followme_sessions_held"] == 1
        button.click()
        assert shows(browser, "FOLLOWING")
        click_at_change = (
            "new MutationObserver((_, observer) => { arguments[0].click(); observer.disconnect(); })"
            ".observe(arguments[0], { childList: true })"
        )
        browser.execute_script(click_at_change, button)
        assert hold(server, name_of(server)) == 204, "another operator's"
        assert shows(browser, "ON HOLD")
        flight.wait_frames(5)
        assert server.metrics()["followme_sessions_held"] == 1
        wait_idle(button)
        button.click()
        assert shows(browser, "FOLLOWING")


def test_a_button_keeps_the_keyboards_focus_when_it_is_pressed(server: ServerProcess, browser):
    with looking(browser, server.port), flying(server):
        assert shows(browser, "FOLLOWING")
        browser.find_element(By.CSS_SELECTOR, "button.hold").send_keys(Keys.ENTER)
        assert shows(browser, "ON HOLD")
        button = browser.switch_to.active_element
        assert button.accessible_name == "Release drone 1"
        wait_idle(button)
        button.send_keys(Keys.ENTER)
        assert shows(browser, "FOLLOWING")


def test_keys_that_end_a_hold_do_not_reach_another_drone_than_the_one_chosen(server: ServerProcess, browser):
    with looking(browser, server.port), flying(server) as first:
        first.wait_frames(1)  # so that it is the first on the page
        with flying(server, GREY):
            assert shows(browser, "2 · ", ".name")
            for number in ("1", "2"):
                press_key(browser, number)
                press_key(browser, "h")
            wait_until(lambda: server.metrics()["followme_sessions_held"] == 2)
        wait_until(lambda: len(browser.find_elements(By.CSS_SELECTOR, ".simulator")) == 1)
        press_key(browser, Keys.SHIFT + "H" + Keys.SHIFT)  # for the second one, which has gone
        first.wait_frames(5)
        assert server.metrics()["followme_sessions_held"] == 1
        press_key(browser, "1")
        press_key(browser, Keys.SHIFT + "H" + Keys.SHIFT)
        wait_until(lambda: server.metrics()["followme_sessions_held"] == 0)
    with flying(server) as second:  # the one that left on hold comes back so
        stays_on_hold(second)
        assert hold(server, name_of(server), is_held=False) == 204, "for the next test's drone"


def test_a_hold_during_a_release_follows_it(server: ServerProcess, browser):
    slow_release = (
        "const now = fetch; window.orders = []; window.fetch = async (path, options) => {"
        "  if (options.body?.includes('false')) await new Promise((go) => { window.letGo = go; });"
        "  if (path === '/hold') orders.push(JSON.parse(options.body).is_held);"
        "  return now(path, options); }"
    )
    with looking(browser, server.port), flying(server):
        assert shows(browser, "FOLLOWING")
        press_key(browser, "h")
        assert shows(browser, "ON HOLD")
        wait_idle(browser.find_element(By.CSS_SELECTOR, "button.hold"))
        browser.execute_script(slow_release)
        press_key(browser, Keys.SHIFT + "H" + Keys.SHIFT)
        press_key(browser, "h")
        browser.execute_script("letGo()")
        wait_until(lambda: browser.execute_script("return orders") == [False, True], "a hold after the release")
        wait_idle(browser.find_element(By.CSS_SELECTOR, "button.hold"))
        assert server.metrics()["followme_sessions_held"] == 1
        assert hold(server, name_of(server), is_held=False) == 204, "for the next test's drone"


def test_a_refusal_is_told_in_the_servers_words(server: ServerProcess, browser):
    with looking(browser, server.port), flying(server):
        assert shows(browser, "FOLLOWING")
        said = (
            "const { ask } = await import('/page/ask.js');"
            "try { await ask('/choose', { simulator: 'nobody', person: 1 }); } catch (error) { return error.message; }"
        )
        assert browser.execute_script(said) == "expected a connected simulator"
        browser.get_log("browser")  # its 404


def test_an_address_typed_by_hand_shows_no_drone_and_breaks_nothing(server: ServerProcess, browser):
    with looking(browser, server.port), flying(server):
        assert shows(browser, "FOLLOWING")
        browser.execute_script("location.hash = '#drone=100%'")
        assert shows(browser, "100%", "#gone b")


def test_a_viewer_too_many_is_told_so_in_the_servers_words(server: ServerProcess, browser):
    wait_until(lambda: server.metrics()["followme_viewers"] == 0)
    with contextlib.ExitStack() as viewers:
        for _ in range(MOST_VIEWERS):
            viewers.callback(Viewer(server).close)
        with looking(browser, server.port):
            assert shows(browser, f"expected at most {MOST_VIEWERS} viewers, trying again", "#link")
            viewers.close()
            assert shows(browser, "live", "#link")
            browser.get_log("browser")  # its 503


def test_the_title_is_the_state_of_a_single_drone_and_only_while_the_page_is_connected(server: ServerProcess, browser):
    with looking(browser, server.port), flying(server):
        assert shows(browser, "FOLLOWING")
        wait_until(lambda: browser.title == "following · Follow me")
        browser.execute_script(TURN_AWAY, True)
        assert browser.title == "Follow me", "a hidden page is disconnected, and does not know the state"
        browser.execute_script(TURN_AWAY, False)
        wait_until(lambda: browser.title == "following · Follow me")
        with flying(server):
            wait_until(lambda: browser.title == "Follow me")


def test_a_page_that_was_hidden_shows_no_thumbnail_from_before_as_live(server: ServerProcess, browser):
    has_picture = "return Boolean(document.querySelector('#wall img:not([hidden])'))"
    with looking(browser, server.port), flying(server):
        browser.execute_script("location.hash = '#wall'")
        wait_until(lambda: browser.execute_script(has_picture))
        browser.execute_script(TURN_AWAY, True)
        browser.execute_script("window.fetch = () => new Promise(() => {})")  # no new thumbnails
        browser.execute_script(TURN_AWAY, False)
        assert shows(browser, "live", "#link")
        assert not browser.execute_script(has_picture)


def test_the_page_reconnects_by_itself(browser):
    port = free_port()
    with running_server("unused", *WATCHDOG, script=FAKE_SERVER, port=port), contextlib.ExitStack() as stack:
        stack.enter_context(looking(browser, port))
        assert shows(browser, "live", "#link")
        assert shows(browser, "Waiting for a simulator", "#nobody")
        later = stack.pop_all()
    with later:
        assert shows(browser, "no connection", "#link")
        assert browser.title == "no connection · Follow me"
        assert is_grey(browser, "#simulators"), "what is old does not look live"
        assert not browser.find_element(By.ID, "nobody").is_displayed(), "a simulator would not help"
        with running_server("unused", *WATCHDOG, script=FAKE_SERVER, port=port) as server, flying(server):
            assert shows(browser, "live", "#link")
            assert shows(browser, "FOLLOWING")


def linear(colour: str) -> np.ndarray:
    """(3,) linear RGB from 0 to 1, of sRGB."""
    shares = np.array(rgb(colour)) / 255
    return np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """Contrast as defined by WCAG 2: 1 to 21."""
    dark, light = sorted(linear(colour) @ LUMINANCE for colour in (one, other))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_the_colours_are_readable_and_differ_for_colour_blind_eyes(server: ServerProcess, browser, scheme):
    with looking(browser, server.port, scheme=scheme):
        shown = colours(browser)
    assert (linear(shown["panel"]) @ LUMINANCE > 0.5) == (scheme == "light")
    for text in (*STATES, *TEXTS):
        # 4.5 for text; states are in large letters on panels, and dots in insets.
        grounds = GROUNDS if text in TEXTS else ("panel",)
        assert min(contrast(shown[text], shown[ground]) for ground in grounds) >= 4.5, text
    for eyes, seen in COLOUR_BLIND.items():
        places = [OKLAB @ np.cbrt(OKLAB_CONES @ np.clip(seen @ linear(shown[state]), 0, 1)) for state in STATES]
        apart = {
            (STATES[one], STATES[other]): np.linalg.norm(places[one] - places[other])
            for other in range(len(STATES))
            for one in range(other)
        }
        assert min(apart.values()) > 0.1, (eyes, min(apart, key=apart.get))


def test_keys_hold_release_and_record_the_drone_that_was_chosen(browser, tmp_path: Path):
    with (
        running_server("unused", "--record", str(tmp_path), *WATCHDOG, script=FAKE_SERVER) as server,
        looking(browser, server.port),
        flying(server) as first,
    ):
        assert shows(browser, "FOLLOWING")
        with flying(server) as second:
            assert shows(browser, "2 · ", ".name")
            press_key(browser, "h")  # nobody is chosen of the two
            press_key(browser, "2")
            assert shows(browser, "2 · ", ".simulator[aria-current=true] .name")
            second.led_to()
            held_s = time.monotonic()
            press_key(browser, "h")
            assert second.client.wait_for("object_lost", since_s=held_s, timeout_s=PATIENCE_S)
            assert shows(browser, "ON HOLD", ".simulator[aria-current=true] .state")
            press_key(browser, "h")  # does not release
            first.wait_frames(5)
            assert server.metrics()["followme_sessions_held"] == 1
            first.led_to()
            wait_idle(browser.find_element(By.CSS_SELECTOR, ".simulator[aria-current=true] .hold"))
            press_key(browser, Keys.SHIFT + "H" + Keys.SHIFT)
            wait_until(lambda: server.metrics()["followme_sessions_held"] == 0)
            press_key(browser, "r")
            assert shows(browser, "Recorded", ".simulator[aria-current=true] .recording")
            browser.find_element(By.CSS_SELECTOR, "#keys input").click()
            press_key(browser, "h")
            first.wait_frames(5)
            assert server.metrics()["followme_sessions_held"] == 0, "keys are switched off"
            browser.find_element(By.CSS_SELECTOR, "#keys input").click()
        wait_until(lambda: len(browser.find_elements(By.CSS_SELECTOR, ".simulator")) == 1)
        press_key(browser, "h")  # there is one drone only
        wait_until(lambda: server.metrics()["followme_sessions_held"] == 1)


def test_a_screen_reader_can_tell_the_drones_and_their_buttons_apart(server: ServerProcess, browser):
    with looking(browser, server.port), flying(server), flying(server, GREY):
        assert shows(browser, "FOLLOWING")
        assert shows(browser, "2 · ", ".name")
        cards = browser.find_elements(By.CSS_SELECTOR, ".simulator")
        assert [(card.aria_role, card.accessible_name.partition(",")[0]) for card in cards] == [
            ("article", "Drone 1"),
            ("article", "Drone 2"),
        ]
        people_of = [each.accessible_name for each in browser.find_elements(By.CSS_SELECTOR, ".people")]
        assert people_of == ["People of drone 1", "People of drone 2"]
        buttons = [each for each in browser.find_elements(By.TAG_NAME, "button") if each.is_displayed()]
        of_drones = [each.accessible_name for each in buttons if each.get_attribute("class") in {"hold", "record"}]
        assert of_drones == ["Hold drone 1", "Record drone 1", "Hold drone 2", "Record drone 2"]
        for element in (*buttons, *browser.find_elements(By.CSS_SELECTOR, "canvas, img:not([alt='']), input, select")):
            assert not element.is_displayed() or element.accessible_name, element.get_attribute("outerHTML")
        press_key(browser, "1")
        assert browser.switch_to.active_element.accessible_name.startswith("Drone 1"), "and says whose turn it is"


def test_the_page_works_in_a_browser_that_forbids_storage(server: ServerProcess, browser):
    forbid = "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('', 'SecurityError'); } })"
    script = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": forbid})
    try:
        with looking(browser, server.port):
            browser.find_element(By.CSS_SELECTOR, "#keys input").click()
            assert shows(browser, "live", "#link")
    finally:
        browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", script)


def test_the_page_fits_a_phone(server: ServerProcess, browser):
    with looking(browser, server.port, width=360, height=740), flying(server):
        assert shows(browser, "FOLLOWING")
        assert too_wide(browser) == []
        button = browser.find_element(By.CSS_SELECTOR, "button.hold").size
        assert button["height"] >= 44, "as large as a thumb"


def test_two_simulators_are_shown_each_with_its_own_state(server: ServerProcess, browser):
    with looking(browser, server.port), flying(server), flying(server, GREY):
        assert shows(browser, "FOLLOWING")
        assert shows(browser, "PATROL")
        assert len(browser.find_elements(By.CSS_SELECTOR, ".simulator")) == 2


def tiles(browser) -> list[str]:
    """The text of a screen reader for each tile."""
    return [each.accessible_name for each in browser.find_elements(By.CSS_SELECTOR, "#wall a")]


def has_tiles(browser, count: int) -> bool:
    """Whether the wall has this many tiles. Much cheaper than `tiles`, for which Chromium works out names."""
    return len(browser.find_elements(By.CSS_SELECTOR, "#wall a")) == count


def open_tile(browser, number: int) -> None:
    browser.find_element(By.CSS_SELECTOR, f"#wall li:nth-child({number}) a").click()


@pytest.mark.parametrize(("width", "scheme"), [(1400, "dark"), (360, "light")])
def test_the_wall_shows_all_drones_small_and_a_tile_opens_its_drone(server: ServerProcess, browser, width, scheme):
    with looking(browser, server.port, width, 900, scheme), contextlib.ExitStack() as drones:
        for colour in (RED, GREY, RED):
            drones.enter_context(flying(server, colour)).wait_frames(1)  # so that they come in this order
        assert shows(browser, "3 · ", ".simulator .name")
        browser.find_element(By.CSS_SELECTOR, "#views button").click()
        wait_until(lambda: has_tiles(browser, 3), "three tiles")
        assert shows(browser, "FOLLOWING", "#wall .state")
        assert shows(browser, "12", "#wall .distance")
        assert [name.partition(",")[0] for name in tiles(browser)] == ["Drone 1", "Drone 2", "Drone 3"]
        assert any("following" in name and "m to the person" in name for name in tiles(browser))
        assert browser.find_elements(By.CSS_SELECTOR, ".simulator") == []
        widths = "return [...document.querySelectorAll('#wall img')].map((image) => image.naturalWidth)"
        wait_until(lambda: browser.execute_script(widths) == [192] * 3, "thumbnails")
        wait_until(lambda: server.metrics()["followme_viewers"] == 1)
        assert too_wide(browser) == []
        open_tile(browser, 2)
        assert shows(browser, "2 · ", ".simulator .name")
        assert shows(browser, "PATROL")
        assert len(browser.find_elements(By.CSS_SELECTOR, ".simulator")) == 1
        assert not browser.find_element(By.ID, "wall").is_displayed()
        press_key(browser, Keys.ESCAPE)
        wait_until(lambda: has_tiles(browser, 3), "the wall again")
        press_key(browser, "3")
        assert shows(browser, "3 · ", ".simulator .name")
        browser.back()
        wait_until(lambda: has_tiles(browser, 3), "the wall again")
        press_key(browser, "w")
        wait_until(lambda: len(browser.find_elements(By.CSS_SELECTOR, ".simulator")) == 3, "all in full")


def test_a_wall_that_gets_no_thumbnails_does_not_look_live(server: ServerProcess, browser):
    answer = "window.wasFetch ??= fetch; window.wasLimited = false; window.fetch = (path, options) => "
    has_picture = "return Boolean(document.querySelector('#wall img:not([hidden])')?.naturalWidth)"
    with looking(browser, server.port), flying(server):
        press_key(browser, "w")
        wait_until(lambda: browser.execute_script(has_picture), "a thumbnail")
        browser.execute_script(answer + "Promise.reject(new TypeError())")
        wait_until(lambda: is_grey(browser, "#wall img"), "a grey tile")
        browser.execute_script(answer + "(wasLimited = options.signal instanceof AbortSignal, wasFetch(path, options))")
        wait_until(lambda: browser.execute_script("return wasLimited"), "a request with a time limit")
        wait_until(lambda: not is_grey(browser, "#wall img"), "a live tile")
        browser.execute_script(answer + "Promise.resolve(new Response('{}'))")
        wait_until(lambda: not browser.execute_script(has_picture), "a tile whose drone has no new thumbnail")


def test_in_another_view_keys_act_on_the_drones_that_are_seen_there(server: ServerProcess, browser):
    names = []
    with looking(browser, server.port), contextlib.ExitStack() as drones:
        for _ in range(2):
            drones.enter_context(flying(server)).wait_frames(1)  # so that they come in this order
            names.append(name_of(server))
        assert shows(browser, "2 · ", ".name")
        press_key(browser, "1")
        left = browser.execute_async_script(
            "const [address, done] = arguments, $ = (each) => document.querySelector(each); location.hash = address;"
            "addEventListener('hashchange', () => done([$('.simulator'), $('#link').innerText]), { once: true });",
            f"#drone={names[1]}",
        )
        assert left == [None, "connecting …"], "until the first message of the new view"
        assert shows(browser, "2 · ", ".name")
        assert hold(server, names[1]) == 204
        assert shows(browser, "ON HOLD")
        press_key(browser, Keys.SHIFT + "H" + Keys.SHIFT)  # though 1 was chosen among all
        wait_until(lambda: server.metrics()["followme_sessions_held"] == 0)
        browser.back()
        assert shows(browser, "1 · ", ".name")
        cards = browser.find_elements(By.CSS_SELECTOR, ".simulator .name")
        assert [card.text for card in cards] == [f"1 · {names[0]}", f"2 · {names[1]}"]
        press_key(browser, "1")
        assert shows(browser, "1 · ", ".simulator[aria-current=true] .name")


def test_an_opened_drone_that_has_gone_is_told(server: ServerProcess, browser):
    with looking(browser, server.port), flying(server):
        assert shows(browser, "FOLLOWING")
        browser.execute_script("location.hash = '#drone=127.0.0.1%3A1'")
        assert shows(browser, "Drone 127.0.0.1:1 is not connected now.", "#gone")
        press_key(browser, "w")
        wait_until(lambda: has_tiles(browser, 1))
        assert not browser.find_element(By.ID, "gone").is_displayed()
