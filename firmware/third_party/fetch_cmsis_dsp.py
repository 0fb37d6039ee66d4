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
from pathlib import Path, PurePosixPath

_REQUIREMENTS = Path(__file__).with_name("cmsis_dsp_requirements.txt")
_WANTED = ("Include", "LICENSE", "PrivateInclude", "Source")


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
        unpack(archive, scratch / "sources")
        (scratch / "sources").rename(directory)


def unpack(archive: Path, directory: Path) -> None:
    """Copy the regular files of the wanted folders and the licence, without the top folder.

    Raises:
        ValueError: a name that leads out of the directory.
    """
    with tarfile.open(archive) as tar:
        for member in tar:
            parts = PurePosixPath(member.name).parts[1:]
            if not member.isfile() or not parts or parts[0] not in _WANTED:
                continue
            if ".." in parts:
                raise ValueError(f"{archive}: {member.name} leads out of the archive")
            target = directory.joinpath(*parts)
            target.parent.mkdir(parents=True, exist_ok=True)
            content = tar.extractfile(member)
            assert content is not None
            with content, target.open("wb") as file:
                shutil.copyfileobj(content, file)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} DIRECTORY")
    target = Path(sys.argv[1])
    if target.exists():
        sys.exit(f"{target} exists; remove it to fetch CMSIS-DSP again")
    fetch(target)
