"""Reads a body a line, in base64, and writes a line that says what json.loads
makes of it: {"messages":[...]} with the canonical form (see reading_test.go) of
each value that says what is called, or {"refused":true}."""

import base64
import json
import struct
import sys


def text(s):
    return s.encode("utf-8", "surrogatepass").hex()


def number(n):
    try:
        f = float(n)
    except OverflowError:
        f = float("inf") if n > 0 else float("-inf")
    return "#" + struct.pack(">d", f + 0.0).hex()  # -0 is 0


def canonical(v):
    if v is None:
        return "n"
    if isinstance(v, bool):
        return "t" if v else "f"
    if isinstance(v, (int, float)):
        return number(v)
    if isinstance(v, str):
        return "s" + text(v)
    if isinstance(v, list):
        return "[" + ",".join(map(canonical, v)) + "]"
    return "{" + ",".join(sorted(text(k) + ":" + canonical(w) for k, w in v.items())) + "}"


def reading(m):
    if not isinstance(m, dict):
        raise ValueError("no object")
    r = {"whole": canonical(m)}

    def add(value, names):
        if isinstance(value, dict):
            for name, known in names.items():
                if name in value:
                    r[known] = canonical(value[name])

    add(m, {n: n for n in ("jsonrpc", "id", "method", "result", "error")})
    params = m.get("params")
    add(params, {n: n for n in ("name", "uri", "taskId", "arguments")})
    if isinstance(params, dict):
        add(params, {"protocolVersion": "initialize"})
        add(params.get("_meta"), {"io.modelcontextprotocol/protocolVersion": "version"})
        add(params.get("ref"), {"type": "refType", "name": "refName", "uri": "refURI"})
    return r


def read(body):
    try:
        v = json.loads(body)
        return {"messages": [reading(m) for m in (v if isinstance(v, list) else [v])]}
    except (ValueError, RecursionError):
        return {"refused": True}


for line in sys.stdin.buffer:
    print(json.dumps(read(base64.b64decode(line))), flush=True)
