"""Lists the commands of this package, or runs one of them.

python -m pipeline
python -m pipeline enhance noisy.wav --out enhanced
"""

import ast
import runpy
import sys
from pathlib import Path

_PACKAGE = Path(__file__).parent


def commands() -> dict[str, str]:
    """Every module of the package that is a command, with the first line of its docstring.

    Modules are read, not imported, so that the list appears at once.
    """
    found = {}
    for path in sorted(_PACKAGE.rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        if path != Path(__file__) and '\nif __name__ == "__main__":\n' in source:
            place = ".".join(path.relative_to(_PACKAGE).with_suffix("").parts)
            name = place.removeprefix("stages.").removeprefix("tools.")
            found[name] = (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]
    return found


def main() -> None:
    """Command line."""
    known = commands()
    match sys.argv[1:]:
        case [name, *_] if name in known:
            sys.argv = [f"python -m pipeline.{name}", *sys.argv[2:]]
            runpy.run_module(f"pipeline.{name}", run_name="__main__", alter_sys=True)
        case [] | ["-h" | "--help"]:
            width = max(map(len, known))
            print("usage: python -m pipeline COMMAND ...  (COMMAND --help says more)\n")
            for name, line in known.items():
                print(f"  {name:{width}s}  {line}")
        case [name, *_]:
            print(f"error: {name!r} is no command; python -m pipeline lists them", file=sys.stderr)
            raise SystemExit(2)


if __name__ == "__main__":
    main()
