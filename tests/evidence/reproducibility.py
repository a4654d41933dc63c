"""The same wheel from every Python, front end and kind of checkout, compared with the digest that is locked.

Run with ``python -m tests.evidence.reproducibility`` in an environment with the `tool` group, as root for the row of another user. It
builds what is committed. A row that this machine cannot run says why, and the exit status is 1 unless all others give the
locked bytes.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from patchset.pins import CONSTRAINTS, ROOT, Wheel, find, load
from patchset.sources.sdists import Sdists

PYTHONS = ("3.10", "3.11", "3.12", "3.13")
DEBIAN = Path("/usr/bin/python3")
TURKISH = "tr_TR.UTF-8"
NOTHING: Mapping[str, str] = {}


class Missing(Exception):
    """What this machine lacks."""


@dataclass(frozen=True)
class Place:
    """Where a run keeps things.

    Attributes:
        folder: for this run alone; others may look into it.
        wheel: what is built.
    """

    folder: Path
    wheel: Wheel

    @property
    def settings(self) -> list[str]:
        return [f"--config-setting=upstream={self.wheel.release.version}", "--config-setting=version=local"]

    @property
    def variables(self) -> dict[str, str]:
        """Nothing of the user's own; the sdist that was fetched before."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PEFT_", "PYTHON"))}
        return {**kept, "PATCHSET_CACHE": str(self.folder / "sdists"), "TMPDIR": str(self.folder / "tmp")}


Front = Callable[[Place, str, Path], bytes]


def run(
    place: Place, *command: str | Path, cwd: Path | None = None, umask: int = -1, env: Mapping[str, str] = NOTHING
) -> str:
    """Run a command and return what it prints; what it complains of is the error."""
    done = subprocess.run(
        list(map(str, command)),
        cwd=cwd or place.folder,
        env={**place.variables, **env},
        umask=umask,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1])
    return done.stdout.strip()


def checkout(place: Place, *options: str) -> Path:
    """A clone of what is committed."""
    target = Path(tempfile.mkdtemp(dir=place.folder)) / "clone"
    run(place, "git", "clone", "--quiet", "--no-hardlinks", *options, ROOT, target)
    open_up(target.parent)
    return target


def open_up(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        path.chmod(path.stat().st_mode | (0o055 if path.is_dir() else 0o044))


def interpreter(place: Place, version: str) -> str:
    """An installed Python."""
    command = ("uv", "python", "find", "--no-python-downloads", "--no-project", "--system", version)
    try:
        return run(place, *command)
    except RuntimeError as error:
        raise Missing(f"no Python {version}") from error


def built(output: Path) -> bytes:
    (wheel,) = output.glob("*.whl")
    return wheel.read_bytes()


def uv(place: Place, python: str, source: Path, umask: int = -1, env: Mapping[str, str] = NOTHING) -> bytes:
    output = Path(tempfile.mkdtemp(dir=place.folder))
    command: tuple[str | Path, ...] = (
        "uv",
        "build",
        "--wheel",
        "--python",
        python,
        "--out-dir",
        output,
        *place.settings,
    )
    run(place, *command, "--build-constraints", CONSTRAINTS, cwd=source, umask=umask, env=env)
    return built(output)


def pip(place: Place, python: str, source: Path) -> bytes:
    """With the pip that the Python brings, however old."""
    venv, output = (Path(tempfile.mkdtemp(dir=place.folder)) for _ in range(2))
    run(place, python, "-m", "venv", venv)
    settings = [word.replace("--config-setting=", "--config-settings=") for word in place.settings]
    run(place, venv / "bin" / "pip", "wheel", "--no-deps", "--wheel-dir", output, *settings, source)
    return built(output)


def build(place: Place, python: str, source: Path) -> bytes:
    venv, output = (Path(tempfile.mkdtemp(dir=place.folder)) for _ in range(2))
    run(place, "uv", "venv", "--quiet", "--clear", "--python", python, venv)
    run(place, "uv", "pip", "install", "--quiet", "--python", venv, "build")
    command: tuple[str | Path, ...] = (
        venv / "bin" / "python",
        "-m",
        "build",
        "--wheel",
        "--outdir",
        output,
        *place.settings,
    )
    run(place, *command, cwd=source)
    return built(output)


def turkish(place: Place) -> bytes:
    """A locale in which the small letter of I is not i, installed for this run."""
    if shutil.which("localedef") is None or not Path("/usr/share/i18n/locales/tr_TR").exists():
        raise Missing("localedef or the locale's source is not installed (Debian: locales)")
    locales = place.folder / "locales"
    locales.mkdir()
    run(place, "localedef", "--inputfile=tr_TR", "--charmap=UTF-8", locales / TURKISH)
    variables = {"LOCPATH": str(locales), "LC_ALL": TURKISH, "LANG": TURKISH}
    code = "import locale; print(locale.setlocale(locale.LC_ALL, ''), locale.localeconv()['decimal_point'])"
    if run(place, sys.executable, "-c", code, env=variables) != f"{TURKISH} ,":
        raise RuntimeError("the locale is not in force")
    return uv(place, sys.executable, checkout(place), env=variables)


def another_user(place: Place) -> bytes:
    """Without a home, who may read the checkout and not write to it."""
    if os.getuid() != 0 or shutil.which("runuser") is None or not DEBIAN.exists():
        raise Missing("only root can become another user, with the system's Python")
    home = place.folder / "home"
    home.mkdir()
    shutil.chown(home, "nobody", "nogroup")
    source = checkout(place)
    steps = (
        f"{DEBIAN} -m venv venv",
        f"venv/bin/pip install --quiet --require-hashes -r {source}/vendor/build-constraints.txt",
        f"venv/bin/pip wheel --quiet --no-deps --no-build-isolation -w out {' '.join(place.settings)} {source}".replace(
            "--config-setting=", "--config-settings="
        ),
    )
    user = ("runuser", "--user", "nobody", "--", "sh", "-euc", "; ".join(steps))
    run(place, *user, cwd=home, env={"HOME": str(home), "TMPDIR": str(home)})
    return built(home / "out")


def archive(place: Place) -> bytes:
    """As a repository's host gives it: no .git."""
    target = Path(tempfile.mkdtemp(dir=place.folder))
    run(place, "git", "-C", ROOT, "archive", "--output", target / "all.tar", "HEAD")
    with tarfile.open(target / "all.tar") as opened:
        opened.extractall(target / "source")  # ours
    return uv(place, sys.executable, target / "source")


def from_sdist(place: Place) -> bytes:
    """Our source package, unpacked, without the sdist in the cache."""
    target = Path(tempfile.mkdtemp(dir=place.folder))
    run(place, "uv", "build", "--sdist", "--out-dir", target, *place.settings, cwd=checkout(place))
    (package,) = target.glob("*.tar.gz")
    with tarfile.open(package) as opened:
        opened.extractall(target)  # ours
    source = target / package.name.removesuffix(".tar.gz")
    return uv(place, sys.executable, source, env={"PATCHSET_CACHE": str(target / "none"), "UV_OFFLINE": "1"})


def otherwise(place: Place) -> bytes:
    variables = {"TZ": "Asia/Kathmandu", "PYTHONHASHSEED": "7", "SOURCE_DATE_EPOCH": "1700000000", "LC_ALL": "C"}
    return uv(place, sys.executable, checkout(place), umask=0o077, env=variables)


def rows() -> Iterator[tuple[str, Callable[[Place], bytes]]]:
    """What is built and how, by the row's name."""
    fronts: Mapping[str, Front] = {"pip": pip, "uv": uv, "build": build}
    for name, front in fronts.items():
        for version in (*PYTHONS, ""):
            row = f"{name}, Python {version}" if version else f"{name}, the system's Python"
            yield row, functools.partial(_through, front=front, version=version)
    yield "Turkish locale", turkish
    yield "another user, a checkout that cannot be written", another_user
    yield "a clone with CRLF", lambda place: uv(place, sys.executable, checkout(place, "-c", "core.autocrlf=true"))
    yield "an archive, no .git", archive
    yield "from our source package, no index", from_sdist
    yield "another umask, time zone, locale, hash seed and SOURCE_DATE_EPOCH", otherwise


def _through(place: Place, front: Front, version: str) -> bytes:
    if not version and not DEBIAN.exists():
        raise Missing(f"there is no {DEBIAN}")
    return front(place, interpreter(place, version) if version else str(DEBIAN), checkout(place))


def version_of(python: str) -> str:
    with contextlib.suppress(OSError):
        return subprocess.run([python, "--version"], capture_output=True, text=True, check=False).stdout.strip()
    return ""


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.evidence.reproducibility", description="Build it every way."
    )
    parser.add_argument("release", nargs="?", default="0.18.1", help="default: %(default)s")
    parser.add_argument("--only", default="", metavar="TEXT", help="rows whose names have it")
    options = parser.parse_args()
    wheel = find(options.release, load()).wheels[0]
    print(f"{wheel.file}, locked sha256 {wheel.sha256}; the system's Python is {version_of(str(DEBIAN))}\n")
    print("| how | sha256 | |\n| --- | --- | --- |")
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder), wheel)
        place.folder.chmod(0o755)
        for name in ("sdists", "tmp"):
            (place.folder / name).mkdir()
        (place.folder / "sdists" / wheel.release.sdist).write_bytes(Sdists().obtain(wheel.release))
        open_up(place.folder)
        for name, make in rows():
            if options.only not in name:
                continue
            try:
                digest = hashlib.sha256(make(place)).hexdigest()
                said = "the same" if digest == wheel.sha256 else "**another one**"
            except Missing as error:
                digest, said = "", f"not run: {error}"
            except (RuntimeError, OSError, ValueError) as error:
                digest, said = "", f"**failed**: {error}"
            bad += said.startswith("**")
            print(f"| {name} | {digest[:16]} | {said} |", flush=True)
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())
