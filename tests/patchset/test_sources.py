"""Fetching: a real sdist from real sources on this machine, and every way in which a source can be wrong."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from patchset.errors import PatchsetError
from patchset.pins import Release
from patchset.sources import download, sdists
from patchset.sources.settings import offline, redacted

USER, PASSWORD = "me", "secret word"


class Index(SimpleHTTPRequestHandler):
    """The simple API (PEP 503), behind basic authentication where the server asks for it."""

    def do_GET(self) -> None:
        wanted = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if getattr(self.server, "closed", False) and self.headers.get("Authorization") != wanted:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="index"')
            self.end_headers()
        elif self.path.startswith("/endless"):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            with contextlib.suppress(OSError):
                while True:
                    self.wfile.write(b'<a href="x-1.tar.gz">x</a>\n' * 1000)
        elif self.path.startswith("/encoded/"):
            data = Path(self.translate_path(self.path.removeprefix("/encoded"))).read_bytes()
            self.send_response(200)
            self.send_header("Content-Encoding", "gzip")
            self.end_headers()
            self.wfile.write(data)
        elif self.path.startswith("/moved/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/moved"))
            self.end_headers()
        else:
            super().do_GET()

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def index(tmp_path: Path, release: Release, sdist: bytes) -> Iterator[ThreadingHTTPServer]:
    """A package index on the loopback that lists the sdist and a wheel."""
    page = tmp_path / "index" / "simple" / "peft"
    page.mkdir(parents=True)
    links = (f'<a href="/moved/files/{name}">{name}</a>' for name in (release.sdist, "peft-0.18.1-py3-none-any.whl"))
    (page / "index.html").write_text(f"<!DOCTYPE html><html><body>{''.join(links)}</body></html>")
    (tmp_path / "index" / "files").mkdir()
    (tmp_path / "index" / "files" / release.sdist).write_bytes(sdist)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Index, directory=str(tmp_path / "index")))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, an empty vendor/ and no settings of the user's; returns the cache."""
    cache = tmp_path / "cache"
    monkeypatch.setenv("PATCHSET_CACHE", str(cache))
    monkeypatch.setattr(sdists, "VENDOR", tmp_path / "vendor")
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_INDEX", "PIP_NO_INDEX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return cache


def url(server: ThreadingHTTPServer, login: str = "") -> str:
    return f"http://{login}127.0.0.1:{server.server_port}/simple"


@pytest.mark.parametrize("variable", ["PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX"])
def test_from_an_index_then_from_the_cache(
    release: Release, index: ThreadingHTTPServer, empty: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/closed")
    monkeypatch.setenv(variable, url(index))
    data = sdists.Sdists().obtain(release)
    assert hashlib.sha256(data).hexdigest() == release.sha256
    assert [path.name for path in empty.iterdir()] == [release.sdist]
    index.shutdown()
    monkeypatch.setenv(variable, "http://127.0.0.1:9/closed")
    assert sdists.Sdists().obtain(release) == data, "the same again without the index"


def test_credentials_in_the_url(
    release: Release, index: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    index.closed = True  # type: ignore[attr-defined]
    monkeypatch.setenv("PIP_INDEX_URL", url(index))
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    with pytest.raises(PatchsetError, match="401"):
        sdists.Sdists().obtain(release)
    monkeypatch.setenv("PIP_INDEX_URL", url(index, "me:wrong@"))
    with pytest.raises(PatchsetError) as caught:
        sdists.Sdists().obtain(release)
    assert "wrong" not in str(caught.value), "no password in a message"
    monkeypatch.setenv("PIP_INDEX_URL", url(index, "me:secret%20word@"))
    assert sdists.Sdists().obtain(release)


def test_credentials_of_a_named_uv_index(
    release: Release, index: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.closed = True  # type: ignore[attr-defined]
    monkeypatch.setenv("UV_DEFAULT_INDEX", f"our-own={url(index)}")
    monkeypatch.setenv("UV_INDEX_OUR_OWN_USERNAME", USER)
    monkeypatch.setenv("UV_INDEX_OUR_OWN_PASSWORD", PASSWORD)
    assert sdists.Sdists().obtain(release)


def test_pips_configuration_file_and_find_links(
    release: Release, sdist: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    links = tmp_path / "links"
    links.mkdir()
    (links / release.sdist).write_bytes(sdist)
    config = tmp_path / "pip.conf"
    config.write_text(f"[global]\nno-index = true\nfind-links =\n    {tmp_path / 'missing'}\n    {links}\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    assert sdists.Sdists().obtain(release) == sdist


@pytest.mark.parametrize("variable", ["PIP_CONSTRAINT", "PIP_BUILD_CONSTRAINT", "PIP_ONLY_BINARY"])
def test_pips_settings_for_other_things(
    release: Release,
    sdist: bytes,
    index: ThreadingHTTPServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
) -> None:
    (tmp_path / "constraints.txt").write_text("peft==0.0\n")
    monkeypatch.setenv(variable, ":all:" if variable == "PIP_ONLY_BINARY" else str(tmp_path / "constraints.txt"))
    monkeypatch.setenv("PIP_INDEX_URL", url(index))
    assert sdists.Sdists().obtain(release) == sdist


@pytest.mark.parametrize("change", [b"", b"\0", b"\0" * 10**6])
def test_a_wrong_file_on_one_index_does_not_stand_before_the_right_one(
    release: Release,
    sdist: bytes,
    index: ThreadingHTTPServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: bytes,
) -> None:
    folder = tmp_path / "index" / "files"
    (folder / "right").mkdir()
    (folder / "right" / release.sdist).write_bytes(sdist)
    (folder / release.sdist).write_bytes(bytes([sdist[0] ^ 1]) + sdist[1:] + change)
    other = tmp_path / "index" / "other" / "peft"
    other.mkdir(parents=True)
    (other / "index.html").write_text(f'<a href="/files/right/{release.sdist}">{release.sdist}</a>')
    monkeypatch.setenv("PIP_INDEX_URL", url(index))
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", url(index).replace("simple", "other"))
    assert sdists.Sdists().obtain(release) == sdist


def test_a_wrong_file_in_find_links_does_not_either(
    release: Release, sdist: bytes, index: ThreadingHTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / release.sdist).write_bytes(b"something else")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "links"))
    monkeypatch.setenv("PIP_INDEX_URL", url(index))
    assert sdists.Sdists().obtain(release) == sdist


def test_content_encoding(
    release: Release, sdist: bytes, index: ThreadingHTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some servers say of a .tar.gz that it is encoded with gzip."""
    page = tmp_path / "index" / "simple" / "peft" / "index.html"
    page.write_text(page.read_text().replace("/moved/", "/encoded/"))
    monkeypatch.setenv("PIP_INDEX_URL", url(index))
    assert sdists.Sdists().obtain(release) == sdist


def test_an_endless_page(release: Release, index: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", url(index).replace("simple", "endless"))
    with pytest.raises(PatchsetError, match="answer is too large"):
        sdists.Sdists().obtain(release)


SECRETS = [
    "me:geh@eim@",
    "me:geh/eim@",
    "me:geh%2Feim@",
    "geheim@",
    "me:geh?eim@",
    "me:geh#eim@",
    "geh/eim@",
    "me:1/eim@",
]
OTHERS = ["PIP_EXTRA_INDEX_URL", "UV_INDEX", "UV_FIND_LINKS", "PIP_PROXY"]


@pytest.mark.parametrize(
    ("variable", "secret"),
    [("PIP_INDEX_URL", secret) for secret in SECRETS]
    + [(other, secret) for other in OTHERS for secret in SECRETS[:2]],
)
def test_secrets_are_not_told(
    release: Release,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    secret: str,
    variable: str,
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/closed")
    monkeypatch.setenv(variable, f"http://{secret}127.0.0.1:9/closed")
    for ask in (lambda: sdists.Sdists().obtain(release), download.available):
        with pytest.raises(PatchsetError) as caught:
            ask()
        told = f"{caught.value}{capfd.readouterr()}"
        assert not re.search("geh|eim", told), told
        assert "127.0.0.1" in told


@pytest.mark.parametrize(
    ("variable", "bad"),
    [
        ("PIP_INDEX_URL", "http://[geh"),
        ("UV_DEFAULT_INDEX", "x=http://[geh"),
        ("UV_FIND_LINKS", "http://[geh"),
        ("PIP_PROXY", "http://[geh"),
        ("HTTP_PROXY", "http://[geh"),
        ("HTTP_PROXY", "http://h:geh"),
        ("PIP_INDEX_URL", "http://:@:"),
        ("PIP_INDEX_URL", "\x7f"),
    ],
)
def test_what_is_no_url(release: Release, monkeypatch: pytest.MonkeyPatch, variable: str, bad: str) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/closed")
    monkeypatch.setenv(variable, bad)
    monkeypatch.setenv("UV_INDEX_X_USERNAME", "me")
    monkeypatch.setenv("NO_PROXY", "")
    with pytest.raises(PatchsetError):
        sdists.Sdists().obtain(release)
    offline()


def test_tokens_are_not_told(
    release: Release,
    index: ThreadingHTTPServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    page = tmp_path / "index" / "simple" / "peft" / "index.html"
    page.write_text(page.read_text().replace(f'{release.sdist}"', f'{release.sdist}?token=geheim&b=1"'))
    (tmp_path / "index" / "files" / release.sdist).write_bytes(b"wrong")
    monkeypatch.setenv("PIP_INDEX_URL", f"{url(index)}?token=geheim")
    with pytest.raises(PatchsetError) as caught:
        sdists.Sdists().obtain(release)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/closed?key=geheim")
    with pytest.raises(PatchsetError) as closed:
        sdists.Sdists().obtain(release)
    assert "geheim" not in f"{caught.value}{closed.value}{capfd.readouterr()}"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("see http://me:a@b@host/x, then", "see http://host/x, then"),
        ("see https://me:a/b@host/simple (404)", "see https://host/simple (404)"),
        ("'https://host/x?token=a&b=c' failed", "'https://host/x' failed"),
        ("http://a@h/x http://b@i/y?c", "http://h/x http://i/y"),
        ("https://host:8080/simple", "https://host:8080/simple"),
        ("no address: a@b?", "no address: a@b?"),
        ("peft @ git+https://me:a/b@host/x@v1", "peft @ git+https://host/x@v1"),
        ("git+https://host/x.git@v1", "git+https://host/x.git@v1"),
        ("git+https://me:a/b@host/x", "git+https://host/x"),
        ("exceeded with url: /simple?token=a (", "exceeded with url: /simple ("),
    ],
)
def test_redacted(text: str, told: str) -> None:
    assert redacted(text) == told


@pytest.mark.parametrize("change", [b"", b"\0"], ids=["same size", "longer"])
def test_tampered_on_the_index(
    release: Release,
    sdist: bytes,
    index: ThreadingHTTPServer,
    empty: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: bytes,
) -> None:
    bad = bytes([sdist[0] ^ 1]) + sdist[1:] + change
    (tmp_path / "index" / "files" / release.sdist).write_bytes(bad)
    monkeypatch.setenv("PIP_INDEX_URL", url(index))
    with pytest.raises(PatchsetError) as caught:
        sdists.Sdists().obtain(release)
    assert release.sha256 in str(caught.value)
    assert hashlib.sha256(bad).hexdigest() in str(caught.value)
    assert not empty.exists(), "nothing cached"


def test_wrong_size_in_the_pin(release: Release, sdist: bytes, tmp_path: Path) -> None:
    (tmp_path / release.sdist).write_bytes(sdist)
    with pytest.raises(PatchsetError, match=f"expected {release.size + 1} bytes .* got {release.size} bytes"):
        sdists.Sdists(str(tmp_path), [release]).obtain(replace(release, size=release.size + 1))


def test_given_file_and_folder(release: Release, sdist: bytes, tmp_path: Path) -> None:
    renamed = tmp_path / "renamed.tar.gz"
    renamed.write_bytes(sdist)
    assert sdists.Sdists(str(renamed), [release]).obtain(release) == sdist
    with pytest.raises(PatchsetError, match=f"no such sdist: .*{release.sdist}"):
        sdists.Sdists(str(tmp_path), [release]).obtain(release)
    renamed.write_bytes(b"something else")
    with pytest.raises(PatchsetError, match="is not the pinned"):
        sdists.Sdists(str(renamed), [release]).obtain(release)


def test_vendor_is_looked_at_and_not_trusted(release: Release, sdist: bytes, tmp_path: Path) -> None:
    (tmp_path / "vendor").mkdir()
    (tmp_path / "vendor" / release.sdist).write_bytes(sdist)
    assert sdists.Sdists().obtain(release) == sdist
    (tmp_path / "vendor" / release.sdist).write_bytes(sdist[:-1])
    with pytest.raises(PatchsetError, match="is not the pinned"):
        sdists.Sdists().obtain(release)


def test_damaged_cache_entry_is_fetched_again(
    release: Release, sdist: bytes, index: ThreadingHTTPServer, empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty.mkdir()
    (empty / release.sdist).write_bytes(sdist[:1000])
    monkeypatch.setenv("PIP_INDEX_URL", url(index))
    assert sdists.Sdists().obtain(release) == sdist
    assert (empty / release.sdist).read_bytes() == sdist


def test_nothing_reachable(release: Release, monkeypatch: pytest.MonkeyPatch, empty: Path) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://user:word@127.0.0.1:9/closed")
    with pytest.raises(PatchsetError) as caught:
        sdists.Sdists().obtain(release)
    message = str(caught.value)
    assert "tried http://127.0.0.1:9/closed (" in message
    assert "PEFT_SDIST" in message, "says how to build offline"
    assert "word" not in message
    assert not empty.exists()


@pytest.mark.parametrize(
    ("system", "variables", "expected"),
    [
        ("linux", {}, ".cache/peft-patchset"),
        ("linux", {"XDG_CACHE_HOME": "HOME/x"}, "x/peft-patchset"),
        ("linux", {"XDG_CACHE_HOME": "x"}, ".cache/peft-patchset"),
        ("darwin", {"XDG_CACHE_HOME": "HOME/x"}, "Library/Caches/peft-patchset"),
        ("win32", {"LOCALAPPDATA": "HOME/local"}, "local/peft-patchset/Cache"),
        ("win32", {}, "AppData/Local/peft-patchset/Cache"),
    ],
)
def test_the_users_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, system: str, variables: dict[str, str], expected: str
) -> None:
    for name in ("PATCHSET_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("sys.platform", system)
    for name, value in variables.items():
        monkeypatch.setenv(name, value.replace("HOME", str(tmp_path)))
    assert sdists.cache_dir() == tmp_path / expected


def test_unwritable_cache_is_no_error(
    release: Release, sdist: bytes, index: ThreadingHTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("PATCHSET_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setenv("PIP_INDEX_URL", url(index))
    assert sdists.Sdists().obtain(release) == sdist
