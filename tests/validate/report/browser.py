"""A headless Chromium driven over its DevTools protocol, through a pair of pipes: no driver and no package are needed.

Protocol: https://chromedevtools.github.io/devtools-protocol/. Messages are JSON, ended by a zero byte, written to the
browser's file descriptor 3 and read from its 4.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["CHROMIUM", "Page", "opened"]

CHROMIUM = next(
    (result for name in ("chromium", "chromium-browser", "google-chrome") if (result := shutil.which(name))), None
)

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
)

PATIENCE = 60.0
"""Seconds after which an answer that has not come is a failure."""


class Page:
    """One tab; `problems` gathers what the console shows as warnings and errors: exceptions, failed loads,
    console.error.
    """

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._to, self._from = to_browser, from_browser
        self._rest, self._sent, self._session = b"", 0, ""
        self.problems: list[str] = []
        self._loaded = False
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result."""
        self._sent += 1
        message = {"id": self._sent, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._sent:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]

    def show(self, file: Path, *, width: int = 1280, dark: bool = False) -> None:
        """Open `file` by a file:// address in a window of `width` CSS pixels, of a phone below 600, and wait until it
        has loaded.
        """
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.problems, self._loaded = [], False
        self.call("Page.navigate", url=file.absolute().as_uri())
        while not self._loaded:
            self._receive()

    def ask(self, script: str) -> Any:
        """The value of a JavaScript expression, as JSON can hold it."""
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError(f"{script}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def wait(self, script: str) -> None:
        """Until a JavaScript expression is true; a ``TimeoutError`` if it does not become so."""
        self.ask(f"new Promise((go) => {{ const look = () => ({script}) ? go() : setTimeout(look, 10); look(); }})")

    def click(self, element: str) -> None:
        """Click with the mouse at the middle of (the first line of) what a JavaScript expression names."""
        x, y = self.ask(
            f"""((one) => {{ one.scrollIntoView({{ block: "center", inline: "center", behavior: "instant" }});
            const box = one.getClientRects()[0];
            return [box.x + box.width / 2, box.y + box.height / 2]; }})({element})"""
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def enter(self, selector: str, text: str) -> None:
        """Type `text` into an empty or filled input."""
        self.ask(f"(() => {{ const one = document.querySelector({selector!r}); one.focus(); one.select(); }})()")
        if text:
            self.call("Input.insertText", text=text)
        else:
            for kind in ("keyDown", "keyUp"):
                self.call("Input.dispatchKeyEvent", type=kind, key="Backspace", windowsVirtualKeyCode=8)

    def picture(self, file: Path) -> None:
        """Write what the whole page looks like as PNG."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(shot["data"]))

    def _receive(self) -> dict[str, Any]:
        until = time.monotonic() + PATIENCE
        while b"\0" not in self._rest:
            if not select.select([self._from], [], [], max(0.0, until - time.monotonic()))[0]:
                raise TimeoutError(f"Chromium did not answer for {PATIENCE:g} s")
            if not (more := os.read(self._from, 1 << 20)):
                raise RuntimeError("Chromium has gone away")
            self._rest += more
        text, _, self._rest = self._rest.partition(b"\0")
        message = json.loads(text)
        parameters = message.get("params", {})
        match message.get("method"):
            case "Page.loadEventFired":
                self._loaded = True
            case "Runtime.exceptionThrown":
                self.problems.append(str(parameters["exceptionDetails"]))
            case "Log.entryAdded":
                self.problems.append(
                    f"{parameters['entry']['level']}: {parameters['entry']['text']} "
                    f"{parameters['entry'].get('url', '')}"
                )
            case "Runtime.consoleAPICalled" if parameters["type"] in ("error", "warning", "assert"):
                self.problems.append(str(parameters["args"]))
        return message


@contextmanager
def opened(profile: Path) -> Iterator[Page]:
    """A browser with a new `profile` folder; it and all its processes are gone at the end."""
    assert CHROMIUM is not None
    to_browser, from_browser = os.pipe(), os.pipe()
    # Above the numbers they are given in the browser, so that none is closed by taking another's place.
    moved = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in (to_browser[0], from_browser[1])]
    silent = os.open(os.devnull, os.O_RDWR)
    pid = os.posix_spawn(
        CHROMIUM,
        [CHROMIUM, *FLAGS, f"--user-data-dir={profile}"],
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_DUP2, fd, to) for fd, to in zip((silent, silent, *moved), (1, 2, 3, 4), strict=True)
        ],
        setpgroup=0,
    )
    for fd in (to_browser[0], from_browser[1], silent, *moved):
        os.close(fd)
    try:
        yield Page(to_browser[1], from_browser[0])
    finally:
        os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(to_browser[1])
        os.close(from_browser[0])
