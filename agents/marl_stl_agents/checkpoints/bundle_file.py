"""The ONNX file of a whole team, with an input for each raw column, and what it means."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from marl_stl_agents.checkpoints.bundle import TeamGraph
from marl_stl_agents.checkpoints.onnx import export_libraries
from marl_stl_env.data.encoding import CategoricalColumn
from marl_stl_env.data.ingest.texts import MISSING
from marl_stl_env.errors import ExportError
from marl_stl_env.types import Action

#: Version of the layout of the file.
BUNDLE = 1
SHARED = "shared"
_VOTES, _ROWS = "votes", "rows"
OUTPUTS = ("decision", "threat_score", _VOTES)
_CORE = "team/"
#: Operators of ONNX that read texts.
_TEXTS = "ai.onnx.ml"
_RAW = "raw/"


def write_bundle(graph: TeamGraph, facts: Mapping[str, Any], path: Path) -> None:
    """Write the file.

    Args:
        graph: The team, on the CPU.
        facts: What else shall stand in its metadata.
        path: The file.

    Raises:
        ExportError: If a library is missing, or a column has a name of an input or output.
    """
    names = [column.name for column in (*graph.scaling.numeric, *graph.scaling.categorical)]
    taken = {SHARED, *OUTPUTS} & {*names}
    if taken:
        raise ExportError(
            f"a column is called {', '.join(sorted(taken))}, as an input or output of the bundle "
            "is; rename it in the data and train anew"
        )
    with export_libraries():
        import onnx
        from onnx import compose

        sizes = {"numbers": len(graph.scaling.numeric), "codes": len(graph.scaling.categorical)}
        kinds = {"codes": torch.int64}
        inputs = tuple(
            torch.zeros(2, sizes.get(name, len(graph.shared)), dtype=kinds.get(name, torch.float32))
            for name in graph.parts
        )
        rows = {0: torch.export.Dim("rows")}
        with torch.no_grad():
            torch.onnx.export(
                graph, inputs, path, input_names=graph.parts,
                output_names=OUTPUTS,
                dynamic_shapes=((rows,) * len(inputs),),
                external_data=False, dynamo=True, verbose=False,
            )  # fmt: skip
        model = compose.add_prefix(onnx.load(path), _CORE)
        _take_raw_columns(model, graph)
        for name, value in {**_described(graph), **facts}.items():
            entry = model.metadata_props.add()
            entry.key, entry.value = name, json.dumps(value)
        onnx.checker.check_model(model)
        onnx.save(model, path)


def _take_raw_columns(model: Any, graph: TeamGraph) -> None:
    """Put an input for each raw column before the graph, and plain names on its outputs."""
    from onnx import helper

    inner, after, outputs = model.graph, list[Any](), list[Any]()
    inputs, before = _raw_inputs(graph)
    for output in inner.output:
        name, kind = output.name.removeprefix(_CORE), output.type.tensor_type
        after.append(helper.make_node("Identity", [output.name], [name]))
        shape = [_ROWS, kind.shape.dim[1].dim_value] if name == _VOTES else [_ROWS]
        outputs.append(helper.make_tensor_value_info(name, kind.elem_type, shape))
    nodes = [*before, *inner.node, *after]
    for field, values in (("node", nodes), ("input", inputs), ("output", outputs)):
        del getattr(inner, field)[:]
        getattr(inner, field).extend(values)
    model.opset_import.append(helper.make_opsetid(_TEXTS, 2))


def _raw_inputs(graph: TeamGraph) -> tuple[list[Any], list[Any]]:
    """The inputs, and the nodes that join them to the inputs of the graph inside."""
    from onnx import TensorProto, helper

    scaling, inputs, nodes = graph.scaling, list[Any](), list[Any]()
    for column in scaling.numeric:
        inputs.append(helper.make_tensor_value_info(column.name, TensorProto.FLOAT, [_ROWS]))
    for one in scaling.categorical:
        inputs.append(helper.make_tensor_value_info(one.name, TensorProto.STRING, [_ROWS]))
        nodes.append(_encoder(one))
    if scaling.numeric:
        nodes += _joined("numbers", [column.name for column in scaling.numeric])
    if scaling.categorical:
        nodes += _joined("codes", [f"{_RAW}{one.name}" for one in scaling.categorical])
    if graph.shared:
        shape = [_ROWS, len(graph.shared)]
        inputs.append(helper.make_tensor_value_info(SHARED, TensorProto.FLOAT, shape))
        nodes.append(helper.make_node("Identity", [SHARED], [f"{_CORE}{SHARED}"]))
    return inputs, nodes


def _encoder(column: CategoricalColumn) -> Any:
    """The node that makes codes of the texts of a column."""
    from onnx import helper

    texts, codes = _codes(column)
    return helper.make_node(
        "LabelEncoder",
        [column.name],
        [f"{_RAW}{column.name}"],
        domain=_TEXTS,
        keys_strings=texts,
        values_int64s=codes,
        default_int64=len(column.kept),
    )


def _joined(part: str, columns: list[str]) -> list[Any]:
    """The nodes that put columns side by side."""
    from onnx import helper

    axis = f"{_RAW}{part}/axis"
    wide = [f"{_RAW}{part}/{number}" for number in range(len(columns))]
    return [
        helper.make_node("Constant", [], [axis], value_ints=[1]),
        *(
            helper.make_node("Unsqueeze", [a, axis], [b])
            for a, b in zip(columns, wide, strict=True)
        ),
        helper.make_node("Concat", wide, [f"{_CORE}{part}"], axis=1),
    ]


def _codes(column: CategoricalColumn) -> tuple[list[str], list[int]]:
    """Texts and their codes; the marks for "no value" stand for the empty name."""
    codes = {name: code for code, name in enumerate(column.kept)}
    if "" in codes:
        codes |= {mark: codes[""] for mark in sorted(MISSING) if mark not in codes}
    elif not codes:
        codes = {"": 0}  # an encoder needs a text; this is the code of all others
    return list(codes), list(codes.values())


def _described(graph: TeamGraph) -> dict[str, Any]:
    """What goes in and comes out, in JSON types."""
    scaling = graph.scaling
    columns = [
        {"name": c.name, "dtype": "float32", "missing": "NaN, which becomes the median", **vars(c)}
        for c in scaling.numeric
    ]
    columns += [
        {"name": c.name, "dtype": "string", "missing": "an empty text", "kept": list(c.kept)}
        for c in scaling.categorical
    ]
    return {
        "bundle": BUNDLE,
        "columns": columns,
        "shared": list(graph.shared),
        "actions": [action.name for action in Action],
        "outputs": {
            "decision": "(rows,) int64, index into actions",
            "threat_score": "(rows,) float32, mean probability of a threat vote",
            "votes": "(rows, sensors) int64, index into actions",
        },
    }
