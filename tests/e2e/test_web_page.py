"""The operators' web page in a real browser: by keyboard, in both colours, with hostile mail."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import msgspec
import pytest

from engine.admin.decisions import DecisionsListed
from tests.fakes import browser as browsers
from tests.fakes.browser import Browser, browsing
from tests.fakes.loopback_sink import LoopbackSink
from tests.fakes.node_process import NodeProcess, submit, wait_until

pytestmark = [pytest.mark.real_time, pytest.mark.slow]

#: What nobody's browser may take for markup, and what stands in the place of its parts.
HOSTILE = "<img src=x onerror=alert(1)><b>bold"
SCRIPT = f"""
@on("message_received")
def message_received(msg):
    if msg.recipient.user == "hostile":
        msg.set_meta("tenant", {HOSTILE!r})
    elif msg.recipient.user != "plain":
        msg.set_meta("tenant", msg.recipient.user)
"""
#: As it stands in the name of a queue.
HOSTILE_QUEUE = f"{quote(HOSTILE, safe='<>=()')}@grey.test"
VIEWS = (
    "",
    "queues",
    "ready-queues?has_empty=true",
    "messages",
    "providers",
    "directives",
    "automation",
    "audit",
    "find/ann@grey.test",
    "queue/grey.test",
    "policy",
    "path/grey.test",
    "ready/*",
    "message/*",
)
#: The worst contrast of any text that is seen, and which text that is.
CONTRAST = """(() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
  const paper = (e) => {
    for (; e; e = e.parentElement) {
      const found = parse(getComputedStyle(e).backgroundColor);
      if (found.length < 4 || found[3] > 0) return found;
    }
    return [255, 255, 255];
  };
  let worst = [99, ""];
  for (const e of document.body.querySelectorAll("*")) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!own || !e.checkVisibility() || e.closest(".unseen, .toast, .skip, noscript")) continue;
    const [a, b] = [light(parse(getComputedStyle(e).color)), light(paper(e))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < worst[0]) worst = [ratio, e.className + ": " + e.textContent.slice(0, 40)];
  }
  return worst;
})()"""
#: Roles that have to have a name of their own, and landmarks that each view has.
NAMED = {"button", "link", "textbox", "searchbox", "combobox", "checkbox", "table", "form", "img"}
LANDMARKS = {"banner", "navigation", "main", "search"}


@pytest.fixture(scope="module")
def _can_browse() -> None:
    why = browsers.what_is_missing()
    if why is not None:
        (pytest.fail if os.environ.get(browsers.REQUIRED) else pytest.skip)(why)


@pytest.fixture(scope="module")
def node(tmp_path_factory, _can_browse) -> Iterator[NodeProcess]:
    """A node with mail that waits, some of it with markup wherever a stranger could put it."""
    with LoopbackSink().listening() as sink:
        sink.judge = lambda stage, address: (
            f"451 4.7.1 greylisted {HOSTILE}" if "grey" in address else None
        )
        folder = tmp_path_factory.mktemp("node")
        node = NodeProcess(folder, sink.port, SCRIPT, queue="retry_interval='1h'")
        with node.running():
            with node.client() as client:
                for user in ("ann", "bob", "plain", "hostile"):
                    submit(client, HOSTILE, f"{user}@grey.test")
                submit(client, "goes", "plain@free.test")
            node.wait_records("TransientFailure", 4)
            node.json(
                "/api/admin/suspend/v1",
                {"reason": HOSTILE, "domain": "elsewhere.test", "duration": "1h"},
            )
            wait_until("a sample of all that", lambda: is_sampled(node))
            yield node


def is_sampled(node: NodeProcess) -> bool:
    samples = node.json("/api/admin/history/v1")["samples"]
    return bool(samples) and samples[-1]["scheduled"] == 4 and samples[-1]["suspensions"] > 0


@pytest.fixture(scope="module")
def shared_browser(tmp_path_factory, node) -> Iterator[Browser]:
    with browsing(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.fixture
def browser(shared_browser, node) -> Iterator[Browser]:
    """The browser; at the end nothing was wrong, and it asked nobody but the node."""
    shared_browser.errors.clear()
    shared_browser.requests.clear()
    shared_browser.look_as("light")
    yield shared_browser
    assert shared_browser.errors == []
    own = f"http://127.0.0.1:{node.http_port}/"
    assert [url for url in shared_browser.requests if not url.startswith((own, "about:"))] == []


def open_page(browser: Browser, node: NodeProcess, place: str = "") -> None:
    """Open a view and wait until it is there; the star is any queue or message."""
    if place == "ready/*":
        ready = node.json("/api/admin/queues/v1?has_empty=true")["ready"]
        place = f"ready/{quote(ready[0]['queue_name'], safe='')}"
    elif place == "message/*":
        place = f"message/{node.json('/api/admin/messages/v1')['messages'][0]['id']}"
    browser.goto("about:blank")
    browser.goto(f"http://127.0.0.1:{node.http_port}/ui/#/{place}")
    browser.wait(
        "document.querySelector('#fresh.live') && !document.querySelector('#view .quiet')"
        "?.innerText.startsWith('Loading')"
    )


def body(browser: Browser) -> str:
    text: str = browser.evaluate("document.body.innerText")
    return text


def test_the_first_look_shows_what_flows_and_why_mail_is_deferred(browser, node):
    open_page(browser, node)

    text = body(browser)
    assert "451 4.7.1 greylisted" in text
    assert "Suspensions in force" in text
    assert "ann@grey.test" in text
    cards = browser.evaluate(
        "[...document.querySelectorAll('.card')].map(e => e.innerText.split(/\\n+/).slice(0, 2))"
    )
    shown = dict(cards)
    assert shown["Scheduled"] == "4"
    assert int(shown["Suspensions"]) > 0
    assert browser.evaluate("document.querySelectorAll('.card svg[aria-label]').length") == len(
        cards
    )


def test_from_the_overview_to_why_a_message_waits_by_keyboard_alone(browser, node):
    open_page(browser, node)

    browser.tab_to("Scheduled queues")
    browser.press("Enter")
    browser.wait("document.title.startsWith('Scheduled queues')")
    assert browser.focused() == "Scheduled queues"
    browser.wait_text("ann@grey.test")
    browser.tab_to("ann@grey.test")
    browser.press("Enter")
    browser.wait_text("Why it waits")
    (message,) = node.json("/api/admin/messages/v1?recipient=ann@grey.test")["messages"]
    browser.wait_text(message["id"])
    browser.tab_to(message["id"])
    browser.press("Enter")
    browser.wait_text("attempt 1 failed: 451 4.7.1 greylisted")

    assert browser.evaluate("location.hash") == f"#/message/{message['id']}"
    assert "retry_interval" in body(browser)


def test_a_queue_is_suspended_by_keyboard_and_the_audit_log_tells(browser, node):
    open_page(browser, node, f"queue/{quote('bob@grey.test', safe='')}")

    browser.tab_to("Suspend")
    browser.press("Enter")
    browser.wait("document.querySelector('dialog[open]')")
    assert browser.focused() == "For how long"
    browser.tab_to("Suspend", 3) if browser.focused() == "Suspend" else browser.press("Tab")
    assert browser.focused() == "Reason"
    # Without a reason nothing is done.
    browser.press("Enter")
    assert browser.evaluate("document.querySelector('dialog[open]') !== null")
    browser.write(f"asked to {HOSTILE}")
    browser.press("Enter")
    browser.wait("!document.querySelector('dialog[open]')")
    browser.wait_text("Suspended bob@grey.test")
    assert browser.focused() == "Suspend"
    browser.wait("document.querySelector('.facts .badge.warn')")

    (made,) = [
        one for one in node.json("/api/admin/suspend/v1") if one["queue_names"] == ["bob@grey.test"]
    ]
    assert made["reason"] == f"asked to {HOSTILE}"
    open_page(browser, node, "audit")
    browser.wait_text(made["id"])
    assert f"reason: asked to {HOSTILE}" in body(browser)


def test_a_suspension_is_ended_only_after_a_confirmation(browser, node):
    made = node.json("/api/admin/suspend/v1", {"reason": "short", "domain": "end.test"})
    open_page(browser, node, "directives")

    browser.tab_to("End domain end.test")
    browser.press("Enter")
    browser.wait("document.querySelector('dialog[open]')")
    assert browser.focused() == "Let this mail go on"
    browser.press("Enter")
    assert browser.evaluate("document.querySelector('dialog[open]') !== null")
    assert made["id"] in {one["id"] for one in node.json("/api/admin/suspend/v1")}
    browser.press("Space")
    browser.press("Enter")
    browser.wait_text("Ended: domain end.test")

    assert made["id"] not in {one["id"] for one in node.json("/api/admin/suspend/v1")}


def test_an_act_that_is_refused_is_told_in_its_dialog(browser, node):
    open_page(browser, node, f"queue/{quote('ann@grey.test', safe='')}")

    browser.tab_to("Suspend")
    browser.press("Enter")
    browser.wait("document.querySelector('dialog[open]')")
    browser.evaluate("document.activeElement.select()")
    browser.write("soon")
    browser.press("Tab")
    browser.write("because")
    browser.press("Enter")
    browser.wait("document.querySelector('.problem').innerText.startsWith('duration')")

    assert browser.focused() == "For how long"
    browser.press("Escape")
    browser.wait("!document.querySelector('dialog[open]')")
    # The console tells of the 422; nothing else was wrong.
    assert [one for one in browser.errors if "422" not in one] == []
    browser.errors.clear()


@pytest.mark.parametrize("place", ["", "queues", "messages", "providers", "directives", "audit"])
def test_what_strangers_wrote_is_shown_as_they_wrote_it_and_is_no_markup(browser, node, place):
    open_page(browser, node, place)

    text = body(browser)
    assert HOSTILE in text or HOSTILE_QUEUE in text
    assert browser.evaluate("document.querySelectorAll('#view :is(img, b, script)').length") == 0


def test_a_queue_of_a_hostile_name_and_its_message_can_be_opened(browser, node):
    name = HOSTILE_QUEUE
    open_page(browser, node, f"queue/{quote(name, safe='')}")
    assert browser.evaluate("document.querySelector('h1').innerText").endswith(name)
    (message,) = [
        one for one in node.json("/api/admin/messages/v1")["messages"] if one["queue_name"] == name
    ]
    browser.tab_to(message["id"])
    browser.press("Enter")
    browser.wait_text("Reading the content of a message leaves an entry")
    browser.tab_to("Show content")
    browser.press("Enter")
    browser.wait_text(f"Subject: {HOSTILE}")

    assert browser.evaluate("document.querySelectorAll('#view :is(img, b, script)').length") == 0
    (entry, *_) = node.json("/api/admin/audit/v1?act=inspect-message")["entries"]
    assert entry["arguments"] == {"id": message["id"], "want_body": True}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read_in_light_and_in_dark(browser, node, scheme):
    browser.look_as(scheme)
    found = {}
    for place in VIEWS:
        open_page(browser, node, place)
        found[place] = browser.evaluate(CONTRAST)
    papers = browser.evaluate("getComputedStyle(document.body).backgroundColor")

    assert {place: worst for place, worst in found.items() if worst[0] < 4.5} == {}
    assert (papers == "rgb(255, 255, 255)") is (scheme == "light")


def test_the_colours_can_be_chosen_and_stay_chosen(browser, node):
    open_page(browser, node)
    paper = "getComputedStyle(document.body).backgroundColor"
    as_the_system = browser.evaluate(paper)
    browser.evaluate("document.getElementById('theme').focus()")
    for name in ("light", "dark"):
        browser.press("Enter")
        assert browser.focused() == f"Colours: {name}"
    dark = browser.evaluate(paper)
    open_page(browser, node, "queues")

    assert as_the_system != dark == browser.evaluate(paper)
    browser.evaluate("document.getElementById('theme').click()")
    assert browser.evaluate(paper) == as_the_system


@pytest.mark.parametrize("place", VIEWS)
def test_a_narrow_window_needs_no_sideways_scrolling(browser, node, place):
    browser.look_as("light", 400, 800)
    open_page(browser, node, place)

    assert browser.evaluate("document.documentElement.scrollWidth") <= 400


@pytest.mark.parametrize("place", VIEWS)
def test_all_that_can_be_used_has_a_name_and_each_view_its_landmarks(browser, node, place):
    open_page(browser, node, place)

    found = browser.accessible()
    nameless = [one for one in found if one["role"] in NAMED and not one["name"].strip()]
    assert nameless == []
    assert {one["role"] for one in found} >= LANDMARKS
    levels = browser.evaluate(
        "[...document.querySelectorAll('h1, h2, h3')].map(e => Number(e.tagName[1]))"
    )
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:], strict=False))
    ids = browser.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))


def test_what_is_new_appears_by_itself_and_takes_the_focus_from_nobody(browser, node):
    open_page(browser, node, "queues")
    browser.tab_to("ann@grey.test")
    browser.evaluate("document.activeElement.dataset.mine = 'yes'")
    node.send("new", "new@grey.test")

    browser.wait_text("new@grey.test")
    assert browser.focused() == "ann@grey.test"
    assert browser.evaluate("document.activeElement.dataset.mine") is None
    assert browser.evaluate("document.querySelectorAll('#announce')[0].innerText") == ""


def test_a_node_that_cannot_be_reached_is_told_and_what_is_shown_is_marked_as_old(browser, node):
    open_page(browser, node, "queues")
    browser.offline(True)
    browser.wait_text("The node cannot be reached")

    text = body(browser)
    assert "What is shown is of" in text
    assert "ann@grey.test" in text
    assert browser.evaluate("document.querySelector('#main.stale') !== null")
    assert "unreachable" in browser.evaluate("document.getElementById('announce').textContent")
    browser.offline(False)
    browser.evaluate("document.querySelector('#banner button').focus()")
    browser.press("Enter")
    browser.wait(
        "document.querySelector('#fresh.live') && document.querySelector('#banner').hidden"
    )
    assert not browser.evaluate("document.querySelector('#main.stale')")
    assert [one for one in browser.errors if "ERR_INTERNET_DISCONNECTED" not in one] == []
    browser.errors.clear()


ACCESS = """
@on("http_auth_basic")
def http_auth_basic(user, password):
    if (user, password) == ("ann", "right"):
        return {"identities": ["ann"], "groups": ["viewers"]}
    return False


@on("get_acl_definition")
def get_acl_definition(resource):
    if resource in ("http_listener/*/ui", "http_listener/*/api/admin"):
        return mta.make_access_control_list(
            [{"criteria": {"Group": "viewers"}, "privilege": "GET", "access": "Allow"}]
        )
"""


def test_the_page_can_do_what_its_caller_may_and_says_what_is_denied(browser, tmp_path, node):
    browser.goto("about:blank")
    browser.requests.clear()
    with NodeProcess(tmp_path, 1, ACCESS).running() as strict:
        address = f"http://127.0.0.1:{strict.http_port}/"
        browser.sign_in(None)
        browser.goto(f"{address}ui/#/directives")
        browser.wait_text('"error":"not allowed"')

        browser.sign_in("ann", "right")
        browser.goto("about:blank")
        browser.goto(f"{address}ui/#/directives")
        browser.wait("document.querySelector('#fresh.live')")
        browser.tab_to("Suspend")
        browser.press("Enter")
        browser.wait("document.querySelector('dialog[open]')")
        browser.evaluate("document.getElementById('d-reason').focus()")
        browser.write("because")
        browser.press("Enter")
        browser.wait_text("not allowed")
        browser.press("Escape")
        (entry,) = [one for one in audited(strict) if one["act"].startswith("POST")]

        strict.write(ACCESS.replace('{"Group": "viewers"}', '{"Group": "others"}'))
        browser.wait_text("Access is denied")
        assert "You may not see this" in body(browser)
        assert browser.evaluate("document.querySelector('#main.stale') !== null")
        browser.goto("about:blank")

    assert (entry["identity"], entry["result"]) == ("ann", "denied")
    asked = [one for one in browser.requests if one.startswith("http")]
    assert [one for one in asked if not one.startswith(address)] == []
    # The console tells of the 401 and 403; nothing else was wrong.
    assert [one for one in browser.errors if " 401 " not in one and " 403 " not in one] == []
    browser.errors.clear()
    browser.requests.clear()


def audited(node: NodeProcess) -> list[dict[str, Any]]:
    """Return the entries of a node's audit log, from its files: its API denies access here."""
    files = sorted((node.spool / "audit").iterdir())
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def test_a_page_that_is_paused_asks_nothing_until_it_goes_on(browser, node):
    open_page(browser, node, "queues")
    browser.tab_to("Pause")
    browser.press("Enter")
    browser.wait_text("paused")

    assert requests_in(browser, 6.0) == []
    assert browser.focused() == "Go on"
    browser.press("Enter")
    browser.wait("document.getElementById('fresh-text').innerText === 'live, now'")
    assert any("queues/v1" in one for one in browser.requests)


def test_a_page_that_nobody_looks_at_asks_nothing_until_somebody_does(browser, node):
    turn = """Object.defineProperty(document, 'hidden', {value: %s, configurable: true});
      document.dispatchEvent(new Event('visibilitychange'))"""
    open_page(browser, node, "queues")
    browser.evaluate(turn % "true")

    assert requests_in(browser, 6.0) == []
    browser.evaluate(turn % "false")
    browser.wait("document.getElementById('fresh-text').innerText === 'live, now'")
    assert any("queues/v1" in one for one in browser.requests)


def requests_in(browser: Browser, seconds: float) -> list[str]:
    """Return what the page asks for in this time, longer than between two of its looks."""
    browser.requests.clear()
    browser.evaluate(f"new Promise(done => setTimeout(done, {seconds * 1000}))")
    return list(browser.requests)


def test_a_policy_that_was_rejected_is_told_with_file_and_line(browser, node):
    node.write("broken (")
    try:
        node.wait_log("rejected")
        open_page(browser, node)
        browser.wait_text("The policy on disk was rejected")
        browser.tab_to("The policy on disk was rejected")
        browser.press("Enter")
        browser.wait_text("What ran before goes on.")

        (line,) = browser.evaluate(
            "[...document.querySelectorAll('.attention .name')].map(e => e.innerText)"
        )
        assert line.startswith(f"{node.policy}:")
    finally:
        node.write(SCRIPT)
    browser.wait("!document.querySelector('.attention')")
    assert "get_egress_path" in body(browser)


def test_what_the_automation_decided_is_listed_as_it_says_it(browser, node):
    decided = {
        "id": "x1",
        "kind": "ReadyQSuspension",
        "scope": {"ready_queue": f"ip-1->{HOSTILE}@smtp_client"},
        "origin": "http://tsa.test:8008",
        "reason": f"too many {HOSTILE}",
        "rule": "provider.big",
        "place": "/etc/cirrus/shaping.toml:12",
        "first_seen": "2026-01-01T00:00:00Z",
        "expires": "2026-01-01T01:00:00Z",
        "in_force": True,
    }
    override = decided | {
        "id": "x2",
        "kind": "ConfigOverride",
        "scope": {"site_name": "mx.big.test", "source": "ip-1", "option": "connection_limit"},
        "in_force": False,
        "value": 3,
    }
    listed = {
        "decisions": [decided, override],
        "matching": 2,
        "total": 2,
        "kinds": {"ReadyQSuspension": 1, "ConfigOverride": 1},
    }
    msgspec.convert(listed, DecisionsListed)
    browser.pretend({"decisions/v1": json.dumps(listed).encode()})
    open_page(browser, node, "automation")
    browser.pretend({})

    rows = browser.evaluate(
        "[...document.querySelectorAll('tbody tr')].map(e => e.innerText.split('\\t'))"
    )
    assert rows[0][:3] == [f"ip-1->{HOSTILE}@smtp_client", "ReadyQSuspension", "in force"]
    assert rows[0][4:6] == [f"too many {HOSTILE}", "provider.big /etc/cirrus/shaping.toml:12"]
    assert rows[1][0] == "site name mx.big.test, source ip-1, option connection_limit"
    assert rows[1][2:4] == ["not now", "3"]
    assert browser.evaluate("document.querySelectorAll('#view :is(img, b, script)').length") == 0


@pytest.mark.parametrize(
    ("place", "button", "fields", "act"),
    [
        ("message", "Send now", {}, "send-now"),
        ("message", "Hold", {"duration": "2h"}, "hold"),
        ("message", "Release", {}, "release"),
        ("message", "Move", {"campaign": "moved"}, "move"),
        ("queue", "Move its mail", {"campaign": "again", "sure": "yes"}, "rebind"),
        ("message", "Expire", {"sure": "yes"}, "expire"),
        ("queue", "Bounce", {"sure": "yes"}, "bounce"),
        ("ready", "Suspend", {"duration": "1s"}, "suspend-ready-q"),
        ("ready", "Take its source out", {"duration": "1s"}, "suspend-source"),
        ("directives", "Suspend", {"domain": "acts.test"}, "suspend"),
        ("directives", "Bounce", {"domain": "acts.test", "sure": "yes"}, "bounce"),
    ],
)
def test_each_act_wants_a_reason_and_is_in_the_audit_log(browser, node, place, button, fields, act):
    if place in ("message", "queue"):
        place = with_mail_of_acts(node, place)
        if act == "release":
            node.json("/api/admin/hold/v1", {"id": place.split("/")[1], "reason": "a moment"})
    elif place == "ready":
        place = "ready/*"
    reason = f"because of {act} from {place}"
    open_page(browser, node, place)
    browser.evaluate(CLICK % json.dumps(["#view .acts button", button]))
    browser.wait("document.querySelector('dialog[open]')")
    for name, value in ({"reason": reason} | fields).items():
        browser.evaluate(FILL % json.dumps([name, value]))
    browser.evaluate("document.querySelector('dialog button[type=submit]').click()")
    browser.wait("!document.querySelector('dialog[open]')")
    browser.wait("document.querySelector('.toast')")

    entries = node.json(f"/api/admin/audit/v1?act={act}&limit=5")["entries"]
    (entry,) = [one for one in entries if one["arguments"].get("reason") == reason]
    assert entry["result"] == "done"
    browser.goto("about:blank")
    # The console tells that what was given up is not found any more.
    browser.errors[:] = [one for one in browser.errors if " 404 " not in one]


#: Press a button by its text; fill a field of the dialog in by its name.
CLICK = """(([where, text]) => [...document.querySelectorAll(where)]
  .find((e) => e.innerText === text).click())(%s)"""
FILL = """(([name, value]) => {
  const field = document.querySelector(`dialog [name=${name}]`);
  if (field.type === "checkbox") field.checked = true;
  else field.value = value;
})(%s)"""


def with_mail_of_acts(node: NodeProcess, kind: str) -> str:
    """Return the view of a message, or of its queue, that waits and may be acted on."""

    def waiting() -> list[dict[str, Any]]:
        found = node.json("/api/admin/messages/v1?recipient=acts@grey.test")["messages"]
        return [one for one in found if one["num_attempts"] and one["state"] == "scheduled"]

    if not waiting():
        node.send("acts", "acts@grey.test")
    one = wait_until("mail that was tried", waiting)[0]
    return (
        f"message/{one['id']}"
        if kind == "message"
        else f"queue/{quote(one['queue_name'], safe='')}"
    )


def test_find_leads_to_a_message_by_its_id_and_to_mail_by_an_address(browser, node):
    (message,) = node.json("/api/admin/messages/v1?recipient=ann@grey.test")["messages"]
    open_page(browser, node)
    for text, place in (
        ("ann@grey.test", "#/find/ann%40grey.test"),
        (message["id"], f"#/message/{message['id']}"),
    ):
        browser.evaluate("document.getElementById('find-text').focus()")
        browser.evaluate("document.activeElement.select()")
        browser.write(text)
        browser.press("Enter")
        browser.wait(f"location.hash === {json.dumps(place)}")
        browser.wait_text(message["id"])


def test_an_address_of_no_view_says_so(browser, node):
    browser.goto("about:blank")
    browser.goto(f"http://127.0.0.1:{node.http_port}/ui/#/nothing/here")
    browser.wait_text("There is no such page")
