"""The command line, ``python -m cpool`` and ``cpool``."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import cpool
from cpool.__main__ import main

PROGRAM = """
#include <cpool/cpool.h>
#include <stdio.h>
int main(void) { return puts(cpool_version()) < 0; }
"""


def printed(capsys, *args):
    main(list(args))
    return capsys.readouterr().out


def test_no_arguments_print_the_help(capsys):
    text = printed(capsys)
    assert text.startswith("usage: cpool")
    for word in ("--cflags", "--libs", "--version", "info", "demo"):
        assert word in text


def test_version(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"cpool {cpool.__version__}\n"


def test_flags_name_files_that_are_there(capsys):
    cflags, libs = printed(capsys, "--cflags"), printed(capsys, "--libs")
    assert (Path(cflags.removeprefix("-I").rstrip("\n")) / "cpool" / "cpool.h").is_file()
    library, rpath = libs.split()
    assert Path(library).is_file()
    assert rpath == f"-Wl,-rpath,{Path(library).parent}"
    assert printed(capsys, "--libs", "--cflags") == f"{cflags.rstrip()} {libs}"


def test_a_c_program_builds_and_runs_with_the_flags(capsys, tmp_path):
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler named cc")
    (tmp_path / "prog.c").write_text(PROGRAM)
    flags = printed(capsys, "--cflags", "--libs").split()
    subprocess.run([compiler, "prog.c", "-o", "prog", *flags], cwd=tmp_path, check=True)
    run = subprocess.run([tmp_path / "prog"], check=True, capture_output=True, text=True)
    assert run.stdout == f"{cpool.__version__}\n"


def test_info_is_show_config(capsys):
    cpool.show_config()
    expected = capsys.readouterr().out
    assert expected
    assert printed(capsys, "info") == expected


def test_demo_passes_the_file_on(monkeypatch):
    from cpool import demo, survey

    seen = []
    monkeypatch.setattr(demo, "main", lambda out: seen.append(("demo", out)))
    monkeypatch.setattr(survey, "main", lambda out: seen.append(("survey", out)))
    for args in (["demo"], ["demo", "--out", "sheet.png"], ["demo", "--survey"], ["demo", "--survey", "--out", "sheet.png"]):
        main(args)
    assert seen == [("demo", Path("cpool_demo.png")), ("demo", Path("sheet.png")), ("survey", Path("cpool_survey.png")),
                    ("survey", Path("sheet.png"))]


@pytest.mark.parametrize("args", [["nonsense"], ["--nonsense"], ["--cflags", "info"], ["demo", "--libs"]])
def test_what_makes_no_sense_is_an_error(args, capsys):
    with pytest.raises(SystemExit) as stop:
        main(args)
    assert stop.value.code == 2
    assert "error:" in capsys.readouterr().err


def test_as_a_module(tmp_path):
    run = subprocess.run([sys.executable, "-m", "cpool", "--version"], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert run.stdout == f"cpool {cpool.__version__}\n"


def test_importing_the_module_runs_nothing(tmp_path):
    code = "import cpool.__main__"
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert (run.stdout, run.stderr) == ("", "")
