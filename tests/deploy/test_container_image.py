"""The Containerfile: what it takes from the tree, what it pins, and as whom it runs."""

from __future__ import annotations

import json
import re
import shlex
import tomllib

import pytest

from tests.deploy.deployment import BASE_SHAPING, DEPLOY, ROOT, parse_command

FILE = DEPLOY / "container" / "Containerfile"
IGNORE = DEPLOY / "container" / "Containerfile.dockerignore"


def instructions():
    """Return the instructions of each stage as pairs of a word and the rest."""
    joined = re.sub(r"\\\n\s*", " ", re.sub(r"^#.*\n", "", FILE.read_text(), flags=re.M))
    stages: list[list[tuple[str, str]]] = []
    for line in filter(None, joined.splitlines()):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            stages.append([])
        if stages:
            stages[-1].append((word, rest))
    return stages


BUILD, FINAL = instructions()


def of(stage, word):
    return [rest for one, rest in stage if one == word]


def copied():
    """Return what is copied from the tree."""
    found = []
    for rest in [*of(BUILD, "COPY"), *of(FINAL, "COPY")]:
        if not rest.startswith("--from"):
            found += shlex.split(rest)[:-1]
    return found


@pytest.mark.parametrize("source", copied())
def test_what_is_copied_is_there_and_reaches_the_builder(source):
    ignored = IGNORE.read_text().splitlines()

    assert (ROOT / source).exists()
    assert "*" in ignored
    assert f"!{source}" in ignored


def test_nothing_else_reaches_the_builder():
    shown = [line[1:] for line in IGNORE.read_text().splitlines() if line.startswith("!")]

    assert sorted(shown) == sorted(copied())


def test_all_that_is_packed_is_copied():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packed = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    files = [project["project"]["readme"], *project["project"]["license-files"], "pyproject.toml"]

    assert {*packed, *files, "requirements/lock.txt"} <= set(copied())


def test_versions_are_those_of_the_lock_and_nothing_is_compiled():
    (install,) = [rest for rest in of(BUILD, "RUN") if " install " in rest and "/pip" in rest]
    pinned = dict(
        line.split("==") for line in (ROOT / "requirements" / "lock.txt").read_text().split()
    )
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = [*wanted["dependencies"], "hatchling"]
    for extra in re.findall(r"\.\[(.*?)\]", install)[0].split(","):
        named += wanted["optional-dependencies"][extra]

    assert "PIP_CONSTRAINT=/src/requirements/lock.txt" in of(BUILD, "ENV")
    assert "--only-binary :all:" in install
    assert {re.split(r"[<>=;\[ ]", name)[0] for name in named} <= set(pinned)


def test_the_last_stage_has_nothing_to_build_with():
    (install,) = of(FINAL, "RUN")
    packages = install.partition("--no-install-recommends ")[2].partition(" &&")[0].split()

    assert packages == ["ca-certificates", "python3"]
    assert of(FINAL, "COPY")[0] == "--from=build /opt/cirrus /opt/cirrus"
    assert "python3 -m venv --without-pip /opt/cirrus" in " ".join(of(BUILD, "RUN"))


def test_it_runs_as_nobody_and_takes_signals_itself():
    words = [word for word, _ in FINAL]
    entry, command = (json.loads(of(FINAL, word)[0]) for word in ("ENTRYPOINT", "CMD"))

    assert of(FINAL, "USER") == ["10001:10001"]
    # No shell between: process 1 is the daemon.
    assert entry == ["/opt/cirrus/bin/cirrus"]
    assert str(parse_command(command)["policy"]) == "/etc/cirrus/init.py"
    assert "HEALTHCHECK" not in words
    assert "STOPSIGNAL" not in words
    # Whoever mounts no volume is to see it at once, and not to lose mail in an unnamed one.
    assert "VOLUME" not in words


def test_the_shaping_files_of_the_providers_are_in_it():
    assert of(FINAL, "COPY")[1] == f"samples/shaping/base.toml {BASE_SHAPING}"
