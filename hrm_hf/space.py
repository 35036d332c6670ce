"""The folder of a Hugging Face Space with the app: a script that starts it, the package as a wheel, requirements.

The requirements are the versions of constraints.txt, with which the app is tested.
"""

import base64
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from email.parser import BytesParser
from importlib.metadata import Distribution, PackageNotFoundError, distribution, version
from pathlib import Path
from string import Template
from zipfile import ZIP_DEFLATED, ZipFile

from packaging.requirements import Requirement
from packaging.version import Version

from hrm_hf.utils.environment import TESTED_PYTHON, pins
from hrm_hf.utils.files import check_replaceable, whole_folder


_HERE = Path(__file__).resolve().parent
_FILES = _HERE / "spaces_app"
# files that an installer adds to a package
_OF_INSTALLER = {"INSTALLER", "REQUESTED", "RECORD", "direct_url.json"}


def build_space(out: Path, overwrite: bool = False) -> list[Path]:
    """Write the folder of a Space.

    Args:
        out: the folder.
        overwrite: whether an existing Space may be replaced.

    Returns:
        Its files.

    Raises:
        FileExistsError: if `out` has something that may not be replaced.
        FileNotFoundError: if files of the installed package are missing, so no wheel can be made from it.
        ValueError: if the wheel cannot be built from a clone.
    """
    check_replaceable(out, overwrite, "app.py", "Space")
    tested = pins("constraints.txt")
    with whole_folder(out) as partial:
        wheel = write_wheel(partial)
        needed = [name for name in _needed(wheel) if name in tested]
        lines = [
            "# written by `hrm-hf space`: the package, and the versions that it is tested with",
            f"./{wheel.name}",
            *(f"{name}=={tested[name]}" for name in needed),
        ]
        (partial / "requirements.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        readme = Template((_FILES / "README.md").read_text(encoding="utf-8"))
        said = readme.substitute(gradio=tested["gradio"], python=TESTED_PYTHON)
        (partial / "README.md").write_text(said, encoding="utf-8")
        shutil.copyfile(_FILES / "app.py", partial / "app.py")
    return sorted(out.iterdir())


def write_wheel(folder: Path) -> Path:
    """Write the wheel of this package: built in a clone, repacked from an installed package.

    Args:
        folder: where to write it.

    Returns:
        The file.

    Raises:
        FileNotFoundError: if the package is neither a clone nor completely installed.
        ValueError: if pip cannot build a clone.
    """
    clone = _HERE.parent
    if (clone / "setup.py").is_file():
        return _build_wheel(clone, folder)
    try:
        installed = distribution("hrm-hf")
    except PackageNotFoundError as error:
        raise FileNotFoundError(
            f"Cannot make a wheel of hrm-hf: {clone} is neither a clone of the repository (it has no setup.py) nor a "
            "place where pip installed hrm-hf; install it with pip, or call hrm-hf space from a clone."
        ) from error
    return _pack_wheel(installed, folder)


def _build_wheel(clone: Path, folder: Path) -> Path:
    """The wheel of a clone."""
    with tempfile.TemporaryDirectory() as scratch:
        # setuptools leaves build/ in the clone, and includes what is left there in the next wheel
        settings = Path(scratch) / "setup.cfg"
        settings.write_text(f"[build]\nbuild_base = {scratch}/build\n[egg_info]\negg_base = {scratch}\n")
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder)]
        # otherwise pip downloads one for the build
        if _has_setuptools():
            command.append("--no-build-isolation")
        process = subprocess.run(
            [*command, "--disable-pip-version-check", str(clone)],
            env=os.environ | {"DIST_EXTRA_CONFIG": str(settings)},
            capture_output=True,
            text=True,
        )
    if process.returncode:
        reason = (process.stderr.strip() or "pip said nothing").splitlines()[-1]
        raise ValueError(
            f"pip cannot build a wheel of the clone {clone}: {reason}; see the output of `pip wheel --no-deps "
            f"{clone}`, or call hrm-hf space where hrm-hf is installed from a wheel."
        )
    (wheel,) = folder.glob("*.whl")
    return wheel


def _has_setuptools() -> bool:
    try:
        return Version(version("setuptools")) >= Version("77")  # as in pyproject.toml
    except PackageNotFoundError:
        return False


def _pack_wheel(installed: Distribution, folder: Path) -> Path:
    """The wheel that an installed package came from; the installer makes the command's script again."""
    inside = {file.as_posix(): Path(file.locate()) for file in installed.files or [] if ".." not in file.parts}
    inside = {name: path for name, path in inside.items() if path.suffix != ".pyc" and path.name not in _OF_INSTALLER}
    missing = [name for name, path in inside.items() if not path.is_file()]
    if missing or "hrm_hf/__init__.py" not in inside:
        raise FileNotFoundError(
            f"Cannot make a wheel of the installed hrm-hf {installed.version}: "
            f"{missing[0] if missing else 'the list of its files'} is missing; install it again."
        )
    (info,) = {name.partition("/")[0] for name in inside if name.partition("/")[0].endswith(".dist-info")}
    wheel = folder / f"{info.removesuffix('.dist-info')}-py3-none-any.whl"
    record = []
    with ZipFile(wheel, "w", ZIP_DEFLATED) as packed:
        for name, path in inside.items():
            content = path.read_bytes()
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            record.append(f"{name},sha256={digest},{len(content)}")
            packed.write(path, name)
        packed.writestr(f"{info}/RECORD", "\n".join([*record, f"{info}/RECORD,,"]) + "\n")
    return wheel


def _needed(wheel: Path) -> list[str]:
    """Names of the packages that the app of this wheel needs."""
    with ZipFile(wheel) as packed:
        (name,) = (name for name in packed.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = BytesParser().parsebytes(packed.read(name))
    requirements = map(Requirement, metadata.get_all("Requires-Dist", []))
    return [
        requirement.name
        for requirement in requirements
        if requirement.marker is None or requirement.marker.evaluate({"extra": "app"})
    ]
