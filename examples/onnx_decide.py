"""Decide on a table with an exported team, onnxruntime and numpy: nothing of this package.

python -m marl_stl_agents.commands.export runs/one --format bundle --out team.onnx
python examples/onnx_decide.py team.onnx flows.csv
"""

import csv
import json
import sys

import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
facts = {k: json.loads(v) for k, v in session.get_modelmeta().custom_metadata_map.items()}
with open(sys.argv[2], newline="", encoding="utf-8") as file:  # noqa: PTH123
    names = [name.strip() for name in next(csv.reader(file))]
    rows = list(csv.DictReader(file, names))
feed = {
    column["name"]: np.array([row[column["name"]].strip() or np.nan for row in rows], np.float32)
    if column["dtype"] == "float32"
    else np.array([row[column["name"]].strip() for row in rows], object)
    for column in facts["columns"]
}
decisions, scores, _ = session.run(["decision", "threat_score", "votes"], feed)
for decision, score in zip(decisions, scores, strict=True):
    print(facts["actions"][decision], f"{score:.4f}")
