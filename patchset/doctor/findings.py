"""What `doctor` finds, and what it says about a version of peft."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from patchset.doctor.frameworks import Check, Framework, newest, parsed, wheel_of
from patchset.pins import LOCAL, Release, Wheel
from patchset.series.patch import read_series

# The patch without which a call by keyword fails.
FORWARD = "forward-kwargs"


@dataclass(frozen=True)
class Finding:
    """One thing found.

    Attributes:
        level: ``ok``, ``note`` or ``problem``.
        text: what, and what to do.
    """

    level: str
    text: str


def advice(wheel: Wheel, locker: str = "...", python: str = "") -> str:
    """How to get a wheel.

    Args:
        wheel: it.
        locker: whose lines are wanted, if that is known.
        python: the interpreter into whose environment it is to go, in place of another build of its release.
    """
    what = f"the tagged wheel {wheel.name}" if wheel.tagged else f"peft=={wheel.version}"
    option = " --tagged" if wheel.tagged else ""
    if python:
        return f"use {what} (`python -m patchset repair --python {python}` puts it there)"
    return f"use {what} (`python -m patchset lock {wheel.release.version}{option} --for {locker}` says how)"


def of_tagged(file: str, releases: Sequence[Release]) -> tuple[Finding, Wheel | None]:
    """What to say about a tagged wheel, by its file name; and which it is, if it can be built here."""
    version, _, rest = file.removeprefix("peft-").partition("-")
    name = f"{version}-{rest.partition('-')[0]}"
    release = next((pin for pin in releases if pin.version == version), None)
    if release is None:
        return Finding(
            "note", f"peft {name} is patched, but not from a pinned release; nothing is known about it"
        ), None
    wheel = Wheel(release, tagged=True)
    if file != wheel.file:
        text = f"peft {version} is patched, of another revision, {name}; {advice(wheel)}"
        return Finding("note", text), None
    return Finding("ok", f"peft {version} is patched: it is {name}"), wheel


def of_version(
    found: str,
    releases: Sequence[Release],
    using: Sequence[Framework] = (),
    locker: str = "...",
    python: str = "",
) -> Finding:
    """What to say about a version of peft, stock or patched.

    Args:
        found: the version.
        releases: the pins.
        using: what uses it, which decides the wheel to use.
        locker: see `advice`.
        python: see `advice`.
    """
    version = parsed(found)
    if version is None:
        return Finding("problem", f"peft {found} is no version")
    release = next((pin for pin in releases if pin.version == version.public), None)
    if release is None:
        known = f"{releases[0].version} to {releases[-1].version}"
        return Finding("note", f"peft {version} is not among the pinned releases, {known}; nothing is known about it")
    wheel = wheel_of(release, using)
    if version.local is None:
        return Finding("problem", f"peft {version} is stock{_left(release)}; {advice(wheel, locker, python)}")
    if found == release.patched_version:
        return Finding("ok", f"peft {version} is patched")
    if version.local.startswith(f"{LOCAL}."):
        return Finding("note", f"peft {version} is patched, of another revision; {advice(wheel, locker, python)}")
    return Finding("problem", f"peft {version} is somebody else's; {advice(wheel, locker, python)}")


def _left(release: Release) -> str:
    """What stock has of the faults; from the release on that has `forward-kwargs`, by name."""
    slugs = [patch.slug for patch in read_series(release.series_dir)]
    if FORWARD in slugs:
        return ", and affected"
    return f", in which a call by keyword works, but {len(slugs)} faults are left: {', '.join(slugs)}"


def of_frameworks(
    installed: str | None,
    release: Release | None,
    using: Sequence[Framework],
    releases: Sequence[Release],
    *,
    tagged: bool = False,
) -> Iterator[Finding]:
    """What to say about the frameworks of an environment.

    Args:
        installed: the version of peft there, if any.
        release: the pinned release that it is of.
        using: the frameworks.
        releases: the pins.
        tagged: whether a tagged wheel of it is installed, which needs no reasons.
    """
    best, there = newest(releases, using), parsed(installed or "0")
    if there is None:
        return  # which is said already
    judged = release or (best.release if best and not installed else None)
    for framework in using:
        if not tagged:
            yield from _differences(framework, judged, there.local is not None, using)
        if not installed:
            continue
        if not framework.pin.contains(there, prereleases=True):
            yield Finding("problem", f"{framework} requires peft{framework.pin}{_instead(best)}")
        elif refusing := [check for check in framework.checks if not check.guard and not check.holds(str(there))]:
            if not release or not refusing[0].holds(release.version):
                text = f"{framework} checks {refusing[0]} ({refusing[0].place}), which refuses {there}"
                yield Finding("problem", text + _instead(best))
        elif release:
            yield Finding("ok", f"{framework} takes it")
    if using and not installed:
        names = " and ".join(map(str, using))
        text = (
            f"the newest for {names} is {best.name}; {advice(best)}" if best else f"no patched release is for {names}"
        )
        yield Finding("note", text)


def _differences(
    framework: Framework, release: Release | None, local: bool, using: Sequence[Framework]
) -> Iterator[Finding]:
    """The checks that take a release's local version for another one than the release; with that installed, a problem."""
    apart = [check for check in framework.checks if release and check.tells_apart(release)]
    places: dict[tuple[str, bool], list[Check]] = {}
    for check in apart:
        places.setdefault((str(check), check.guard), []).append(check)
    for (what, guard), checks in places.items():
        assert release is not None
        more = f" and {len(checks) - 1} more places" if len(checks) > 1 else ""
        version = release.patched_version
        if guard:
            verb = "holds" if checks[0].holds(version) else "does not hold"
            text = f"{framework} compares {what} ({checks[0].place}{more}), which {verb} for {version}, unlike stock's"
            yield Finding("note", text)
        elif checks[0].holds(release.version):
            text = f"{framework} checks {what} ({checks[0].place}{more}), which refuses {version}"
            yield Finding("problem", f"{text}; {advice(wheel_of(release, using))}") if local else Finding("note", text)


def _instead(wheel: Wheel | None) -> str:
    return f"; {advice(wheel)}" if wheel else ", as no patched release does"
