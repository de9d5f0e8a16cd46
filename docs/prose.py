"""Count the words of each sentence in the documentation and in messages: `python -m docs.prose`, part of `make lint`.

A sentence of more than LONGEST words fails, and a file whose sentences have more than MEAN words on average.
"""

import ast
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
LONGEST = 30
MEAN = 15
CODE = ("pipeline", "stages", "models", "segdistill_runtime", "benchmarks")


class Sentence(NamedTuple):
    line: int
    text: str

    @property
    def words(self) -> int:
        return len(self.text.split())


def markdown_sentences(text: str) -> Iterator[Sentence]:
    """Yield the sentences of paragraphs and list items; tables, headings and code are none."""
    text = re.sub(r"<!--.*?-->|^---\n.*?^---\n", _same_lines, text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"^( *)```.*?^\1```", _same_lines, text, flags=re.DOTALL | re.MULTILINE)
    begin, block = 1, []
    for number, line in enumerate([*text.splitlines(), ""], start=1):
        stripped = line.strip()
        starts = re.match(r"[-*+] |\d+\. |> ?|!!! |\?\?\? ", stripped)
        if not stripped or stripped.startswith(("|", "#", "![", "<", ":::")) or starts:
            yield from sentences(" ".join(block), begin)
            block = []
        if stripped and not stripped.startswith(("|", "#", "![", "<", ":::")):
            begin = begin if block else number
            block.append(stripped[starts.end() :] if starts else stripped)


def sentences(text: str, line: int) -> Iterator[Sentence]:
    """Split at the ends of sentences; what stands between backticks is one word, and so is a link's address."""
    text = re.sub(r"`[^`]*`", "CODE", text)
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    for part in re.split(r"(?<=[.!?])[\"')*]*\s+(?<!e\.g\. )(?<!i\.e\. )", text):
        if part.strip():
            yield Sentence(line, part.strip())


def message_sentences(source: str) -> Iterator[Sentence]:
    """Yield the sentences that a module raises, warns of or prints; what is filled in counts as one word."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and _speaks(node.func):
            for argument in [*node.args, *(word.value for word in node.keywords)]:
                text = spoken_text(argument, "VALUE")
                if text and " " in text:
                    for line in text.splitlines():
                        yield from sentences(line, node.lineno)


def _speaks(function: ast.expr) -> bool:
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    speakers = {"print", "warn", "Refused", "Diverged", "SystemExit", "NotAvailable", "BuildFailed", "add_argument"}
    return name in speakers or name.endswith(("Error", "Refused", "Failed"))


def spoken_text(node: ast.expr, filled_in: str) -> str:
    """Return the text of a string in the code, with `filled_in` for each value in it; empty if it is no string."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(spoken_text(v, "") if isinstance(v, ast.Constant) else filled_in for v in values)
        case ast.BinOp(op=ast.Add(), left=left, right=right):
            return spoken_text(left, filled_in) + spoken_text(right, filled_in)
    return ""


def _same_lines(match: re.Match[str]) -> str:
    return "\n" * match.group().count("\n")


def too_long(place: str, found: Sequence[Sentence]) -> list[str]:
    """Name each sentence that is too long, with its line."""
    return [f"{place}:{one.line}: {one.words} words: {one.text}" for one in found if one.words > LONGEST]


def too_long_on_average(place: str, found: Sequence[Sentence]) -> list[str]:
    mean = sum(one.words for one in found) / max(1, len(found))
    return [f"{place}: {mean:.1f} words a sentence, {MEAN} are allowed"] if mean > MEAN else []


def main() -> None:
    wrong, messages = [], []
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md")]:
        place, found = str(page.relative_to(ROOT)), list(markdown_sentences(page.read_text(encoding="utf-8")))
        wrong += too_long(place, found) + too_long_on_average(place, found)
    for module in (path for folder in CODE for path in (ROOT / folder).rglob("*.py")):
        found = list(message_sentences(module.read_text(encoding="utf-8")))
        wrong += too_long(str(module.relative_to(ROOT)), found)
        messages += found
    wrong += too_long_on_average("messages of the code", messages)
    if wrong:
        sys.exit("\n".join(sorted(wrong)))


if __name__ == "__main__":
    main()
