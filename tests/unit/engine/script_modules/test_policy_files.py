"""Reading files of the policy's folder, and nothing else; what is read at load is watched."""

from __future__ import annotations

import os

import pytest

from engine.script_modules import policy_files
from policy.errors import HookFailedError, PolicyLoadError

READ = "@on('get_queue_config')\ndef ask(*args):\n    return mta.fs.read('a.txt')"


@pytest.fixture
def folder(host):
    inner = host.folder / "tenants"
    (inner / "deep").mkdir(parents=True)
    for path in ("a.txt", "tenants/x.toml", "tenants/y.toml", "tenants/deep/z.toml"):
        (host.folder / path).write_text(f"text of {path}\nsecond\n")
    return host.folder


def reloaded(host) -> bool:
    return host.runtime.reload_if_changed() is not None


# -- confinement ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "../outside",
        "tenants/../../outside",
        "/etc/passwd",
        "link",
        "folder_link/passwd",
        "link_to_link",
    ],
)
@pytest.mark.parametrize("call", ["read", "open", "metadata_for_path", "read_dir"])
def test_no_way_leads_out_of_the_folder(host, folder, path, call):
    (folder.parent / "outside").write_text("secret")
    (folder / "link").symlink_to(folder.parent / "outside")
    (folder / "link_to_link").symlink_to(folder / "link")
    (folder / "folder_link").symlink_to("/etc")

    with pytest.raises(PolicyLoadError, match="outside the folder of the policy"):
        host.load(f"mta.fs.{call}({path!r})")


@pytest.mark.parametrize("pattern", ["/etc/*", "../*", "tenants/../../*", "..", ""])
def test_a_pattern_stays_within_the_folder(host, folder, pattern):
    with pytest.raises(PolicyLoadError, match="relative to the folder"):
        host.load(f"mta.fs.glob({pattern!r})")


def test_a_pattern_follows_no_link(host, folder):
    (folder / "link").symlink_to("/etc")

    assert host.value("mta.fs.glob('link/*')") == "[]"


def test_a_link_within_the_folder_is_followed(host, folder):
    (folder / "current").symlink_to(folder / "tenants")

    assert host.value("mta.fs.read('current/x.toml')[:4]") == "'text'"


@pytest.mark.parametrize("mode", ["w", "a", "r+", "rb+", "x", 5])
def test_nothing_can_be_written(host, folder, mode):
    with pytest.raises(PolicyLoadError, match="scripts write no files"):
        host.load(f"mta.fs.open('a.txt', {mode!r})")


def test_a_pipe_or_a_device_does_not_hold_the_node_up(host, folder):
    os.mkfifo(folder / "pipe")

    with pytest.raises(PolicyLoadError, match="is no plain file"):
        host.load("mta.fs.read('pipe')")


def test_a_large_file_is_refused(host, folder):
    with (folder / "large").open("wb") as file:
        file.truncate(policy_files.FILE_BYTES_MAX + 1)

    with pytest.raises(PolicyLoadError, match="is larger than"):
        host.load("mta.fs.read('large')")


@pytest.mark.parametrize("path", ["''", "'\\0'", "5", "None", "'x' * 5000"])
def test_what_is_no_name_is_refused(host, path):
    with pytest.raises(PolicyLoadError, match="wants the name of a file"):
        host.load(f"mta.fs.read({path})")


def test_a_missing_file_is_told_by_the_name_the_script_gave(host, folder):
    with pytest.raises(PolicyLoadError) as caught:
        host.load("mta.fs.read('gone.txt')")

    assert caught.value.message == "FileNotFoundError: gone.txt: No such file or directory"


def test_a_file_that_is_no_text_names_its_line(host, folder):
    (folder / "a.txt").write_bytes(b"one\ntwo \xff\n")

    with pytest.raises(PolicyLoadError, match=r"a.txt:2: is not UTF-8"):
        host.load("mta.fs.read('a.txt')")
    assert host.value("mta.fs.open('a.txt', 'rb').read()[-2:]") == "b'\\xff\\n'"


# -- reading ----------------------------------------------------------------------------------


def test_a_file_is_read_in_pieces_lines_and_again(host, folder):
    host.load(
        "with mta.fs.open('a.txt') as file:\n"
        "    print(repr([file.read(4), file.readline(), file.read(), file.read()]))\n"
        "    file.seek(8)\n    print(repr([*file]))\n    print(repr(file.seek(10**9)))\n"
        "file.close()"
    )

    assert host.printed == [
        "['text', ' of a.txt\\n', 'second\\n', '']",
        "['a.txt\\n', 'second\\n']",
        "21",
    ]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.txt", ["a.txt"]),
        ("tenants/*.toml", ["tenants/x.toml", "tenants/y.toml"]),
        ("tenants/[x]*", ["tenants/x.toml"]),
        ("**/*.toml", ["tenants/deep/z.toml", "tenants/x.toml", "tenants/y.toml"]),
        ("tenants/**/z.toml", ["tenants/deep/z.toml"]),
        ("**/deep/*", ["tenants/deep/z.toml"]),
        ("nothing/*", []),
    ],
)
def test_patterns(host, folder, pattern, found):
    assert host.value(f"mta.fs.glob({pattern!r})") == repr(found)


def test_names_of_a_folder(host, folder):
    assert host.value("mta.fs.read_dir('tenants')") == "['deep', 'x.toml', 'y.toml']"


def test_what_is_known_about_a_file(host, folder):
    (folder / "a.txt").chmod(0o440)
    host.load(
        "found = mta.fs.metadata_for_path('a.txt')\n"
        "print(repr([found[key] for key in ('path', 'is_file', 'is_dir', 'is_symlink', 'len',"
        " 'readonly', 'mode')]))\nprint(found['mtime'].tzname())"
    )

    assert host.printed == ["['a.txt', True, False, False, 21, True, 288]", "UTC"]


async def test_reading_much_ends_within_the_budget_of_the_handler(host, folder):
    (folder / "a.txt").write_text("x" * 10_000_000)
    host.load(
        "@on('get_queue_config')\ndef ask(*args):\n    while True:\n        mta.fs.read('a.txt')"
    )

    with pytest.raises(HookFailedError, match="CPU|MiB"):
        await host.fire("a")


# -- watching ---------------------------------------------------------------------------------


def test_a_file_read_at_load_is_watched(host, folder):
    host.load("print(mta.fs.read('a.txt'))")
    assert not reloaded(host)

    (folder / "a.txt").write_text("new")

    assert reloaded(host)
    assert host.printed[-1] == "new"


async def test_a_file_read_by_a_handler_is_read_anew_and_not_watched(host, folder):
    host.load(READ)
    await host.fire("a")

    (folder / "a.txt").write_text("new")

    assert not reloaded(host)
    assert await host.fire("a") == "new"


def test_a_missing_file_is_watched_so_that_writing_it_is_a_change(host, folder):
    host.load("print('first')")
    (folder / "init.py").write_text("import mta\nprint(mta.fs.read('later.txt'))\n")
    assert not reloaded(host)

    (folder / "later.txt").write_text("here")

    assert reloaded(host)
    assert host.printed[-1] == "here"


def test_a_file_that_comes_into_a_folder_that_was_searched_is_a_change(host, folder):
    host.load("print(len(mta.fs.glob('tenants/*.toml')))")
    (folder / "other.txt").write_text("not in that folder")
    (folder / "init.py").touch()

    (folder / "tenants" / "new.toml").write_text("a = 1")

    assert reloaded(host)
    assert host.printed == ["2", "3"]


def test_a_policy_reads_no_files_without_end(host, folder, monkeypatch):
    monkeypatch.setattr(policy_files, "FILES_WATCHED_MAX", 3)
    for number in range(9):
        (folder / f"f{number}").write_text("x")

    with pytest.raises(PolicyLoadError, match="at most 3 files"):
        host.load("for n in range(9):\n    mta.fs.read(f'f{n}')")
