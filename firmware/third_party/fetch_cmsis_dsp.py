"""Fetch the pinned CMSIS-DSP source release with pip and unpack what the firmware compiles.

    python fetch_cmsis_dsp.py DIRECTORY

The release on PyPI holds Arm's unmodified C sources. The environment that runs this needs pip,
setuptools, wheel and numpy, which pip uses to read the archive's metadata.
"""

import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

_REQUIREMENTS = Path(__file__).with_name("cmsis_dsp_requirements.txt")
_FOLDERS = ("Include", "PrivateInclude", "Source")


def fetch(directory: Path) -> None:
    """Leave the sources in `directory`, complete or not at all."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix=".cmsis-dsp-") as name:
        scratch = Path(name)
        subprocess.run(
            [
                *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
                *("--no-binary=cmsisdsp", "--no-build-isolation", "--require-hashes"),
                *(f"--requirement={_REQUIREMENTS}", f"--dest={scratch}"),
            ],
            check=True,
        )
        (archive,) = scratch.glob("*.tar.gz")
        with tarfile.open(archive) as tar:
            tar.extractall(scratch / "unpacked", filter="data")
        (root,) = (scratch / "unpacked").iterdir()
        (scratch / "sources").mkdir()
        for folder in _FOLDERS:
            (root / folder).rename(scratch / "sources" / folder)
        shutil.copy(root / "LICENSE", scratch / "sources")
        (scratch / "sources").rename(directory)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} DIRECTORY")
    target = Path(sys.argv[1])
    if target.exists():
        sys.exit(f"{target} exists; remove it to fetch CMSIS-DSP again")
    fetch(target)
