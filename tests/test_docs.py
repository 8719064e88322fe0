"""Every public docstring: its example runs, and it has the sections that it should."""

import doctest
import inspect

import pytest

import cpool
from cpool import _core
from cpool.pooling import _Operator

OPERATORS = [op for op in map(cpool.__dict__.get, cpool.__all__) if isinstance(op, _Operator) and hasattr(op, "output_shape")]
METHODS = ["__call__", "forward", "backward", "output_shape"]
NORMALIZATIONS = [cpool.batch_norm, cpool.instance_norm, cpool.group_norm, cpool.layer_norm, cpool.rms_norm]
NORM_METHODS = ["__call__", "forward", "backward"]
CLASSES = {"adaptive": cpool.adaptive, "whole": type(cpool.whole), "Moments": cpool.Moments, "Sums": cpool.Sums,
           "RunningStats": cpool.RunningStats}
MAKERS = ["from_dict", "from_torch", "from_keras", "from_onnx"]
PLAIN = [getattr(cpool, name) for name in cpool.__all__ if inspect.isfunction(getattr(cpool, name))]

DOCUMENTED = {"cpool": cpool, **CLASSES}
DOCUMENTED |= {f.__name__: f for f in PLAIN}
for op in OPERATORS + NORMALIZATIONS:
    methods = METHODS if op in OPERATORS else NORM_METHODS
    DOCUMENTED[op.__name__] = type(op)
    DOCUMENTED |= {f"{op.__name__}.{method}": getattr(type(op), method) for method in methods if hasattr(op, method)}
DOCUMENTED["batch_norm.sums"] = type(cpool.batch_norm).sums
DOCUMENTED |= {f"RunningStats.{name}": getattr(cpool.RunningStats, name) for name in MAKERS}


@pytest.mark.parametrize("name", DOCUMENTED)
def test_examples_run(name):
    doc = inspect.getdoc(DOCUMENTED[name])
    test = doctest.DocTestParser().get_doctest(doc, {}, name, None, 0)
    assert test.examples
    outcome = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test)
    assert outcome.failed == 0


@pytest.mark.parametrize("name", [n for n in DOCUMENTED if "." in n or DOCUMENTED[n] in PLAIN])
def test_sections(name):
    function = DOCUMENTED[name]
    doc = inspect.getdoc(function)
    parameters = [p for p in inspect.signature(function).parameters if p != "self"]
    for parameter in parameters:
        assert any(parameter in line.split(" : ")[0].split(", ") for line in doc.splitlines()), parameter
    assert ("Parameters\n---" in doc) == bool(parameters)
    if "." in name:
        assert "Returns\n---" in doc and "Raises\n---" in doc


@pytest.mark.parametrize("name", DOCUMENTED)
def test_docstrings_are_complete_text(name):
    doc = inspect.getdoc(DOCUMENTED[name])
    assert "{" not in doc
    assert max(map(len, doc.splitlines())) <= 128
    assert doc.splitlines()[0].endswith((".", "``"))


def test_nothing_public_is_undocumented():
    assert set(cpool.__all__) - {"__version__"} == {name for name in DOCUMENTED if "." not in name} - {"cpool"}
    assert "Attributes" in _core.Saved.__doc__
    assert "Attributes" in _core.NormSaved.__doc__


def test_help_reads_well():
    import pydoc

    text = pydoc.plain(pydoc.render_doc(cpool.lp_pool))
    # Long signatures have a line for each argument since Python 3.13.
    assert "__call__(self,x" in "".join(text.replace("|", "").split()) and "Learned-Norm Pooling" in text
