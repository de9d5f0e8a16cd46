"""The word counter of `make lint` finds what is too long, and counts no code."""

from docs.prose import LONGEST, MEAN, Sentence, markdown_sentences, message_sentences, too_long, too_long_on_average

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


def test_a_sentence_that_is_too_long_is_named_with_its_line() -> None:
    found = [Sentence(3, LONG), Sentence(4, "short"), Sentence(5, LONG.removesuffix(" word"))]
    assert [line.split(": ")[:2] for line in too_long("page.md", found)] == [["page.md:3", "31 words"]]


def test_the_mean_of_a_page_is_limited() -> None:
    assert too_long_on_average("page.md", [Sentence(1, " ".join(["word"] * MEAN))]) == []
    (told,) = too_long_on_average("page.md", [Sentence(1, " ".join(["word"] * MEAN)), Sentence(2, LONG)])
    assert told.startswith("page.md: 23.0 ")
    assert too_long_on_average("empty.md", []) == []
