"""The word counter of `make lint` finds what is too long, and counts no code."""

import pytest

from tests.prose import LONGEST, Sentence, complaints, markdown_sentences, message_sentences

LONG = " ".join(["word"] * (LONGEST + 1))


def test_sentences_of_a_page() -> None:
    page = """# A heading

First `a b c d` sentence. A second
one [link text](some/where.md)!

| table | of | many cells |

```
code that is no sentence.
```

- item one
- item two. int8 begins a third
"""
    found = list(markdown_sentences(page))
    assert [sentence.words for sentence in found] == [3, 5, 2, 2, 4]
    assert [sentence.line for sentence in found] == [3, 3, 12, 13, 13]


def test_what_is_filled_in_counts_as_one_word() -> None:
    source = 'raise ParamsError(f"no run {name + other!r} here; " + "take another")\nlog("not a message at all")\n'
    assert [sentence.words for sentence in message_sentences(source)] == [6]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([Sentence(3, LONG), Sentence(4, "short")], ["page.md:3: 31 words"]),
        ([Sentence(1, " ".join(["word"] * 16))], ["page.md: 16.0 words"]),
        ([Sentence(1, "a short one")], []),
    ],
)
def test_what_is_too_long_is_named(found: list[Sentence], expected: list[str]) -> None:
    told = complaints("page.md", found)
    assert len(told) in (len(expected), len(expected) + 1)
    assert [line for line in told if any(line.startswith(e) for e in expected)] == told[: len(expected)]
