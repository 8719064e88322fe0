"""Builds the C library from the core, cpool._core, which links to it, and the package files by which C programs find it.

Everything else is in pyproject.toml. CC, CFLAGS and LDFLAGS of the environment are respected, and win over the flags below.
CPOOL_WERROR=1 makes warnings errors.
"""

import os
import re
import shlex
import struct
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from glob import glob
from pathlib import Path

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext as _build_ext

# Those of src/cpool/isa take a minute each and come first, so that all processors have something to do until the end.
CORE = sorted(glob("src/cpool/**/*.c", recursive=True), key=lambda source: (Path(source).parent.name != "isa", source))
HEADER = "include/cpool/cpool.h"
MAP = "src/cpool/libcpool.map"
VERSION = re.search(r'#define CPOOL_VERSION "(.+)"', Path(HEADER).read_text(encoding="utf-8"))[1]

WINDOWS, MACOS = sys.platform == "win32", sys.platform == "darwin"

# A DLL is looked for beside the extension, whose folder is the package; everything else in lib.
NAME = "../cpool-1.dll" if WINDOWS else "libcpool.1.dylib" if MACOS else "libcpool.so.1"

# The path of the library instead of -lcpool: no link without a version is needed, and zip files hold none.
PC_LIBS = "${libdir}/cpool.lib" if WINDOWS else f"${{libdir}}/{NAME} -Wl,-rpath,${{libdir}}"

if WINDOWS:
    FLAGS = ["/std:c11", "/O2", "/fp:precise"]
    WARNINGS = ["/W3"] + ["/WX"] * (os.environ.get("CPOOL_WERROR") == "1")
else:
    # -g0: the flags that Python was built with are in front of these and may ask for debug information, ten times the code.
    # -fno-tree-vectorize: what gains by vectors is written with them; clang would make some of other loops, too, a tenth of the
    # wheel, and nothing is faster by that.
    # -fno-unroll-loops: clang unrolls what nobody asked it to, and the library is a seventh larger then.
    FLAGS = ["-std=c11", "-O2", "-g0", "-ffp-contract=off", "-fno-tree-vectorize", "-fno-unroll-loops", "-fvisibility=hidden",
             "-pthread"]
    WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion"] + ["-Werror"] * (os.environ.get("CPOOL_WERROR") == "1")
# These have vectors: the scalar kernels run on x86 of before 2008, for who asks for them, and for calls of a few windows, whose
# time is that of the call; they are a third smaller like this.
HAS_VECTORS = sysconfig.get_platform().endswith(("x86_64", "amd64", "aarch64", "arm64"))
SMALL = ["/O1" if WINDOWS else "-Os"]
FLAGS_OF_ENVIRONMENT = shlex.split(os.environ.get("CFLAGS", ""))

# A free-threaded Python has no stable ABI of this kind.
ABI3 = not sysconfig.get_config_var("Py_GIL_DISABLED")


def write_package_files(library_folder, include):
    """cpool.pc and the CMake package; the header lies in the folder `include`, seen from that above the library's."""
    major, minor, _ = VERSION.split(".")
    values = {"VERSION": VERSION, "MAJOR": major, "MINOR": minor, "POINTER": str(struct.calcsize("P")), "PC_LIBS": PC_LIBS,
              "LOCATION": os.path.normpath(f"lib/{NAME}").replace(os.sep, "/"), "INCLUDE": include}
    written = []
    for folder, name in [("pkgconfig", "cpool.pc"), ("cmake/cpool", "cpool-config.cmake"),
                         ("cmake/cpool", "cpool-config-version.cmake")]:
        text = Path("packaging", f"{name}.in").read_text(encoding="utf-8")
        target = Path(library_folder, folder, name)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(re.sub(r"@([A-Z_]+)@", lambda match: values[match[1]], text), encoding="utf-8", newline="\n")
        written.append(str(target))
    return written


class build_ext(_build_ext):
    def finalize_options(self):
        super().finalize_options()
        # An editable install would build in a folder that is deleted; tools/run_c_tests.py --built links what is found here.
        self.build_temp = "build/temp"

    def library_folder(self):
        return os.path.join(self.build_lib, "cpool", "lib")

    def build_extensions(self):
        compiler, folder = self.compiler, self.library_folder()
        library = os.path.normpath(os.path.join(folder, NAME))
        os.makedirs(folder, exist_ok=True)

        def compile_one(source):
            size = SMALL * (HAS_VECTORS and Path(source).name == "scalar.c")
            return compiler.compile([source], output_dir=self.build_temp, include_dirs=["include", "src/cpool"],
                                    macros=[("CPOOL_BUILD", None)],
                                    extra_postargs=FLAGS + size + WARNINGS + FLAGS_OF_ENVIRONMENT)[0]

        if WINDOWS:
            # The compiler object of MSVC starts itself up with its first call, which is not to happen twice at once.
            objects = [compile_one(source) for source in CORE]
            link = [f"/IMPLIB:{os.path.join(folder, 'cpool.lib')}"]
        else:
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                objects = list(pool.map(compile_one, CORE))
            # A Python in an unusual place puts its own folder there, which does not belong into what is installed.
            compiler.linker_so = [arg for arg in compiler.linker_so if not arg.startswith("-Wl,-rpath")]
            link = [f"-Wl,-soname,{NAME}", f"-Wl,--version-script={MAP}", "-Wl,-z,defs", "-Wl,-z,now", "-pthread"]
        linker = getattr(compiler, "linker_so", None)
        if MACOS:  # Python's flags make a bundle, to which no program can link
            bundle = {"-bundle": "-dynamiclib", "-undefined": None, "dynamic_lookup": None}
            compiler.linker_so = [bundle.get(arg, arg) for arg in linker if bundle.get(arg, arg)]
            link = [f"-Wl,-install_name,@rpath/{NAME}"]
        compiler.link_shared_object(objects, library, extra_postargs=link)
        if MACOS:
            compiler.linker_so = linker
        self.package_files = write_package_files(folder, "include")
        for extension in self.extensions:
            if WINDOWS:
                extension.libraries.append("cpool")
                extension.library_dirs.append(folder)
            else:
                extension.extra_objects.append(library)
                extension.extra_link_args.append(f"-Wl,-rpath,{'@loader_path' if MACOS else '$ORIGIN'}/lib")
        super().build_extensions()

    def get_outputs(self):
        library = os.path.normpath(os.path.join(self.library_folder(), NAME))
        return [*super().get_outputs(), library, *getattr(self, "package_files", [])]

    def copy_extensions_to_source(self):
        """For editable installs."""
        super().copy_extensions_to_source()
        self.copy_tree(self.library_folder(), os.path.join("cpool", "lib"))
        if WINDOWS:
            self.copy_file(os.path.join(self.library_folder(), NAME), "cpool")
        write_package_files(os.path.join("cpool", "lib"), "../include")


core = Extension(
    "cpool._core",
    ["cpool/_core.pyx"],
    include_dirs=["include", numpy.get_include()],
    depends=[*CORE, *glob("src/cpool/**/*.h", recursive=True), *glob("packaging/*"), HEADER, MAP],
    define_macros=[
        ("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION"),
        ("NPY_TARGET_VERSION", "NPY_1_23_API_VERSION"),
        *([("Py_LIMITED_API", "0x030b0000")] if ABI3 else []),
    ],
    py_limited_api=ABI3,
    extra_compile_args=FLAGS + FLAGS_OF_ENVIRONMENT,
)

setup(
    version=VERSION,
    ext_modules=cythonize(core, build_dir="build"),
    cmdclass={"build_ext": build_ext},
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if ABI3 else {},
)
