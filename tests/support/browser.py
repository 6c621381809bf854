"""The page in a real Chromium."""

import contextlib
import io
import re

import numpy as np
from PIL import Image
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from support.waiting import PATIENCE_S, wait_until


@contextlib.contextmanager
def looking(browser, port: int, width: int = 1400, height: int = 900, scheme: str = "dark"):
    """The page in a window of this size, dark or light; at the end, the browser's log must have no complaints."""
    wanted = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", wanted)
    device = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", device)
    browser.get_log("browser")
    browser.get(f"http://127.0.0.1:{port}/")
    wait_loaded(browser)
    yield browser
    complaints = [line["message"] for line in browser.get_log("browser") if line["level"] == "SEVERE"]
    browser.get("about:blank")
    # Except about a server that has been stopped, and a network that could not be loaded.
    assert [line for line in complaints if not re.search("net::ERR_|status of 422", line)] == []


def wait_loaded(browser) -> None:
    """Wait until text and style sheet are loaded; Chromium sometimes reports a page as loaded before they are."""
    script = "return document.readyState === 'complete' && document.styleSheets.length > 0"
    WebDriverWait(browser, PATIENCE_S, 0.05).until(lambda _: browser.execute_script(script), "expected a loaded page")


def shows(browser, words: str, selector: str = ".state") -> bool:
    def is_shown(_) -> bool:
        texts = browser.execute_script(
            "return [...document.querySelectorAll(arguments[0])].map((element) => element.innerText)", selector
        )
        return any(words in text for text in texts)

    return WebDriverWait(browser, PATIENCE_S, 0.05).until(is_shown, f"expected {words!r} in {selector}")


def wait_idle(button) -> None:
    """Wait until a button takes orders: its latest order has been answered, and its function is settled."""
    script = "return arguments[0].ariaBusy !== 'true' && !(performance.now() < arguments[0].dataset.settledMs)"
    wait_until(lambda: button.parent.execute_script(script, button), "a button that takes orders")


def screenshot(browser, selector: str) -> np.ndarray:
    """(H, W, 3) int: picture of an element."""
    png = browser.find_element(By.CSS_SELECTOR, selector).screenshot_as_png
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def too_wide(browser) -> list[str]:
    """The elements that do not fit into the window's width."""
    return browser.execute_script(
        "return [...document.querySelectorAll('*')]"
        ".filter((element) => element.getBoundingClientRect().right > innerWidth + 0.5 "
        "|| element.scrollWidth > element.clientWidth + 1 && getComputedStyle(element).display == 'block')"
        ".map((element) => element.className || element.tagName)"
    )


def press_key(browser, keys: str) -> None:
    """Press keys on the page, regardless of the focus."""
    ActionChains(browser).send_keys(keys).perform()
