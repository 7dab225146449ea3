"""Every case of every operator: equal to onnxruntime, inside its interval, strict about attributes."""

import numpy as np
import pytest

from hwcomp.errors import ModelError, UnsupportedError
from hwcomp.frontend.float_run import run_float
from hwcomp.registry import OPS

VARIADIC = {"Max", "Mean", "Min", "Sum"}


def test_equals_onnxruntime(case, load, ort, sample_data, same):
    if any(o.domain for o in case.model.opset_import):
        pytest.skip("onnxruntime does not know these operators: test_quant.py compares them")
    inputs = sample_data(case.model, case.ranges, 5)
    have = run_float(load(case.model), inputs)
    for name, want in ort(case.model, inputs).items():
        same(have[name], want)


def test_values_lie_in_the_interval(case, load, sample_data):
    graph = load(case.model)
    seen = {}
    run_float(graph, sample_data(case.model, case.ranges, 200), lambda name, array: seen.update({name: array}))
    ranges = dict(case.ranges)
    for node in graph.nodes:
        given = [ranges.get(name) if name else None for name in node.inputs]
        low, high = ranges[node.outputs[0]] = OPS[node.op].interval(node, given, graph)
        array = seen[node.outputs[0]]
        slack = 1e-5 * float(np.abs(array).max())
        assert low - slack <= array.min() <= array.max() <= high + slack


def test_intervals_take_infinite_inputs(case, load):
    graph = load(case.model)
    for node in graph.nodes:
        low, high = OPS[node.op].interval(node, [(-np.inf, np.inf) if n else None for n in node.inputs], graph)
        assert low <= high


def test_cost_is_not_negative(case, load):
    graph = load(case.model)
    for node in graph.nodes:
        cost = OPS[node.op].cost(node, graph)
        assert min(cost.macs, cost.ops, cost.params) >= 0


def test_operator_has_a_case_if_it_is_importable():
    for name in OPS:
        used = {n.op_type for case in OPS[name].cases() for n in case.model.graph.node}
        assert not OPS[name].importable or name in used


def test_unknown_attribute_is_rejected_by_name(case, load):
    from onnx import helper

    for i in range(len(case.model.graph.node)):
        model = _copy(case.model)
        node = model.graph.node[i]
        node.attribute.append(helper.make_attribute("foo", 1))
        with pytest.raises(UnsupportedError, match="unknown attribute 'foo'") as caught:
            load(model)
        assert node.name in str(caught.value)


def test_attribute_of_the_wrong_type_is_rejected_by_name(case, load):
    from onnx import helper

    for i, node in enumerate(case.model.graph.node):
        for j, attribute in enumerate(node.attribute):
            model = _copy(case.model)
            model.graph.node[i].attribute[j].CopyFrom(helper.make_attribute(attribute.name, ["a", "b"]))
            with pytest.raises(ModelError, match=f"attribute '{attribute.name}' has the wrong type") as caught:
                load(model)
            assert node.name in str(caught.value)


def test_too_many_inputs_are_rejected(case, load):
    model = _copy(case.model)
    node = model.graph.node[-1]
    if node.op_type in VARIADIC:
        pytest.skip("it takes any number of inputs")
    node.input.extend([model.graph.input[0].name] * 6)
    with pytest.raises((ModelError, UnsupportedError)) as caught:
        load(model)
    assert node.name in str(caught.value)


def test_second_output_is_rejected(case, load):
    model = _copy(case.model)
    node = model.graph.node[-1]
    node.output.append("extra")
    with pytest.raises(UnsupportedError, match="more than one output") as caught:
        load(model)
    assert node.name in str(caught.value)


def _copy(model):
    copy = type(model)()
    copy.CopyFrom(model)
    return copy
