"""``doctor --verify``: a downloaded wheel and an installed one against a published SHA256SUMS."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

from tests.patchset.tool import Run


def test_a_downloaded_wheel(tool: Run, checkout: Path, wheel: Path, tmp_path: Path) -> None:
    sums = tmp_path / "SHA256SUMS"
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    sums.write_text(f"{digest}  {wheel.name}\n{digest} *other\n")
    good = tool(checkout, "doctor", "--verify", str(sums), str(wheel))
    assert (good.returncode, good.stdout) == (0, f"ok: {wheel.name} is the published one, sha256 {digest}\n")
    mine = tmp_path / wheel.name
    mine.write_bytes(wheel.read_bytes() + b"\0")
    bad = tool(checkout, "doctor", "--verify", str(sums), str(mine))
    assert bad.returncode == 1
    assert f"is not the published one: sha256 {hashlib.sha256(mine.read_bytes()).hexdigest()}" in bad.stdout
    sums.write_text(f"{digest}  other\n")
    assert "was not published with these" in tool(checkout, "doctor", "--verify", str(sums), str(wheel)).stdout
    for text in ("", f"{digest}\n", "<html>\n"):
        sums.write_text(text)
        assert "is not what sha256sum writes" in tool(checkout, "doctor", "--verify", str(sums), str(wheel)).stderr


def test_an_installed_wheel(tool: Run, checkout: Path, wheel: Path, tmp_path: Path) -> None:
    """What is installed is put together to the wheel again, so that the file need not be there."""
    venv, sums = tmp_path / "venv", tmp_path / "SHA256SUMS"
    subprocess.run(["uv", "venv", "--quiet", "--python", sys.executable, venv], check=True)
    subprocess.run(["uv", "pip", "install", "--quiet", "--no-deps", "--python", venv, wheel], check=True)
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    asked = ("doctor", "--python", str(venv / "bin" / "python"), "--verify", str(sums))
    sums.write_text(f"{digest}  {wheel.name}\n")
    assert f"ok: they are the released wheel's, sha256 {digest}" in tool(checkout, *asked).stdout
    sums.write_text(f"{'0' * 64}  {wheel.name}\n")
    other = tool(checkout, *asked)
    assert other.returncode == 1
    assert "problem: they are not the released wheel's" in other.stdout
