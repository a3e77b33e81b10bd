"""The operators' web page: a fixed set of files, for administrators, under a strict policy."""

from __future__ import annotations

import re

import aiohttp
import pytest

from engine.admin.web_page import FOLDER, INDEX, read_files
from engine.base.http_call import AuthInfo
from tests.fakes.admin_world import operating

FILES = sorted(path.name for path in FOLDER.iterdir())


async def judge(credentials):
    return AuthInfo("ann") if credentials.password == "right" else None


async def fetch(operator, path, **options):
    options.setdefault("allow_redirects", False)
    return await operator.session.get(operator.base + path, **options)


@pytest.mark.parametrize("name", FILES)
async def test_each_file_is_served_as_what_it_is(tmp_path, name):
    async with operating(tmp_path) as operator:
        answer = await fetch(operator, f"/ui/{name}")

        assert answer.status == 200
        assert await answer.read() == (FOLDER / name).read_bytes()
        kinds = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
        suffix = name[name.rindex(".") :]
        assert answer.content_type == kinds.get(suffix, "image/svg+xml")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_the_page_is_at_its_folder_and_its_plain_name_leads_there(tmp_path):
    async with operating(tmp_path) as operator:
        lead = await fetch(operator, "/ui")
        page = await fetch(operator, "/ui/")

        assert (lead.status, lead.headers["Location"]) == (307, "ui/")
        assert await page.read() == (FOLDER / INDEX).read_bytes()


async def test_a_browser_that_has_a_file_is_not_sent_it_again(tmp_path):
    async with operating(tmp_path) as operator:
        first = await fetch(operator, "/ui/main.js")
        etag = first.headers["ETag"]
        again = await fetch(operator, "/ui/main.js", headers={"If-None-Match": etag})
        other = await fetch(operator, "/ui/main.js", headers={"If-None-Match": '"another"'})

        assert (again.status, await again.read()) == (304, b"")
        assert other.status == 200
        assert first.headers["Cache-Control"] == again.headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize(
    "path", ["/ui/no.js", "/ui/..%2fweb_page.py", "/ui/%2e%2e", "/ui/style.css/x", "/ui/.hidden"]
)
async def test_no_path_leads_to_another_file(tmp_path, path):
    async with operating(tmp_path) as operator:
        answer = await fetch(operator, path)

        assert answer.status == 404
        assert (await answer.json())["error"]


async def test_the_page_may_load_and_ask_nothing_but_its_own_origin(tmp_path):
    async with operating(tmp_path) as operator:
        answer = await fetch(operator, "/ui/")

        rules = dict(
            rule.split(" ", 1) for rule in answer.headers["Content-Security-Policy"].split("; ")
        )
        assert rules.pop("require-trusted-types-for") == "'script'"
        assert rules["default-src"] == rules["frame-ancestors"] == "'none'"
        assert set(rules.values()) == {"'none'", "'self'"}
        assert answer.headers["Referrer-Policy"] == "no-referrer"


async def test_a_browser_is_asked_for_credentials_and_who_may_not_administer_gets_nothing(tmp_path):
    async with operating(tmp_path, trusted_hosts=[], authenticate=judge) as operator:
        for path in ("/ui", "/ui/", "/ui/main.js"):
            stranger = await fetch(operator, path)
            known = await fetch(operator, path, auth=aiohttp.BasicAuth("ann", "right"))

            assert stranger.status == 401
            assert stranger.headers["WWW-Authenticate"].startswith("Basic ")
            assert known.status == 403
        assert {one.result for one in operator.world.audited()} == {"denied"}


LINKED = {
    "Sec-Fetch-Site": "cross-site",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
}


@pytest.mark.parametrize(
    ("path", "changes", "status"),
    [
        ("/ui/", {}, 200),
        ("/ui", {}, 307),
        ("/ui/", {"Sec-Fetch-Dest": "iframe"}, 403),
        ("/ui/", {"Sec-Fetch-Mode": "no-cors"}, 403),
        ("/ui/", {"Origin": "https://elsewhere.test"}, 403),
        ("/ui/main.js", {"Sec-Fetch-Dest": "script", "Sec-Fetch-Mode": "no-cors"}, 403),
        ("/api/admin/suspend/v1", {}, 403),
    ],
)
async def test_a_link_from_elsewhere_opens_the_page_and_nothing_else(
    tmp_path, path, changes, status
):
    async with operating(tmp_path) as operator:
        answer = await fetch(operator, path, headers=LINKED | changes)

        assert answer.status == status


async def test_the_description_of_the_api_is_of_the_api(tmp_path):
    async with operating(tmp_path) as operator:
        described = await operator.ok("GET", "/api-docs/openapi.json")

        assert [path for path in described["paths"] if path.startswith("/ui")] == []


def test_the_files_name_each_other_and_nothing_on_other_hosts():
    known = read_files()
    for name, file in known.items():
        text = file.content.decode()
        assert set(re.findall(r'from "\./([\w-]+\.js)"', text)) <= known.keys(), name
        foreign = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+", text))
        assert {one for one in foreign if "www.w3.org" not in one} == set(), name


def test_nothing_makes_markup_of_text():
    sinks = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\b|srcdoc"
    found = {name: re.findall(sinks, file.content.decode()) for name, file in read_files().items()}
    assert {name for name, words in found.items() if words} == set()


def test_the_page_has_no_script_or_style_of_its_own():
    text = (FOLDER / INDEX).read_text()
    assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", text) == []


def test_each_script_is_reached_from_the_page():
    known = read_files()
    reached = set()
    wanted = set(re.findall(r'(?:src|href)="([\w.-]+)"', known[INDEX].content.decode()))
    while wanted:
        name = wanted.pop()
        reached.add(name)
        found = set(re.findall(r'from "\./([\w-]+\.js)"', known[name].content.decode()))
        wanted |= found - reached
    assert reached | {INDEX} == known.keys()


def test_a_folder_without_its_files_is_an_error_at_the_start(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_files(tmp_path / "nowhere")
