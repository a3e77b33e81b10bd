"""Shaping files and URLs: what cannot be read is said, and what was good stays."""

from __future__ import annotations

import logging
import re

import pytest
from aiohttp import web

from engine.base.data_file import DataFileError
from engine.base.shaping_source import ShapingSources, is_url, parse_shaping, shown_source
from engine.model.shaping_finding import LoadOptions, Severity
from tests.fakes.web_server import web_server

TOML = b"[default]\nmax_ready = 5\n"
JSON = b'{"default": {"max_ready": 6}}'
WARN = LoadOptions(remote_load=Severity.WARN)


class World:
    """Sources of one consumer, parsed in this task; ``parsed`` counts."""

    def __init__(self, folder):
        self.folder = folder
        self.parsed = 0
        self.sources = ShapingSources(self._parse)

    async def _parse(self, work):
        self.parsed += 1
        return work()

    def write(self, name, content):
        (self.folder / name).write_bytes(content)
        return str(self.folder / name)

    async def read(self, *names, options=WARN):
        """Return what each layer says of max_ready, and the findings as text."""
        read = await self.sources.read(names, options)
        values = [
            one.default.settings[("max_ready",)].value if one.default is not None else None
            for one in read.layers
        ]
        return values, [str(one).replace(f"{self.folder}/", "") for one in read.findings]


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


@pytest.fixture
async def server():
    async with web_server() as served:
        yield served


def serve(server, path, content=TOML, **more):
    """Have the server give a content; return the URL."""

    async def answer(_request):
        return web.Response(body=content, **more)

    server.routes[path] = answer
    return server.url(path)


# -- parsing


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (TOML, "a.toml"),
        (TOML, "a.TOML"),
        (JSON, "a.json"),
        (TOML, "a.conf"),
        (JSON, "a.conf"),
        (JSON, "a"),
        (JSON, "https://x.test/a.json?key=secret"),
        (TOML, "https://x.test/get_config?file=a.json"),
    ],
)
def test_the_suffix_says_what_a_file_is_and_without_one_both_are_tried(content, name):
    (setting,) = parse_shaping(content, name).default.settings.values()

    assert setting.value in (5, 6)
    assert setting.place.line in (1, 2)


@pytest.mark.parametrize(
    ("content", "name", "said"),
    [
        (JSON, "a.toml", "a.toml:1: "),
        (TOML, "a.json", "a.json:1: "),
        (b"[default]\nx = \n", "a.conf", "a.conf:2: "),
        (b'{"default": {\n"max_ready": }}', "a.conf", "a.conf:2: "),
        (b"\xff", "a.toml", "a.toml"),
    ],
)
def test_what_is_neither_is_an_error_with_the_line_of_what_it_is_nearer_to(content, name, said):
    with pytest.raises(DataFileError, match=re.escape(said)):
        parse_shaping(content, name)


def test_people_are_shown_a_url_without_what_may_be_secret():
    url = "https://me:secret@x.test:8008/rules.toml?token=secret#part"

    assert shown_source(url) == "https://x.test:8008/rules.toml"
    assert shown_source("/etc/a?b.toml") == "/etc/a?b.toml"
    assert parse_shaping(TOML, url).name == "https://x.test:8008/rules.toml"


def test_a_url_begins_with_its_scheme():
    assert is_url("HTTP://x.test/a") and is_url("https://x.test/a")
    assert not is_url("httpd/rules.toml") and not is_url("ftp://x.test/a")


# -- files


async def test_layers_come_in_the_order_of_the_sources(world, server):
    file, url = world.write("a.toml", TOML), serve(server, "/b.json", JSON)
    layer = parse_shaping(b"[default]\nmax_ready = 7\n", "overlay.toml")

    assert await world.read(url, layer, file) == ([6, 7, 5], [])
    assert await world.read(file, url, layer) == ([5, 6, 7], [])


async def test_what_has_not_changed_is_not_parsed_again(world, server):
    names = world.write("a.toml", TOML), serve(server, "/b.json", JSON)
    for _ in range(3):
        await world.read(*names)
    assert world.parsed == 2

    world.write("a.toml", b"[default]\nmax_ready = 8\n")

    assert await world.read(*names) == ([8, 6], [])
    assert world.parsed == 3


async def test_a_file_that_cannot_be_read_is_a_finding_and_no_layer(world, tmp_path):
    (tmp_path / "folder.toml").mkdir()
    broken = world.write("broken.toml", b"\n[broken\n")
    good = world.write("good.toml", TOML)
    names = [str(tmp_path / "gone.toml"), str(tmp_path / "folder.toml"), "a\0b.toml", broken, good]

    values, said = await world.read(*names)

    assert values == [5]
    assert [one.partition(": error: ")[0] for one in said] == [
        "gone.toml",
        "folder.toml",
        "a\0b.toml",
        "broken.toml:2",
    ]
    assert "cannot be read: No such file or directory" in said[0]


@pytest.mark.parametrize(
    ("severity", "said"),
    [(Severity.ERROR, "error"), (Severity.WARN, "warning"), (Severity.IGNORE, None)],
)
async def test_the_options_say_how_much_a_missing_file_weighs(world, severity, said):
    options = LoadOptions(local_load=severity)

    values, findings = await world.read("/nowhere/a.toml", options=options)

    assert values == []
    assert [one.split(": ")[1] for one in findings] == ([said] if said else [])


# -- URLs


async def test_a_url_is_asked_for_plain_octets_and_follows_redirects(world, server):
    async def redirect(_request):
        raise web.HTTPFound("/real.toml")

    server.routes["/moved.toml"] = redirect
    serve(server, "/real.toml")

    assert await world.read(server.url("/moved.toml")) == ([5], [])
    assert {one[2]["Accept-Encoding"] for one in server.requests} == {"identity"}


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/gone.toml", "answered with status 404"),
        ("/slow", "gave no answer within 5 s"),
        ("/drip", "gave no answer within 5 s"),
        ("/huge", "gave more than 32 MiB"),
        ("/gzip", "answered compressed"),
        ("/loop", "cannot be read: TooManyRedirects"),
        ("/to-file", "cannot be read: "),
        ("/short", "cannot be read: ClientPayloadError"),
        ("/hang-up", "cannot be read: "),
    ],
)
async def test_a_url_that_gives_nothing_good_is_a_finding_with_the_reason(
    world, server, path, said
):
    values, findings = await world.read(server.url(path) + "?token=secret")

    assert values == []
    (finding,) = findings
    assert finding.startswith(f"{server.url(path)}: warning: {said}")
    assert "secret" not in finding


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://127.0.0.1:1/a.toml", "cannot be reached: Connection refused"),
        ("http://me:secret@[::1/a.toml", "http://...: warning: is no URL that can be asked"),
        ("http:///a.toml", "is no URL that can be asked"),
    ],
)
async def test_a_host_that_is_not_there_is_a_finding(world, url, said):
    values, findings = await world.read(url)

    assert values == []
    (finding,) = findings
    assert said in finding
    assert "secret" not in finding


async def test_a_url_that_fails_leaves_in_force_what_it_gave_last(world, server, caplog):
    caplog.set_level(logging.INFO, "cirrus.shaping")
    url = serve(server, "/a.toml")
    await world.read(url)

    for content, said in ((None, "status 404"), (b"\n[broken", "a.toml:2: warning")):
        if content is None:
            del server.routes["/a.toml"]
        else:
            serve(server, "/a.toml", content)
        for _ in range(3):
            values, findings = await world.read(url)
            assert values == [5]
            assert said in findings[0]
            assert "what it gave last stays in force" in findings[0]
    assert len([one for one in caplog.messages if "stays in force" in one]) == 2

    serve(server, "/a.toml", b"[default]\nmax_ready = 9\n")
    assert await world.read(url) == ([9], [])
    assert f"{url} can be read again" in caplog.messages


async def test_what_a_source_gave_is_forgotten_with_the_source(world, server):
    url, file = serve(server, "/a.toml"), world.write("b.toml", TOML)
    await world.read(url)
    await world.read(file)
    del server.routes["/a.toml"]

    assert (await world.read(url))[0] == []


async def test_urls_can_be_left_out(world, server):
    options = LoadOptions(skip_remote=True)
    url, file = serve(server, "/a.toml"), world.write("b.toml", TOML)

    values, findings = await world.read(url, file, options=options)

    assert (values, server.requests) == ([5], [])
    assert findings == [f"{url}: warning: is a URL and left out"]


async def test_only_so_many_urls_are_asked_at_once(world, server):
    urls = [serve(server, f"/{number}.toml") for number in range(60)]

    values, findings = await world.read(*urls)

    assert (values, findings) == ([5] * 60, [])
    assert server.most_connections <= 16
