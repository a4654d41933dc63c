"""Where to download from: the package index that the user's pip or uv is configured for."""

from __future__ import annotations

import ast
import contextlib
import os
import re
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

# pip's sections, weakest first: https://pip.pypa.io/en/stable/topics/configuration/
_PIP_SECTIONS = ("global", "install", ":env:")
# Stands for the index that pip asks where none is configured.
DEFAULT = ""
OFFLINE = (
    "To build without a network, put that file into vendor/ or name it, or a folder that holds it, with "
    "`-C sdist=PATH` or PEFT_SDIST=PATH"
)
_TRUE = ("1", "true", "yes", "on")


@dataclass
class IndexSettings:
    """What pip's and uv's settings say about the network.

    Attributes:
        indexes: URLs of indexes with the simple API, `DEFAULT` among them or none at all for pip's own.
        find_links: folders, files or URLs of pages that list files.
        no_index: look at `find_links` alone.
        trusted_hosts: hosts whose certificate is not checked (pip's ``trusted-host``).
        proxy: pip's, which it minds itself; its password must not be told.
    """

    indexes: list[str] = field(default_factory=list)
    find_links: list[str] = field(default_factory=list)
    no_index: bool = False
    trusted_hosts: list[str] = field(default_factory=list)
    proxy: str = ""


def settings(environ: Mapping[str, str] = os.environ) -> IndexSettings:
    """Read pip's configuration (files and ``PIP_*``) and uv's variables.

    What else pip has been told, of certificates, it minds itself.

    The index of either replaces the default one; where both name one, both are asked. What is downloaded is
    checked against the pin, so the order decides nothing but speed.
    """
    pip = _pip_config()
    uv = environ.get("UV_DEFAULT_INDEX") or environ.get("UV_INDEX_URL") or ""
    found = IndexSettings(
        indexes=[url for url in (_with_credentials(uv, environ), pip.get("index-url")) if url],
        find_links=[*_words(environ.get("UV_FIND_LINKS"), ","), *_words(pip.get("find-links"))],
        no_index=any(str(value).lower() in _TRUE for value in (pip.get("no-index"), environ.get("UV_OFFLINE"))),
        trusted_hosts=[*_words(pip.get("trusted-host")), *_words(environ.get("UV_INSECURE_HOST"))],
        proxy=pip.get("proxy", ""),
    )
    extra = [_with_credentials(entry, environ) for entry in _words(environ.get("UV_INDEX"))]
    extra += [*_words(environ.get("UV_EXTRA_INDEX_URL")), *_words(pip.get("extra-index-url"))]
    if extra and not found.indexes:
        found.indexes.append(DEFAULT)
    found.indexes = list(dict.fromkeys(map(_with_quotes, [*found.indexes, *extra])))
    found.find_links = list(dict.fromkeys(map(_with_quotes, found.find_links)))
    return found


def find_links_folders(environ: Mapping[str, str] = os.environ) -> list[Path]:
    """The folders of this machine among pip's and uv's find-links, by their variables alone."""
    links = _find_links(environ)
    if not links:
        return []
    from urllib.request import url2pathname  # late: it takes as long to import as all else that finds an sdist

    paths = [url2pathname(urlsplit(link).path) if link.startswith("file:") else link for link in links]
    return [Path(path).expanduser() for path in paths if Path(path).expanduser().is_dir()]


def _find_links(environ: Mapping[str, str]) -> list[str]:
    return [*_words(environ.get("UV_FIND_LINKS"), ","), *_words(environ.get("PIP_FIND_LINKS"))]


def offline(environ: Mapping[str, str] = os.environ) -> str | None:
    """Why nothing can be downloaded here, in words; None where that is not certain.

    It has to be known before anything can be installed that could try: a front end that cannot get the client for the
    download speaks of the client, not of the sdist that is missing.
    """
    # a page of links is asked without an index too
    remote = any(link.startswith(("http:", "https:")) for link in _find_links(environ))
    for name in ("UV_OFFLINE",) if remote else ("PIP_NO_INDEX", "UV_OFFLINE"):
        if environ.get(name, "").lower() in _TRUE:
            return f"{name} is set"
    from urllib.request import getproxies  # late, as above

    for scheme, proxy in getproxies().items():
        try:
            parts = urlsplit(proxy)
            if scheme not in ("http", "https", "all") or not parts.hostname:
                continue
            socket.create_connection((parts.hostname, parts.port or 80), timeout=5).close()
            return None
        except (TimeoutError, ValueError):  # the download will say what is wrong with it
            return None
        except OSError as error:
            return f"the proxy {redacted(proxy)} does not answer ({error.strerror or error})"
    try:
        # Asks the system for a route and sends nothing; the address is one that nobody has (RFC 5737).
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(("192.0.2.1", 9))
    except OSError as error:
        return f"there is no network ({error.strerror or error})"
    return None


def redacted(text: str) -> str:
    """The text with user names, passwords and queries taken out of its URLs, fit for a message.

    Whatever stands before the last @ of a word may be a password, slashes or not; behind that of a repository stands its
    revision. It becomes one line. urllib3 tells of a URL's path alone, with the query.
    """
    line = re.sub(r"(\S*?)//(\S*@\S*)", _without_user, " ".join(text.split()))
    return re.sub(r"((?://|(?<!\S)/)[^\s?'\"]*)\?[^\s'\")\]>]*", r"\1", line)


def _without_user(url: re.Match[str]) -> str:
    scheme, rest = url.groups()
    head, _, tail = rest.rpartition("@")
    revision = ""
    if "git+" in scheme and "/" in head and "/" not in tail:
        rest, revision = head, f"@{tail}"
    return f"{scheme}//{rest.rpartition('@')[2]}{revision}"


def odd(url: str) -> bool:
    """Whether a URL may have a password that ends its host's name for a parser: nothing of it may be told."""
    try:
        return "@" in url.partition("//")[2][len(urlsplit(url).netloc) :]
    except ValueError:
        return True


def _with_quotes(url: str) -> str:
    """A URL whose user name and password have no @, as pip takes them: the last one ends them."""
    with contextlib.suppress(ValueError):
        parts = urlsplit(url)
        user, at, host = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=quote(user, safe="%:!$&'()*+,;=") + at + host)) if "@" in user else url
    return url


def _pip_config() -> dict[str, str]:
    """pip's own merged view of its configuration; empty where pip is not installed."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    merged: dict[str, dict[str, str]] = {section: {} for section in _PIP_SECTIONS}
    for line in result.stdout.splitlines() if result.returncode == 0 else ():
        key, _, value = line.partition("=")
        section, _, name = key.rpartition(".")
        if section in merged:
            merged[section][name] = str(ast.literal_eval(value))
    return {name: value for section in _PIP_SECTIONS for name, value in merged[section].items()}


def _words(value: str | None, separator: str | None = None) -> list[str]:
    return [word.strip() for word in (value or "").split(separator) if word.strip()]


def _with_credentials(entry: str, environ: Mapping[str, str]) -> str:
    """uv's ``NAME=URL``, with ``UV_INDEX_NAME_USERNAME`` and ``_PASSWORD`` put into the URL."""
    name, separator, url = entry.partition("=")
    if not separator or "/" in name:
        return entry
    prefix = "UV_INDEX_" + "".join(c if c.isalnum() else "_" for c in name).upper()
    user, password = (environ.get(f"{prefix}_USERNAME"), environ.get(f"{prefix}_PASSWORD"))
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    if user is None and password is None or "@" in parts.netloc:
        return url
    return urlunsplit(parts._replace(netloc=f"{quote(user or '', '')}:{quote(password or '', '')}@{parts.netloc}"))
