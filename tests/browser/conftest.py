"""A real browser: Debian's Chromium, headless, driven over the W3C WebDriver protocol. `make test-browser` installs it."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)
MISSING = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]


class Browser:
    """One session. `script` runs JavaScript in the page and gives what it returns."""

    def __init__(self, port: int) -> None:
        self._root = f"http://127.0.0.1:{port}"
        self._session = ""

    def start(self, profile: Path) -> None:
        options = {"args": [*FLAGS, f"--user-data-dir={profile}"], "binary": shutil.which("chromium")}
        wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        told = self._call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self._session = f"/session/{told['sessionId']}"

    def stop(self) -> None:
        self._call("DELETE", self._session)

    def open(self, page: Path, width: int = 1400, height: int = 1000) -> None:
        self.command("Emulation.setEmulatedMedia", features=[], media="")
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.command("Emulation.setDeviceMetricsOverride", **size)
        self._call("POST", f"{self._session}/url", {"url": page.as_uri()})

    def script(self, words: str) -> Any:
        return self._call("POST", f"{self._session}/execute/sync", {"script": words, "args": []})

    def command(self, name: str, **parameters: object) -> Any:
        """One of the DevTools protocol."""
        return self._call("POST", f"{self._session}/goog/cdp/execute", {"cmd": name, "params": parameters})

    def hover(self, x: float, y: float) -> None:
        self.command("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def log(self) -> list[str]:
        """What the page's console has had to complain about."""
        told = self._call("POST", f"{self._session}/se/log", {"type": "browser"})
        return [entry["message"] for entry in told]

    def printed(self) -> bytes:
        """The page on paper, as a PDF."""
        return base64.b64decode(
            self._call("POST", f"{self._session}/print", {"orientation": "landscape", "background": True})
        )

    def picture(self) -> bytes:
        return base64.b64decode(self._call("GET", f"{self._session}/screenshot"))

    def _call(self, method: str, path: str, body: object = None) -> Any:
        data = None if method != "POST" else json.dumps(body or {}).encode()
        request = urllib.request.Request(self._root + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(error.read().decode()[:500]) from None


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A skip where there is none; MEMD_BROWSER=required (make test-browser) makes that a failure."""
    if MISSING:
        words = f"{' and '.join(MISSING)} not installed; make test-browser installs and uses them"
        if os.environ.get("MEMD_BROWSER") == "required":
            pytest.fail(words)
        pytest.skip(words)
    home = tmp_path_factory.mktemp("browser")
    with _driver(home) as port:
        browser = Browser(port)
        browser.start(home / "profile")
        try:
            yield browser
        finally:
            browser.stop()


@contextlib.contextmanager
def _driver(home: Path) -> Iterator[int]:
    env = {**os.environ, "HOME": str(home), "TMPDIR": str(home)}
    driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, env=env, text=True)
    assert driver.stdout is not None
    try:
        for line in driver.stdout:
            if found := re.search(r"started successfully on port (\d+)", line):
                yield int(found[1])
                break
        else:
            pytest.fail(f"chromedriver ended with status {driver.wait()}")
    finally:
        driver.terminate()
        driver.wait()
        driver.stdout.close()


def save(picture: bytes, name: str) -> None:
    """A screenshot for people, where MEMD_PICTURES says."""
    if directory := os.environ.get("MEMD_PICTURES"):
        Path(directory).mkdir(parents=True, exist_ok=True)
        Path(directory, name).write_bytes(picture)
