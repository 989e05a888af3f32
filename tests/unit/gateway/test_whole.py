"""Files that are sent whole or not at all."""

from __future__ import annotations

from pathlib import Path

from penstock.demo.whole import WholeFiles


def test_what_cannot_be_sent_whole_is_left_out_and_counted(tmp_path: Path) -> None:
    """The rows' indexes are those of the files that were sent."""
    contents = {"a.py": b"\xff", "b.py": b"x" * 200, "c.py": b"\xef\xbb\xbfx", "d.py": b"y"}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    whole = WholeFiles(tmp_path, lambda text: {"source": text}, params_bytes=100)

    rows = list(whole.rows(sorted(tmp_path.iterdir())))

    assert rows == [{"source": "x"}, {"source": "y"}]
    assert [file.name for file in whole.files] == ["c.py", "d.py"]
    assert {skipped.file.name: skipped.reason for skipped in whole.skipped} == {
        "a.py": "not in UTF-8",
        "b.py": "larger than a call's params may be",
    }
