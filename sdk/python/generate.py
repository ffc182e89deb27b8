#!/usr/bin/env python3
"""Writes what is made of other files: `_core/wire.py` of api/openapi.json, and the package `_sync` of `_async`.

generate.py [FOLDER]: into the sources, or into a folder beside which they can be laid. Needs nothing but Python.
"""

import json
import keyword
import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SOURCES = HERE / "src" / "agentfs"
OPENAPI = HERE.parents[1] / "api" / "openapi.json"
# Administrators have `kubectl agentfs` and `agentfs-server admin`; this client is for agents.
ADMINISTRATION = "/v1/admin/"

TO_SYNC = {
    r"\basync (def|for|with)\b": r"\1",
    r"\bawait ": "",
    r"\bAsync(AgentFS|Files|Driver|Iterator|Client|MemoryTool)\b": r"\1",
    r"\bBetaAsync": "Beta",
    r"\bimport asyncio\b": "import time",
    r"\basyncio\.sleep\b": "time.sleep",
    r"\baclose\b": "close",
    r"__a(enter|exit)__": r"__\1__",
}
SIMPLE = {
    "string": "str",
    "integer": "int",
    "number": "float",
    "boolean": "bool",
    "null": "None",
    "object": "dict[str, Any]",
}


def made_of(source: str) -> str:
    """The first line of a file that is made of another one."""
    return f"# Made of {source} by generate.py; do not change it by hand.\n"


def synchronous(text: str) -> str:
    """Code without async and await."""
    for pattern, by in TO_SYNC.items():
        text = re.sub(pattern, by, text)
    return text


class Types:
    """The types that the schemas of a description stand for."""

    def __init__(self, schemas: dict[str, Any]) -> None:
        self.schemas = schemas
        self.written: dict[str, str] = {}

    def refer(self, schema: dict[str, Any]) -> str:
        """The type of a schema, as an annotation."""
        if "$ref" in schema:
            return self.define(schema["$ref"].rpartition("/")[2])
        if "enum" in schema:
            return f"Literal[{', '.join(json.dumps(value) for value in schema['enum'])}]"
        if any_of := schema.get("oneOf", schema.get("anyOf")):
            return union(self.refer(part) for part in any_of)
        kinds = schema.get("type", "any")
        if isinstance(kinds, list):
            return union(self.refer({**schema, "type": kind}) for kind in kinds)
        if kinds == "array":
            return f"list[{self.refer(schema['items'])}]"
        return SIMPLE.get(kinds, "Any")

    def define(self, name: str) -> str:
        """Writes the definition of a name, once, after those that it needs; returns the name."""
        if name not in self.written:
            schema = self.schemas[name]
            if "properties" in schema or "allOf" in schema:
                self.written[name] = self.typed_dict(name, *self.members(schema))
            else:
                self.written[name] = f"{name}: TypeAlias = {self.refer(schema)}\n"
        return name

    def members(self, schema: dict[str, Any]) -> tuple[dict[str, str], set[str]]:
        """The members of an object, and which are always there."""
        if "$ref" in schema:
            return self.members(self.schemas[schema["$ref"].rpartition("/")[2]])
        members = {name: self.refer(of) for name, of in schema.get("properties", {}).items()}
        required = set(schema.get("required", ()))
        for part in schema.get("allOf", ()):
            more, always = self.members(part)
            members |= more
            required |= always
        for part in schema.get("oneOf", ()):
            members |= self.members(part)[0]
        return members, required

    @staticmethod
    def typed_dict(name: str, members: dict[str, str], required: set[str]) -> str:
        """Two classes where only some members are required: Python 3.10 has no NotRequired."""
        always = {member: of for member, of in members.items() if member in required}
        others = {member: of for member, of in members.items() if member not in required}
        parts = []
        if always:
            parts.append(class_of(f"{'_' * bool(others)}{name}(TypedDict)", always))
        if others or not members:
            base = f"_{name}" if always else "TypedDict"
            parts.append(class_of(f"{name}({base}, total=False)", others))
        return "\n\n".join(parts)


def class_of(head: str, members: dict[str, str]) -> str:
    """A class with annotations; a call, where a member has a name that is none in Python."""
    if any(map(keyword.iskeyword, members)):
        name, _, options = head.rstrip(")").partition("(TypedDict")
        fields = ", ".join(f'"{member}": {quoted(of)}' for member, of in members.items())
        return f'{name} = TypedDict("{name}", {{{fields}}}{options})\n'
    lines = [f"    {name}: {of}\n" for name, of in members.items()] or ["    pass\n"]
    return f"class {head}:\n{''.join(lines)}"


def quoted(annotation: str) -> str:
    """An annotation that is not looked at when it is read."""
    return json.dumps(annotation)


def union(types: Any) -> str:
    """A union of types, each once."""
    return " | ".join(dict.fromkeys(types))


def wire(description: dict[str, Any]) -> str:
    """The types of all that an agent sends and gets."""
    types = Types(description["components"]["schemas"])
    for route, methods in description["paths"].items():
        if route.startswith("/v1/") and not route.startswith(ADMINISTRATION):
            operation = methods["post"]
            for body in (operation["requestBody"], *operation["responses"].values()):
                types.refer(body["content"]["application/json"]["schema"])
    head = '"""What the API takes and answers."""\n\n'
    imports = "from __future__ import annotations\n\nfrom typing import Any, Literal, TypeAlias, TypedDict\n"
    definitions = "\n\n".join(types.written.values())
    return f"{head}{imports}\n\n{definitions}"


def main(folder: Path) -> None:
    """Writes all of them."""
    (folder / "_core").mkdir(parents=True, exist_ok=True)
    (folder / "_sync").mkdir(exist_ok=True)
    description = json.loads(OPENAPI.read_text())
    (folder / "_core" / "wire.py").write_text(made_of("api/openapi.json") + wire(description))
    for source in sorted((SOURCES / "_async").glob("*.py")):
        text = source.read_text()
        if source.name == "__init__.py":
            text = '"""The client without asyncio."""\n'
        made = made_of(f"_async/{source.name}") + synchronous(text)
        (folder / "_sync" / source.name).write_text(made)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else SOURCES)
