"""A recording in a real Chromium, shown by the command itself."""

import contextlib
import re
import signal
import subprocess
import sys

import pytest
import requests
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from support.browser import looking, press_key, shows, too_wide
from support.recorded_session import FORMAT_1
from support.waiting import PATIENCE_S, wait_until

from tools.simulator.server_process import REPOSITORY


@contextlib.contextmanager
def shown(*options):
    """The port of a page of the recording; in the end, Ctrl-C ends the command in order."""
    command = [sys.executable, REPOSITORY / "tools" / "replay.py", FORMAT_1, "--page", "--port", "0", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(2)]
        yield int(re.search(r"open http://127\.0\.0\.1:(\d+)/", lines[1])[1])
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 0
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def server():
    with shown() as port:
        yield port


def now_s(browser) -> float:
    minutes, seconds = browser.find_element(By.CSS_SELECTOR, "#player .now").text.split(":")
    return 60 * int(minutes) + float(seconds)


def test_a_recording_plays_pauses_and_is_gone_through_by_keys(server, browser):
    with looking(browser, server):
        assert shows(browser, "CONFIRMING")
        press_key(browser, Keys.ARROW_RIGHT)
        press_key(browser, Keys.ARROW_RIGHT)
        assert shows(browser, "FOLLOWING")
        press_key(browser, " ")
        assert shows(browser, "Pause", "#player .play")
        wait_until(lambda: now_s(browser) > 2)
        press_key(browser, " ")
        assert shows(browser, "Play", "#player .play")
        press_key(browser, Keys.END)
        assert shows(browser, "0:09.3", "#player .now")
        ActionChains(browser).key_down(Keys.SHIFT).send_keys(Keys.ARROW_LEFT).key_up(Keys.SHIFT).perform()
        assert shows(browser, "0:04.3", "#player .now")
        press_key(browser, Keys.HOME)
        assert shows(browser, "CONFIRMING")
        assert now_s(browser) == 0


def test_the_left_arrow_leads_from_the_end_to_the_beginning_past_steps_of_the_same_time(server, browser):
    with looking(browser, server):
        assert shows(browser, "CONFIRMING")
        press_key(browser, Keys.END)
        assert shows(browser, "0:09.3", "#player .now")
        for _ in range(300):  # presses, more than there are steps
            press_key(browser, Keys.ARROW_LEFT)
        assert now_s(browser) == 0
        assert shows(browser, "CONFIRMING")


def test_a_rate_of_frames_is_shown_once_a_second_has_passed(server, browser):
    def rates():
        places = "[data-of=rate], .chart.rate span"
        return [element.text for element in browser.find_elements(By.CSS_SELECTOR, places)]

    with looking(browser, server):
        assert shows(browser, "CONFIRMING")
        assert rates() == ["–", ""], "there is one frame"
        ActionChains(browser).key_down(Keys.SHIFT).send_keys(Keys.ARROW_RIGHT).key_up(Keys.SHIFT).perform()
        assert shows(browser, "0:05.0", "#player .now")
        wait_until(lambda: all(re.match(r"[1-9]", rate) for rate in rates()))


def test_a_decision_is_a_way_to_its_moment(server, browser):
    with looking(browser, server):
        assert shows(browser, "CONFIRMING")
        (held,) = (
            item
            for item in browser.find_elements(By.CSS_SELECTOR, "#decisions button")
            if "held by hand" in item.get_attribute("textContent")
        )
        browser.execute_script("arguments[0].click()", held)
        assert shows(browser, "ON HOLD")
        assert shows(browser, "held by hand", "#decisions [aria-current]")
        assert browser.execute_script("return document.querySelector('.picture img').naturalWidth") == 512


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_it_gives_no_orders_fits_a_phone_and_has_names_for_screen_readers(server, browser, scheme):
    with looking(browser, server, width=360, height=740, scheme=scheme):
        assert shows(browser, "CONFIRMING")
        buttons = [each for each in browser.find_elements(By.TAG_NAME, "button") if each.is_displayed()]
        assert not {each.get_attribute("class") for each in buttons} & {"hold", "record", "follow", "refuse", "release"}
        for element in (*buttons, *browser.find_elements(By.CSS_SELECTOR, "canvas, input, select")):
            assert not element.is_displayed() or element.accessible_name, element.get_attribute("outerHTML")
        assert too_wide(browser) == []


def test_pages_of_other_sites_are_refused(server):
    url = f"http://127.0.0.1:{server}/recording/0"
    for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
        assert requests.get(url, headers=headers, timeout=PATIENCE_S).status_code == 403
    assert requests.get(url, timeout=PATIENCE_S).status_code == 200


def test_another_machine_shows_the_token(tmp_path):
    (tmp_path / "token").write_text("of-0123456789-abcdef")
    with shown("--token-file", str(tmp_path / "token")) as port:
        url, other = f"http://127.0.0.1:{port}/recording", {"X-Forwarded-For": "192.0.2.7"}
        assert requests.get(url, headers=other, timeout=PATIENCE_S).status_code == 401
        other["Authorization"] = "Bearer of-0123456789-abcdef"
        assert requests.get(url, headers=other, timeout=PATIENCE_S).status_code == 200
