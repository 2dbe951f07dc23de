"""Print lines of tests per line of code, and the longest modules."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def line_counts(folder: str) -> dict[Path, int]:
    """Return the number of lines of each Python file below `folder`."""
    files = (ROOT / folder).rglob("*.py")
    return {f.relative_to(ROOT): len(f.read_text(encoding="utf-8").splitlines()) for f in files}


if __name__ == "__main__":
    code, tests = line_counts("src"), line_counts("tests")
    print(f"code {sum(code.values())} lines, tests {sum(tests.values())} lines: ", end="")
    print(f"ratio {sum(tests.values()) / sum(code.values()):.2f}")
    for path, lines in sorted(code.items(), key=lambda item: -item[1])[:5]:
        print(f"{lines:5d}  {path.as_posix()}")
