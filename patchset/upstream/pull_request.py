"""The files of one upstream pull request, in the manner that upstream's contribution guide and agent policy ask for.

https://huggingface.co/docs/peft/main/en/developer_guides/contributing and ``.ai/AGENTS.md`` of upstream's repository:
an issue approved by a maintainer before the pull request, a test that fails without the fix, the tests that were run and
their results, a clear statement about AI assistance, and a human who can defend every line.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from patchset.checks.patch_tests import Outcome
from patchset.series.patch import DEP3, Patch

# What upstream's contribution guide asks for where saving or loading changes; it takes its hub.
_REGRESSION = "`pytest tests/regression/ --regression`"
_SAVING = ("save_and_load.py", "peft_model.py", "other.py", "hotswap.py", "config.py", "mixed_model.py")


@dataclass(frozen=True)
class Request:
    """What is known about a pull request.

    Attributes:
        patch: the idea.
        needs: titles of those that must be merged before.
        mails: names and contents of the mails for ``git am`` onto upstream.
        base: upstream's commit that they were made for: its id and subject.
        outcomes: the tests without and with the fix; None if they were not run.
        ruff: upstream's requirement that passed, or why it was not run.
        files: what it changes.
        size: added and removed lines.
    """

    patch: Patch
    needs: Sequence[str]
    mails: Mapping[str, bytes]
    base: str
    outcomes: tuple[Outcome, Outcome] | None
    ruff: str
    files: Sequence[str]
    size: int


def without_fields(mail: bytes) -> bytes:
    """A mail without the DEP-3 fields of its message, which mean nothing upstream."""
    head, separator, tail = mail.partition(b"\n---\n")
    text = re.sub(r"\n{3,}", "\n\n", DEP3.sub("", head.decode())).rstrip()
    return text.encode() + separator + tail


def write(folder: Path, request: Request) -> None:
    """Write the folder; it must not exist."""
    folder.mkdir(parents=True)
    for name, mail in request.mails.items():
        (folder / name).write_bytes(mail)
    texts = {
        "title.txt": request.patch.title,
        "body.md": _body(request),
        "issue.md": _issue(request),
        "checklist.md": _checklist(request),
    }
    if request.outcomes is not None:
        texts["tests-before.txt"], texts["tests-after.txt"] = (
            f"$ {outcome.command}\n{outcome.output.strip()}" for outcome in request.outcomes
        )
    for name, text in texts.items():
        (folder / name).write_text(text.rstrip() + "\n", encoding="utf-8")


def _description(patch: Patch) -> str:
    """The commit message as Markdown: paragraphs and list items on one line each, what is indented as it is."""
    message = DEP3.sub("", patch.message).strip()
    paragraphs = re.split(r"\n{2,}|\n(?=- )", message)
    return "\n\n".join(
        f"```\n{textwrap.dedent(text)}\n```" if text.startswith("  ") else " ".join(text.split())
        for text in paragraphs
    )


def _body(request: Request) -> str:
    parts = [_description(request.patch), "Resolves #ISSUE, approved in COMMENT."]
    parts += [f"See also {bug}." for bug in request.patch.bugs]
    if request.needs:
        parts.append(f"This builds on: {'; '.join(request.needs)}. Only the last commit is new.")
    parts += ["## Tests", _tests(request)]
    parts += [
        "## AI assistance",
        "AI assistance was used for this pull request: for the change, its tests and this description.",
    ]
    return "\n\n".join(parts)


def _tests(request: Request) -> str:
    ruff = f"`{request.ruff}`: `ruff check` and `ruff format --check` pass on the changed files."
    if request.ruff.startswith("not run"):
        ruff = f"ruff: {request.ruff}."
    regression = f"\n\n{_REGRESSION}: RESULT" if _saves(request) else ""
    if request.outcomes is None:
        return f"NOT RUN YET: run `python -m patchset pr` with --tests, or say why not.{regression}\n\n{ruff}"
    before, after = request.outcomes
    return (
        f"```\n{after.command}\n```\n\n"
        f"- without the change: {before.summary}\n- with the change: {after.summary}{regression}\n\n{ruff}"
    )


def _saves(request: Request) -> bool:
    """Whether it changes how adapters are saved or loaded, so that upstream wants its regression tests run."""
    return any(name.startswith("src/") and Path(name).name in _SAVING for name in request.files)


def _issue(request: Request) -> str:
    """What upstream's form for bugs asks for, field by field (.github/ISSUE_TEMPLATE/bug-report.yml)."""
    bugs = "".join(f"\n\nSee also {bug}." for bug in request.patch.bugs)
    failing = "A test that shows it, which fails on the current code:\n\n" if request.outcomes else ""
    command = f"```\n{request.outcomes[0].command}\n```\n\n" if request.outcomes else ""
    return f"""Title: {request.patch.title}

### System Info

VERSIONS of peft, accelerate, transformers, torch and Python, and the platform. Seen at upstream's `{request.base}`.

### Who can help?

### Reproduction

{_description(request.patch)}{bugs}

{failing}{command}REPRODUCER: a few lines, with the whole traceback.

### Expected behavior

EXPECTED, in my own words.

I intend to provide the pull request. AI assistance was used to find and describe this.
"""


def _checklist(request: Request) -> str:
    files = "\n".join(f"- [ ] I have read every changed line of `{name}` and can defend it." for name in request.files)
    regression = f"- [ ] {_REGRESSION} passes, and RESULT in `body.md` says so.\n" if _saves(request) else ""
    needs = "".join(f"- [ ] Merged before: {title}.\n" for title in request.needs)
    return f"""# Before you submit: {request.patch.title}

Made for `{request.base}`. Nothing was sent. Upstream closes pull requests without an approved issue, and bans accounts that
breach its policy for AI-assisted contributions (`.ai/AGENTS.md` in its repository).

- [ ] No open issue or pull request has the same aim.
- [ ] The issue (`issue.md`, in my own words) is open, and a maintainer has approved it there with `@peft-triage approved`.
- [ ] `body.md` links the issue and that comment in the place of `#ISSUE` and COMMENT.
- [ ] It is no tiny change by itself: small ones that belong together go into one pull request, with this one's mails.
- [ ] In `issue.md`, VERSIONS, REPRODUCER and EXPECTED are filled in.
{needs}{regression}- [ ] The mails apply to today's main: `git am --keep-non-patch {" ".join(request.mails)}`.
- [ ] I am the author of the commit: `git commit --amend --reset-author`.
{files}
- [ ] The tests pass here: the command is in `body.md`, and so do the files' other tests.
- [ ] A test names the issue or pull request in a comment, as the contribution guide asks.
- [ ] `make quality` passes.
- [ ] The line "This PR was authored by a human." is not in the description, as AI wrote most of it.
- [ ] I answer the review myself.

Then set `Forwarded:` in the patch to the pull request's address, in every line.
"""
