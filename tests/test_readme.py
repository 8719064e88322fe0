"""What README.md shows is run: its Python blocks in one namespace, its C program with the flags of the command line.

A line ``expression  # -> value`` must have that value. A block opened by ```python no-run is left out.
"""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

import cpool
from cpool.__main__ import main

README = Path(__file__).parent.parent / "README.md"
EXPECTATION = re.compile(r"^(\S.*?) +# -> (.*)$", re.MULTILINE)


def blocks(language):
    """The text of the fenced blocks of a language, below as many empty lines as precede it: errors then show README's lines."""
    text = README.read_text(encoding="utf-8")
    for block in re.finditer(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield "\n" * text.count("\n", 0, block.start(1)) + block[1]


def test_python_blocks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = {}

    def check(value, expected):
        assert repr(value) == expected

    namespace["check"] = check
    expectations = 0
    for block in blocks("python"):
        source, found = EXPECTATION.subn(r"check((\1), '''\2''')", block)
        expectations += found
        exec(compile(source, str(README), "exec"), namespace)
    assert expectations >= 10


def test_c_block(capsys, tmp_path):
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler named cc")
    main(["--cflags", "--libs"])
    flags = capsys.readouterr().out.split()
    (program,) = blocks("c")
    (tmp_path / "prog.c").write_text(program)
    warnings = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
    subprocess.run([compiler, *warnings, "prog.c", "-o", "prog", *flags], cwd=tmp_path, check=True)
    assert subprocess.run([tmp_path / "prog"], check=True, capture_output=True, text=True).stdout == "4 5 6 4\n"


def test_every_public_operator_is_in_the_table():
    text = README.read_text(encoding="utf-8")
    operators = [name for name in dir(cpool) if repr(getattr(cpool, name)).startswith("<cpool operator ")]
    assert [name for name in operators if f"`{name}`" not in text] == []


def test_the_test_command_can_be_extracted():
    text = README.read_text(encoding="utf-8")
    (command,) = re.findall(r"^<!-- test command -->\n```sh\n(.*)\n```$", text, re.MULTILINE)
    assert command.endswith("-m pytest -n auto")
