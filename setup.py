"""Builds libcpool.so.1 from the C core and cpool._core, which links to it. Everything else is in pyproject.toml.

CC, CFLAGS and LDFLAGS of the environment are respected, and win over the flags below. CPOOL_WERROR=1 makes warnings errors.
"""

import os
import re
import shlex
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from glob import glob
from pathlib import Path

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext as _build_ext

CORE = sorted(glob("src/cpool/**/*.c", recursive=True))
HEADER = "include/cpool/cpool.h"
MAP = "src/cpool/libcpool.map"
NAME = "libcpool.so.1"

# -g0: the flags that Python was built with are in front of these and may ask for debug information, ten times the code.
FLAGS = ["-std=c11", "-O2", "-g0", "-ffp-contract=off", "-fvisibility=hidden", "-pthread"]
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion"] + ["-Werror"] * (os.environ.get("CPOOL_WERROR") == "1")
FLAGS_OF_ENVIRONMENT = shlex.split(os.environ.get("CFLAGS", ""))

# A free-threaded Python has no stable ABI of this kind.
ABI3 = not sysconfig.get_config_var("Py_GIL_DISABLED")


class build_ext(_build_ext):
    def library_folder(self):
        return os.path.join(self.build_lib, "cpool", "lib")

    def build_extensions(self):
        if sys.platform in ("win32", "darwin"):
            sys.exit(f"cpool does not build on {sys.platform} yet: its build makes an ELF library")
        compiler = self.compiler
        # A Python in an unusual place puts its own folder there, which does not belong into what is installed.
        compiler.linker_so = [arg for arg in compiler.linker_so if not arg.startswith("-Wl,-rpath")]
        library = os.path.join(self.library_folder(), NAME)

        def compile_one(source):
            return compiler.compile([source], output_dir=self.build_temp, include_dirs=["include", "src/cpool"],
                                    extra_postargs=FLAGS + WARNINGS + FLAGS_OF_ENVIRONMENT)[0]

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            objects = list(pool.map(compile_one, CORE))
        compiler.link_shared_object(objects, library, extra_postargs=[
            f"-Wl,-soname,{NAME}", f"-Wl,--version-script={MAP}", "-Wl,-z,defs", "-Wl,-z,now", "-pthread"])
        for extension in self.extensions:
            extension.extra_objects.append(library)
        super().build_extensions()

    def get_outputs(self):
        return [*super().get_outputs(), os.path.join(self.library_folder(), NAME)]

    def copy_extensions_to_source(self):
        """For editable installs."""
        super().copy_extensions_to_source()
        self.copy_tree(self.library_folder(), os.path.join("cpool", "lib"))


core = Extension(
    "cpool._core",
    ["cpool/_core.pyx"],
    include_dirs=["include", numpy.get_include()],
    depends=[*CORE, *glob("src/cpool/**/*.h", recursive=True), HEADER, MAP],
    define_macros=[
        ("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION"),
        ("NPY_TARGET_VERSION", "NPY_1_23_API_VERSION"),
        *([("Py_LIMITED_API", "0x030b0000")] if ABI3 else []),
    ],
    py_limited_api=ABI3,
    extra_compile_args=FLAGS + FLAGS_OF_ENVIRONMENT,
    extra_link_args=["-Wl,-rpath,$ORIGIN/lib"],
)

setup(
    version=re.search(r'#define CPOOL_VERSION "(.+)"', Path(HEADER).read_text(encoding="utf-8"))[1],
    ext_modules=cythonize(core, build_dir="build"),
    cmdclass={"build_ext": build_ext},
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if ABI3 else {},
)
