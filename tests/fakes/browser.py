"""A browser without a window: Debian's Chromium, told what to do over a pipe.

The protocol is that of Chromium's own tools: JSON, each message ended by a zero octet, over the
file descriptors 3 and 4. No driver, no port and no download is needed.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.samples.running_node import PATIENCE_S, ROOT

PARTS = ROOT / ".parts" / "debian"
BINARY = PARTS / "usr" / "lib" / "chromium" / "chromium-headless-shell"
#: Set where a run that leaves the browser out must not pass.
REQUIRED = "CIRRUS_BROWSER_REQUIRED"
ARGUMENTS = (
    "--remote-debugging-pipe",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-first-run",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
)
#: Keys that are pressed by name: code, key, number.
KEYS = {
    "Tab": ("Tab", "Tab", 9),
    "Enter": ("Enter", "Enter", 13),
    "Escape": ("Escape", "Escape", 27),
    "Space": ("Space", " ", 32),
}


def what_is_missing() -> str | None:
    """Return why no browser can be had, or None."""
    if BINARY.exists():
        return None
    return f"{BINARY.relative_to(ROOT)} is not there: run `make parts`"


class Browser:
    """A running browser with one page.

    Attributes:
        errors: What the page complained of: exceptions, errors of the console, broken rules.
        requests: The addresses that it asked for.
    """

    def __init__(self, folder: Path) -> None:
        self.errors: list[str] = []
        self.requests: list[str] = []
        self._replies: dict[int, dict[str, Any]] = {}
        self._number = 0
        self._rest = b""
        self._session: str | None = None
        self._to = self._from = -1
        self._process = self._launch(folder)
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        attached = self._call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "Accessibility"):
            self._call(f"{domain}.enable")

    def _launch(self, folder: Path) -> subprocess.Popen[bytes]:
        their_in, self._to = os.pipe()
        self._from, their_out = os.pipe()
        script = subprocess.run(
            ["bash", str(ROOT / "scripts" / "unpack_parts.sh"), "--library-path"],
            check=True,
            capture_output=True,
            text=True,
        )
        with (folder / "browser.log").open("wb") as log:
            process = subprocess.Popen(
                [
                    *("bash", "-c", f'exec "$@" 3<&{their_in} 4>&{their_out}', "bash"),
                    *(str(BINARY), *ARGUMENTS, f"--user-data-dir={folder / 'profile'}"),
                ],
                env={
                    **os.environ,
                    "LD_LIBRARY_PATH": script.stdout.strip(),
                    "XDG_DATA_HOME": str(PARTS / "usr" / "share"),
                    "HOME": str(folder),
                },
                pass_fds=(their_in, their_out),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        os.close(their_in)
        os.close(their_out)
        return process

    def close(self) -> None:
        """End the browser."""
        with contextlib.suppress(OSError, AssertionError):
            self._session = None
            self._call("Browser.close")
        for fd in (self._to, self._from):
            os.close(fd)
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(PATIENCE_S)

    # -- the protocol

    def _call(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        number = self._number
        message: dict[str, Any] = {"id": number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        until = time.monotonic() + PATIENCE_S
        while number not in self._replies:
            assert time.monotonic() < until, f"the browser does not answer {method}"
            self._read(0.5)
        reply = self._replies.pop(number)
        assert "error" not in reply, (method, reply)
        result: dict[str, Any] = reply["result"]
        return result

    def _read(self, patience_s: float) -> None:
        if not select.select([self._from], [], [], patience_s)[0]:
            return
        octets = os.read(self._from, 1 << 20)
        assert octets, "the browser has gone"
        *messages, self._rest = (self._rest + octets).split(b"\0")
        for message in messages:
            self._take(json.loads(message))

    def _take(self, message: dict[str, Any]) -> None:
        if "id" in message:
            self._replies[message["id"]] = message
            return
        params = message["params"]
        match message["method"]:
            case "Runtime.exceptionThrown":
                details = params["exceptionDetails"]
                self.errors.append(details.get("exception", {}).get("description", str(details)))
            case "Runtime.consoleAPICalled" if params["type"] in ("error", "warning", "assert"):
                self.errors.append(str([one.get("value") for one in params["args"]]))
            case "Log.entryAdded" if params["entry"]["level"] in ("error", "warning"):
                entry = params["entry"]
                self.errors.append(f"{entry['text']} {entry.get('url', '')}")
            case "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])

    # -- what a person does

    def goto(self, url: str) -> None:
        """Open an address."""
        self._call("Page.navigate", url=url)

    def evaluate(self, script: str) -> Any:
        """Return the value of an expression in the page, also of a promise."""
        result = self._call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def wait(self, script: str) -> None:
        """Wait until an expression is true."""
        until = time.monotonic() + PATIENCE_S
        while True:
            with contextlib.suppress(AssertionError):
                if self.evaluate(f"Boolean({script})"):
                    return
            if time.monotonic() > until:
                text = self.evaluate("document.body.innerText")
                raise AssertionError(f"not in time: {script}\n{self.errors}\n{text}")
            self._read(0.05)

    def wait_text(self, text: str) -> None:
        """Wait until the page shows a text."""
        self.wait(f"document.body.innerText.includes({json.dumps(text)})")

    def press(self, name: str, *, shift: bool = False) -> None:
        """Press a key and let it go."""
        code, key, number = KEYS[name]
        text = {"Enter": "\r", "Space": " "}.get(name)
        common = {
            "code": code,
            "key": key,
            "windowsVirtualKeyCode": number,
            "modifiers": 8 if shift else 0,
        }
        typed = {"text": text} if text else {}
        self._call(
            "Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", **common, **typed
        )
        self._call("Input.dispatchKeyEvent", type="keyUp", **common)

    def write(self, text: str) -> None:
        """Type a text where the focus is."""
        self._call("Input.insertText", text=text)

    def focused(self) -> str:
        """Return what has the focus, as its name is read aloud."""
        script = (
            "(e => e.ariaLabel || e.labels?.[0]?.innerText || e.innerText || e.id || e.tagName)"
        )
        name: str = self.evaluate(f"{script}(document.activeElement)")
        return name.strip()

    def tab_to(self, name: str, limit: int = 80) -> None:
        """Press Tab until what is named so has the focus."""
        seen = []
        for _ in range(limit):
            self.press("Tab")
            seen.append(self.focused())
            if seen[-1] == name:
                return
        raise AssertionError(f"{name!r} is not reached by Tab: {seen}")

    def look_as(self, scheme: str = "light", width: int = 1280, height: int = 800) -> None:
        """Have a window of this size, and a system with light or dark colours."""
        self._call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self._call("Emulation.setEmulatedMedia", features=[feature])

    def offline(self, is_offline: bool) -> None:
        """Pull the plug, or put it in again."""
        self._call(
            "Network.emulateNetworkConditions",
            offline=is_offline,
            latency=0,
            downloadThroughput=-1,
            uploadThroughput=-1,
        )

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """Write what is seen into a file."""
        shot = self._call("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))

    def accessible(self) -> list[dict[str, str]]:
        """Return role and name of all that a screen reader finds."""
        nodes = self._call("Accessibility.getFullAXTree")["nodes"]
        return [
            {
                "role": node["role"].get("value", ""),
                "name": node.get("name", {}).get("value", ""),
                "focusable": str(
                    any(
                        one["name"] == "focusable" and one["value"]["value"]
                        for one in node.get("properties", ())
                    )
                ),
            }
            for node in nodes
            if not node.get("ignored")
        ]


@contextlib.contextmanager
def browsing(folder: Path) -> Iterator[Browser]:
    """Run a browser."""
    browser = Browser(folder)
    try:
        yield browser
    finally:
        browser.close()
