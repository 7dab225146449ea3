"""What sound models become: names, order, batch axis, constants; files that can't be read."""

import hashlib
import os
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from onnx import helper, numpy_helper

from hwcomp.errors import ModelError, UnsupportedError, UsageError
from hwcomp.frontend.float_run import run_float
from hwcomp.frontend.load import load_model

NAMES = {
    "space": "a b c",
    "shell": 'a;system("x")',
    "quotes": "'\"`$(x)\\",
    "path": "../../x",
    "keyword": "endmodule",
    "emoji": "🦊 ö",
    "control": "a\nb\t\x1b[31m\0",
    "long": "n" * 10_000,
}


def chain(*nodes, shape=(1, 4), constants=None, ir=10, opset=17):
    """Model of nodes (op, inputs, outputs[, attributes]) from x to y."""
    made = [helper.make_node(op, i, o, **(rest[0] if rest else {})) for op, i, o, *rest in nodes]
    graph = helper.make_graph(
        made,
        "graph",
        [helper.make_tensor_value_info("x", 1, shape)],
        [helper.make_tensor_value_info("y", 1, None)],
        [numpy_helper.from_array(np.asarray(a), n) for n, a in (constants or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir)


@pytest.mark.parametrize("kind", NAMES)
def test_any_name_is_legal(kind, good, load):
    name = NAMES[kind]
    model = good()
    gemm, relu = model.graph.node
    model.graph.input[0].name = gemm.input[0] = name + "x"
    model.graph.initializer[0].name = gemm.input[1] = name + "w"
    gemm.output[0] = relu.input[0] = gemm.name = name
    model.graph.output[0].name = relu.output[0] = name + "y"
    relu.name = ""
    graph = load(model).graph
    assert graph.inputs == (name + "x",)
    assert graph.outputs == (name + "y",)
    assert [n.outputs[0] for n in graph.nodes] == [name, name + "y"]
    assert [n.origin for n in graph.nodes] == [(name,), ("Relu #1",)]
    assert run_float(graph, {name + "x": np.ones((2, 4))})[name + "y"].shape == (2, 3)


@pytest.mark.parametrize("kind", NAMES)
def test_any_name_fits_a_message(kind, good, load):
    model = good()
    model.graph.node[0].name = NAMES[kind]
    model.graph.node[0].input[2] = NAMES[kind] + "ghost"
    with pytest.raises(ModelError, match="never made") as caught:
        load(model)
    assert len(str(caught.value)) < 400
    assert str(caught.value).isprintable()


def test_equal_node_names_become_unique(good, load):
    model = good()
    model.graph.node[0].name = model.graph.node[1].name = "same"
    graph = load(model).graph
    assert [n.name for n in graph.nodes] == ["same", "same_2"]
    assert [n.origin for n in graph.nodes] == [("same",), ("same",)]


def test_nodes_in_any_order(load):
    model = chain(("Relu", ["b"], ["y"]), ("Identity", ["a"], ["b"]), ("Relu", ["x"], ["a"]))
    assert [n.outputs[0] for n in load(model).graph.nodes] == ["a", "b", "y"]


def test_initializers_that_are_listed_as_inputs(good, load):
    model = good()
    model.ir_version = 3
    for tensor in model.graph.initializer:
        model.graph.input.append(helper.make_tensor_value_info(tensor.name, 1, tensor.dims))
    graph = load(model).graph
    assert graph.inputs == ("x",)


def test_typed_fields_hold_weights_too(good, load):
    model = good()
    weight = model.graph.initializer[0]
    array = numpy_helper.to_array(weight).copy()
    weight.CopyFrom(helper.make_tensor("w", 1, (4, 3), array.ravel().tolist()))
    graph = load(model).graph
    assert np.array_equal(graph.tensors[graph.nodes[0].inputs[1]].data, array.T)


def test_constants_are_computed_at_import(load):
    """Exporters hide weights and shapes behind Identity, Constant and arithmetic."""
    nodes = [
        ("Identity", ["w"], ["w2"]),
        ("Add", ["w2", "w2"], ["w3"]),
        ("Constant", [], ["s"], {"value_ints": [1, -1]}),
        ("Identity", ["s"], ["s2"]),
        ("Reshape", ["x", "s2"], ["flat"]),
        ("MatMul", ["flat", "w3"], ["y"]),
    ]
    weight = np.float32([[1], [2], [3], [4]])
    graph = load(chain(*nodes, shape=(1, 2, 2), constants={"w": weight})).graph
    assert [n.op for n in graph.nodes] == ["Reshape", "Dense"]
    assert run_float(graph, {"x": np.ones((3, 2, 2))})["y"].tolist() == [[20], [20], [20]]


def test_unused_constants_are_dropped(load):
    graph = load(chain(("Relu", ["x"], ["y"]), constants={"unused": np.float32([np.nan])})).graph
    assert set(graph.tensors) == {"x", "y"}


@pytest.mark.parametrize(
    ("shape", "batched", "first"),
    [
        ((1, 4), True, (1, 4)),
        (("N", 4), True, (1, 4)),
        ((None, 4), True, (1, 4)),
        (("N",), True, (1,)),
        ((1,), True, (1,)),
        ((4,), False, (4,)),
        ((), False, ()),
    ],
)
def test_batch_axis(load, shape, batched, first):
    graph = load(chain(("Relu", ["x"], ["y"]), shape=shape)).graph
    assert (graph.batched, graph.tensors["x"].shape, graph.tensors["y"].shape) == (batched, first, first)
    sample = first[1:] if batched else first
    data = np.linspace(-1, 1, 3 * int(np.prod(sample))).reshape(3, *sample)
    assert np.array_equal(run_float(graph, {"x": data})["y"], np.maximum(data, 0).astype(np.float32))


@pytest.mark.parametrize(
    ("shape", "error", "text"),
    [
        ((2, 4), UnsupportedError, "fixed batch of 2"),
        (("N", "M"), UnsupportedError, "symbolic size 'M' on axis 1"),
        (("N", "N"), UnsupportedError, "symbolic size 'N' on axis 1"),
        ((1, None), UnsupportedError, "an unknown size on axis 1"),
        ((4, "M"), UnsupportedError, "fixed batch of 4"),
        ((0, 4), ModelError, "size 0"),
        ((1, -1), ModelError, "size -1"),
        (None, ModelError, "has no shape"),
    ],
)
def test_batch_axes_that_are_refused(load, shape, error, text):
    with pytest.raises(error, match="input 'x'.*" + text):
        load(chain(("Relu", ["x"], ["y"]), shape=shape))


@pytest.mark.parametrize(
    ("shape", "fits"), [((1, 4), True), (("M", 4), True), ((4,), False), ((), False), ((1,), False), ((2, 4), False)]
)
def test_second_input(load, shape, fits):
    model = chain(("Add", ["x", "z"], ["y"]), shape=("N", 4))
    model.graph.input.append(helper.make_tensor_value_info("z", 1, shape))
    if fits:
        assert load(model).graph.batched
    else:
        with pytest.raises(UnsupportedError):
            load(model)


def test_single_value_beside_inputs_without_batch(load):
    model = chain(("Add", ["x", "z"], ["y"]), shape=(4,))
    model.graph.input.append(helper.make_tensor_value_info("z", 1, (1,)))
    graph = load(model).graph
    assert not graph.batched
    seen = []
    result = run_float(graph, {"x": np.ones((3, 4)), "z": np.ones((3, 1))}, lambda n, a: seen.append((n, a.shape)))
    assert result["y"].shape == (3, 4)
    assert seen == [("x", (3, 4)), ("z", (3, 1)), ("y__spread", (3, 4)), ("y", (3, 4))]


def test_several_inputs_and_outputs_some_of_them_read(load):
    nodes = [("Relu", ["x"], ["h"]), ("Add", ["h", "z"], ["y"]), ("Add", ["y", "h"], ["v"])]
    model = chain(*nodes, shape=("N", 4))
    model.graph.input.append(helper.make_tensor_value_info("z", 1, ("N", 4)))
    for name in ("h", "v"):
        model.graph.output.append(helper.make_tensor_value_info(name, 1, ("N", 4)))
    graph = load(model).graph
    assert (graph.inputs, graph.outputs) == (("x", "z"), ("y", "h", "v"))
    result = run_float(graph, {"x": np.full((2, 4), -1), "z": np.full((2, 4), 3)})
    assert [(n, a[0, 0]) for n, a in result.items()] == [("y", 3), ("h", 0), ("v", 3)]


@pytest.mark.parametrize("kind", [7, 10, 11])
def test_inputs_of_other_types_are_refused(load, kind):
    model = chain(("Relu", ["x"], ["y"]))
    model.graph.input[0].type.tensor_type.elem_type = kind
    with pytest.raises(UnsupportedError, match="input 'x' has the type"):
        load(model)


def test_inputs_that_are_not_tensors_are_refused(load):
    model = chain(("Relu", ["x"], ["y"]))
    model.graph.input[0].CopyFrom(helper.make_tensor_sequence_value_info("x", 1, (1, 4)))
    with pytest.raises(UnsupportedError, match=r"input 'x' is not a tensor \(sequence\)"):
        load(model)


def test_batch_of_the_output_may_be_declared_as_anything(good, load):
    for output in (("N", 3), (7, 3), ("N", "M"), (1, 3)):
        assert load(good(input=("N", 4), output=output)).graph.batched


def test_hash_and_copy(good, load):
    data = good().SerializeToString()
    model = load(data)
    assert model.sha256 == hashlib.sha256(data).hexdigest()
    assert model.opset == 17
    assert model.proto.SerializeToString() == data
    assert model.files() == {"model.onnx": model.path}


@pytest.mark.parametrize("wrong", [{}, {"x": np.ones((2, 5))}, {"x": np.ones(4)}, {"x": np.ones((0, 4))}, {"x": 1.0}])
def test_data_that_does_not_fit(good, load, wrong):
    with pytest.raises(UsageError, match="input 'x'"):
        run_float(load(good()).graph, wrong)


def test_unreadable_files(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "missing.onnx", tmp_path, tmp_path / "pipe", "/dev/zero", "a\0b", "n" * 5000):
        with pytest.raises(UsageError):
            load_model(path)


def test_a_long_chain(load):
    names = ["x", *(f"t{i}" for i in range(19_999)), "y"]
    graph = load(chain(*(("Relu", [a], [b]) for a, b in pairwise(names)))).graph
    assert len(graph.nodes) == 20_000


def test_onnx_is_imported_late():
    program = "import sys, hwcomp.frontend.load, hwcomp.registry as r; list(r.OPS); sys.exit('onnx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
