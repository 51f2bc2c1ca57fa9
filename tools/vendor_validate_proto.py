"""Writes proto/buf/validate/validate.proto from the descriptor inside the protovalidate package.

The package ships the schema only in compiled form; this prints it back as source, without
comments and without the rules' own CEL options (the validator carries those itself).
The schema is protovalidate's (Apache-2.0, Buf Technologies); run by `make proto`.
"""

from __future__ import annotations

import pathlib
import sys

from google.protobuf import descriptor_pb2 as d
from protovalidate._gen.buf.validate import validate_pb

F = d.FieldDescriptorProto
_SCALAR_NAMES = (
    *("double", "float", "int64", "uint64", "int32", "fixed64", "fixed32", "bool"),
    *("string", "bytes", "uint32", "sfixed32", "sfixed64", "sint32", "sint64"),
)
SCALARS = {getattr(F, f"TYPE_{n.upper()}"): n for n in _SCALAR_NAMES}
LABELS = {F.LABEL_OPTIONAL: "optional ", F.LABEL_REPEATED: "repeated ", F.LABEL_REQUIRED: "required "}


def _type(field: d.FieldDescriptorProto) -> str:
    return SCALARS.get(field.type) or field.type_name


def _field(field: d.FieldDescriptorProto, indent: str, *, in_oneof: bool) -> str:
    label = "" if in_oneof else LABELS[field.label]
    return f"{indent}{label}{_type(field)} {field.name} = {field.number};\n"


def _enum(enum: d.EnumDescriptorProto, indent: str) -> str:
    body = "".join(f"{indent}  {v.name} = {v.number};\n" for v in enum.value)
    allow = f"{indent}  option allow_alias = true;\n" if enum.options.allow_alias else ""
    return f"{indent}enum {enum.name} {{\n{allow}{body}{indent}}}\n"


def _message(msg: d.DescriptorProto, indent: str = "") -> str:
    out = f"{indent}message {msg.name} {{\n"
    for nested in msg.nested_type:
        out += _message(nested, indent + "  ")
    for enum in msg.enum_type:
        out += _enum(enum, indent + "  ")
    for field in msg.field:
        if not field.HasField("oneof_index"):
            out += _field(field, indent + "  ", in_oneof=False)
    for index, oneof in enumerate(msg.oneof_decl):
        out += f"{indent}  oneof {oneof.name} {{\n"
        for field in msg.field:
            if field.HasField("oneof_index") and field.oneof_index == index:
                out += _field(field, indent + "    ", in_oneof=True)
        out += f"{indent}  }}\n"
    for r in msg.extension_range:
        end = "max" if r.end > 536870911 else str(r.end - 1)
        out += f"{indent}  extensions {r.start} to {end};\n"
    return out + f"{indent}}}\n"


def render() -> str:
    file = d.FileDescriptorProto()
    file.ParseFromString(bytes(validate_pb.desc().proto.to_binary()))
    out = (
        "// The schema of protovalidate (Apache-2.0, Buf Technologies), printed from the descriptor in its\n"
        "// Python package by tools/vendor_validate_proto.py. Not edited by hand.\n"
        f'syntax = "{file.syntax or "proto2"}";\n\npackage {file.package};\n\n'
    )
    out += "".join(f'import "{dep}";\n' for dep in file.dependency) + "\n"
    out += "".join(_enum(e, "") for e in file.enum_type)
    out += "".join(_message(m) for m in file.message_type)
    for ext in file.extension:
        out += f"extend {ext.extendee} {{\n{_field(ext, '  ', in_oneof=False)}}}\n"
    return out


def main() -> None:
    target = pathlib.Path(__file__).parent.parent / "proto/buf/validate/validate.proto"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(render())
    print(f"wrote {target.name}: {len(render().splitlines())} lines", file=sys.stderr)


if __name__ == "__main__":
    main()
