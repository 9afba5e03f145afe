#!/usr/bin/env python3
"""Checks that includes follow the layers: a folder of src/ may include from itself and from those
that stand above it in src/README.md, never from below. Exit code 1 names every wrong include."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"')


def layers() -> list[str]:
    text = (ROOT / "src/README.md").read_text(encoding="utf-8")
    return re.findall(r"^\| \[(\w+)/\]", text, re.MULTILINE)


def main() -> int:
    order = layers()
    folders = sorted(p.name for p in (ROOT / "src").iterdir() if p.is_dir())
    wrong = [f"src/{f}/ is not listed in src/README.md" for f in folders if f not in order]
    wrong += [f"src/README.md lists {f}/, which does not exist" for f in order if f not in folders]
    checked = 0
    for path in sorted((ROOT / "src").rglob("*")):
        if path.suffix not in (".cc", ".h", ".inc"):
            continue
        own = path.relative_to(ROOT / "src").parts[0]
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            match = INCLUDE.match(line)
            if not match:
                continue
            checked += 1
            where = f"{path.relative_to(ROOT)}:{number}"
            target = match.group(1)
            if not (ROOT / "src" / target).is_file():
                wrong.append(f"{where}: \"{target}\" is no file under src/")
                continue
            folder = target.split("/")[0]
            if own in order and folder in order and order.index(folder) > order.index(own):
                wrong.append(f"{where}: {own}/ includes {folder}/, which stands below it")
    for line in wrong:
        print(line)
    print(f"layers: {checked} includes, {len(wrong)} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
