"""ONNX graph -> Graph: names, order and operators are checked, then each node is converted by its operator."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from hwcomp.errors import ModelError, UnsupportedError, shown
from hwcomp.frontend.attributes import text_of
from hwcomp.frontend.context import ImportContext, OnnxNode
from hwcomp.frontend.inputs import check_output, read_inputs
from hwcomp.frontend.tensors import integer_type
from hwcomp.graph import Graph, topological
from hwcomp.registry import OPS
from hwcomp.types import Node

if TYPE_CHECKING:
    from hwcomp.frontend.tensors import Weights

OLDEST_OPSET = 7
_OLDEST_IR = 3
_MAX_NODES = 1 << 16
_CONTROL_FLOW = ("If", "Loop", "Scan", "SequenceMap")
_DEFAULT_DOMAINS = ("", "ai.onnx")


def import_graph(model, weights: Weights) -> tuple[Graph, int]:
    """The Graph of a ModelProto, and its opset. ModelError or UnsupportedError for everything that is not taken."""
    opset = _check_header(model)
    graph = model.graph
    nodes = [OnnxNode(proto, i, opset) for i, proto in enumerate(graph.node)]
    _check_operators(nodes)
    constants = {text_of(t.name, "a constant's name"): t for t in graph.initializer}
    values = [v for v in graph.input if text_of(v.name, "an input's name") not in constants]
    outputs = [text_of(v.name, "an output's name") for v in graph.output]
    _check_names(graph, [v.name for v in values], outputs, nodes)
    nodes = _in_order(_without_empty(nodes, constants))
    tensors, batched = read_inputs(values)

    taken = {*constants, *(t.name for t in tensors), *(n for node in nodes for n in (*node.inputs, *node.outputs))}
    ctx = ImportContext(batched=batched, weights=weights, taken=taken)
    ctx.tensors.update({t.name: t for t in tensors})
    for name, proto in constants.items():
        ctx.add_constant(name, weights.read(proto, f"constant '{shown(name)}'"), stored=integer_type(proto))
    for node in nodes:
        made = OPS[node.op_type].convert(node, ctx)
        node.attr.reject_unread(node.op_type, opset)
        for graph_node in made:
            ctx.append(graph_node)
    ctx.type_the_rest()

    result = Graph(ctx.tensors, (), tuple(t.name for t in tensors), tuple(outputs), batched).rebuilt(ctx.nodes)
    for value in graph.output:
        tensor = result.tensors[value.name]
        if tensor.is_constant:
            raise UnsupportedError(f"output '{shown(value.name)}' does not depend on any input")
        check_output(value, tensor, batched)
    for name, tensor in result.tensors.items():
        if tensor.is_constant:
            ctx.check_finite(tensor, result.consumers(name)[0].origin[0])
    result.check()
    return result, opset


def _check_header(model) -> int:
    """Versions and the parts of a model that are refused as a whole; returns the opset of the standard domain."""
    import onnx

    if not model.HasField("graph"):
        raise ModelError("the file holds no ONNX graph", fix="export or download the model again")
    if not _OLDEST_IR <= model.ir_version <= onnx.IR_VERSION:
        why = f"versions {_OLDEST_IR} to {onnx.IR_VERSION} are known"
        raise UnsupportedError(f"the model has IR version {model.ir_version}", why=why)
    versions = [o.version for o in model.opset_import if text_of(o.domain, "a domain's name") in _DEFAULT_DOMAINS]
    newest = onnx.defs.onnx_opset_version()
    if len(versions) != 1:
        raise ModelError(
            f"the model names {len(versions)} versions of the standard operators", why="exactly one is needed"
        )
    if not OLDEST_OPSET <= versions[0] <= newest:
        fix = f"export or convert it with an opset from {OLDEST_OPSET} to {newest}"
        raise UnsupportedError(
            f"the model has opset {versions[0]}", why=f"{OLDEST_OPSET} to {newest} are known", fix=fix
        )
    if model.functions:
        name = text_of(model.functions[0].name, "a function's name")
        why, fix = f"it defines '{shown(name)}'", "export it with functions inlined"
        raise UnsupportedError("the model has functions of its own", why=why, fix=fix)
    if model.graph.sparse_initializer:
        raise UnsupportedError("the model has sparse constants", fix="export it with dense weights")
    if len(model.graph.node) > _MAX_NODES:
        raise ModelError(f"the model has {len(model.graph.node)} nodes", why=f"at most {_MAX_NODES} are taken")
    if not model.graph.node:
        raise ModelError("the graph is empty", why="it has no node")
    return versions[0]


def _check_operators(nodes: list[OnnxNode]) -> None:
    """UnsupportedError that names all operators that are not available."""
    missing = Counter()
    first: dict[str, OnnxNode] = {}
    for node in nodes:
        domain = "" if node.domain in _DEFAULT_DOMAINS else node.domain
        op = OPS.get(node.op_type)
        if op is None or not op.importable or domain not in op.domains:
            name = f"{domain}.{node.op_type}" if domain else node.op_type
            missing[name] += 1
            first.setdefault(name, node)
    if not missing:
        return
    names = [f"{shown(name)} (x{count})" for name, count in missing.most_common(8)]
    more = f" and {len(missing) - 8} more" if len(missing) > 8 else ""
    node = next(iter(first.values()))
    why = "control flow has no fixed form in C or hardware" if node.op_type in _CONTROL_FLOW else ""
    refusing = [OPS[name].refused for name in missing if OPS.get(name) and OPS[name].refused[0]]
    what = f"unsupported operator{'s' if len(missing) > 1 else ''} {', '.join(names)}{more}"
    if refusing:
        raise UnsupportedError(what, node=node.label, why=refusing[0][0], fix=refusing[0][1])
    fix = "`hwcomp ops` lists what is available; rewrite or simplify the model before the export"
    raise UnsupportedError(what, node=node.label, why=why, fix=fix)


def _check_names(graph, inputs: list[str], outputs: list[str], nodes: list[OnnxNode]) -> None:
    """ModelError unless each tensor is made exactly once, and everything that is read is made."""
    if not outputs:
        raise ModelError("the graph has no output")
    if not inputs:
        raise ModelError("the graph has no input", why="it computes a constant")
    made: set[str] = set()

    def make(name: str, what: str, node: str | None = None) -> None:
        if not name:
            raise ModelError(f"{what} has no name", node=node)
        if name in made:
            raise ModelError(f"tensor '{shown(name)}' is made twice", node=node, why=f"the second time as {what}")
        made.add(name)

    for name in inputs:
        make(name, "an input of the graph")
    for tensor in graph.initializer:
        make(tensor.name, "a constant")
    for node in nodes:
        for name in filter(None, node.outputs):
            make(name, f"an output of {shown(node.op_type)}", node.label)
    for node in nodes:
        for name in filter(None, node.inputs):
            if name not in made:
                why = "no input, constant or node has this name"
                raise ModelError(f"tensor '{shown(name)}' is read but never made", node=node.label, why=why)
    for name, count in Counter(outputs).items():
        if count > 1:
            raise ModelError(f"output '{shown(name)}' is listed {count} times")
        if name not in made:
            raise ModelError(f"output '{shown(name)}' is never made")
        if name in inputs:
            raise UnsupportedError(f"output '{shown(name)}' is an input of the graph", why="nothing computes it")


def _without_empty(nodes: list[OnnxNode], constants: dict) -> list[OnnxNode]:
    """Constants without elements as absent inputs where an operator takes them so; those that nobody reads then go."""
    made = {n.outputs[0]: n for n in nodes if n.op_type == "Constant" and n.attr.has("value") and n.outputs}
    empty = {name for name, tensor in constants.items() if list(tensor.dims) == [0]}
    empty |= {name for name, n in made.items() if list(n.attr.tensor("value").dims) == [0]}
    for node in nodes:
        if OPS[node.op_type].empty_is_absent:
            node.inputs = tuple("" if name in empty else name for name in node.inputs)
    unread = empty - {name for node in nodes for name in node.inputs}
    for name in unread & set(constants):
        del constants[name]
    return [n for n in nodes if n.op_type != "Constant" or unread.isdisjoint(n.outputs)]


def _in_order(nodes: list[OnnxNode]) -> list[OnnxNode]:
    """The nodes so that each comes after what it reads; the standard asks for it, exporters do not always comply."""
    stubs = tuple(Node(n.op_type, n.label, n.inputs, n.outputs, i, (n.label,)) for i, n in enumerate(nodes))
    return [nodes[stub.attrs] for stub in topological(stubs)]
