"""The demo's input."""

from __future__ import annotations

import os
from pathlib import Path

import orjson
import pytest

from penstock.demo.corpus import Corpus, fitting, source_file, spread, standard_library


def make_corpus(folder: Path, files: dict[str, bytes], *, params_bytes: int = 100_000) -> Corpus:
    """A folder with these files, as a corpus."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return Corpus(folder, params_bytes=params_bytes)


def test_only_the_librarys_own_sources_are_read(tmp_path: Path) -> None:
    """Installed packages and caches are in the same folder, and are not part of it."""
    names = ("b.py", "a.py", "pkg/c.py", "notes.txt", "site-packages/x.py", "__pycache__/y.py")
    corpus = make_corpus(tmp_path, dict.fromkeys(names, b""))

    assert [str(path.relative_to(tmp_path)) for path in corpus.paths()] == ["a.py", "b.py", "pkg/c.py"]


def test_a_file_that_is_not_utf8_is_sent_with_replacement_characters(tmp_path: Path) -> None:
    """And counted; a file that has such a character by itself is not."""
    corpus = make_corpus(tmp_path, {"a.py": "# caf\u00e9".encode("latin-1"), "b.py": "# \ufffd".encode()})

    rows = list(corpus.rows(corpus.paths()))

    assert [row["text"] for row in rows] == ["# caf\ufffd", "# \ufffd"]
    assert [file.replaced for file in corpus.files] == [True, False]


def test_a_file_that_is_too_large_is_cut_at_a_line(tmp_path: Path) -> None:
    """What is sent fits, and the report knows that it is not all."""
    corpus = make_corpus(tmp_path, {"a.py": b'x = "\\n"\n' * 100, "b.py": b"y\n"}, params_bytes=700)

    rows = list(corpus.rows(corpus.paths()))

    assert [file.cut for file in corpus.files] == [True, False]
    assert rows[0]["text"].endswith("\n")
    assert 300 < len(orjson.dumps(rows[0])) <= 700


@pytest.mark.parametrize("text", ["", "plain\n", 'quotes " and \\\n', "\u00e9\u4e2d\U0001f600\n\x00\x1b\n"])
def test_the_size_that_counts_is_that_of_the_json(text: str) -> None:
    """Escapes make a text longer on its way."""
    size = len(orjson.dumps(text))

    assert fitting(text, size) == text
    assert fitting(text * 50, size) in {text * n for n in range(50)} | {
        "".join((text * 50).splitlines(keepends=True)[:n]) for n in range(100)
    }


def test_a_part_is_taken_from_all_of_them() -> None:
    """Evenly; and a part that is larger than all is all."""
    paths = [Path(f"{number}.py") for number in range(10)]

    assert spread(paths, 3) == [paths[0], paths[3], paths[6]]
    assert spread(paths, 11) == paths


def test_a_name_that_is_no_text_is_escaped(tmp_path: Path) -> None:
    """Reports are in UTF-8; the path still leads to the file."""
    path = tmp_path / os.fsdecode(b"caf\xe9.py")

    file = source_file(path, tmp_path, size_bytes=0)

    assert file.name.encode() == b"caf\\udce9.py"
    assert file.path == path


def test_the_standard_library_is_found() -> None:
    """The one of the Python that runs this."""
    assert (standard_library() / "json" / "decoder.py").is_file()
