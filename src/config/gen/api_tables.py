# SPDX-License-Identifier: Apache-2.0
"""The side tables of src/config/meta.h, as one C file.

Reads the same descriptors as the C structs, the generated C (for symbol names and field order) and the
hand-written field_classes.txt. Every name in that file must exist, and every message that an implemented
field reaches must have a block in it, so that nothing is accepted by oversight.
"""
import importlib
import pkgutil
import re
import sys
from collections import OrderedDict

import api_gen
from api_gen import fail

from google.protobuf import descriptor_pb2, descriptor_pool

CLASSES = {"refused": 0, "implemented": 1, "inert": 2}
KINDS = {
    "google.protobuf.Any": 1,
    "google.protobuf.Struct": 2,
    "google.protobuf.Value": 3,
    "google.protobuf.ListValue": 4,
    "google.protobuf.Duration": 5,
    "google.protobuf.Timestamp": 6,
    "google.protobuf.FieldMask": 7,
    "udpa.type.v1.TypedStruct": 9,
    "xds.type.v3.TypedStruct": 9,
}
WRAPPER = 8
RULE = {
    name: 1 << bit
    for bit, name in enumerate(
        "LO LO_OPEN HI HI_OPEN MIN_LEN MAX_LEN MAX_BYTES UNIQUE DEFINED IN NOT_IN PREFIX SUFFIX PATTERN HEADER VALUE"
        " LOOSE SKIP_EMPTY TRUE SKIP OUTSIDE".split()
    )
}
FLAG = {"MAP": 1, "REQUIRED": 2, "DEPRECATED": 4, "SENSITIVE": 8, "ANY_LISTED": 16}
DEFAULT_REASON = "Weir does not implement it"


class Text:
    """One pool of NUL-terminated strings; offset 0 is the empty string."""

    def __init__(self):
        self.offsets = {"": 0}
        self.parts = [""]
        self.size = 1

    def add(self, s):
        if s not in self.offsets:
            self.offsets[s] = self.size
            self.parts.append(s)
            self.size += len(s.encode()) + 1
        return self.offsets[s]


class Classes:
    """field_classes.txt: blocks of `[full.Name]` with `class: names -- reason` lines."""

    def __init__(self, path):
        self.path = path
        self.blocks = {}
        block = None
        for number, line in api_gen.read_lines(path):
            line = line.strip()
            where = f"{path.name}:{number}"
            if line.startswith("["):
                name = line.strip("[]")
                if name in self.blocks:
                    fail(f"{where}: {name} has two blocks")
                block = self.blocks[name] = {"fields": OrderedDict(), "any": {}, "default": None, "where": where}
                continue
            head, _, rest = line.partition(":")
            names, _, reason = rest.partition("--")
            reason = reason.strip()
            words = head.split()
            if block is None or words[0] not in CLASSES or not names.strip():
                fail(f"{where}: cannot read this line")
            cls = words[0]
            if cls != "implemented" and not reason:
                fail(f"{where}: a field that is {cls} needs a reason after --")
            if len(words) == 2:  # `implemented typed_config: types`: what an Any may hold
                for t in names.split():
                    block["any"].setdefault(words[1], []).append((t, cls, reason, where))
                continue
            for n in names.split():
                if n == "*":
                    block["default"] = (cls, reason, where)
                elif n in block["fields"]:
                    fail(f"{where}: {n} is listed twice")
                else:
                    block["fields"][n] = (cls, reason, where)

    def lookup(self, owner, name):
        block = self.blocks.get(owner)
        if block is None:
            return ("refused", DEFAULT_REASON, None)
        found = block["fields"].get(name) or block["default"]
        return found or ("refused", DEFAULT_REASON, None)


class Tables:
    def __init__(self, out, config_dir, here):
        self.out = out
        self.text = Text()
        self.rules = [None]
        self.rules_seen = {}
        self.lists = [0]
        self.patterns = [None]
        self.validate = importlib.import_module("validate.validate_pb2")
        self.sensitive = importlib.import_module("udpa.annotations.sensitive_pb2").sensitive
        self.classes = Classes(config_dir / "field_classes.txt")
        files = api_gen.load_files(here / "roots.txt")
        pool = descriptor_pool.Default()
        policy = pool.AddSerializedFile(api_gen.load_policy(out).SerializeToString()) or pool.FindFileByName(api_gen.POLICY)
        self.messages = {}
        self.enums = {}
        for fd in [*files.values(), policy]:
            if api_gen.is_annotation(fd.name):
                continue
            for m in fd.message_types_by_name.values():
                self.add_message(m)
            for e in fd.enum_types_by_name.values():
                self.enums[e.full_name] = e
        self.symbols = self.read_symbols()

    def add_message(self, m):
        self.messages[m.full_name] = m
        for n in m.nested_types:
            self.add_message(n)
        for e in m.enum_types:
            self.enums[e.full_name] = e

    def read_symbols(self):
        found = {}
        pattern = re.compile(
            r"const ProtobufC(?:Message|Enum)Descriptor (\w+) =\s*\{\s*PROTOBUF_C__\w+_DESCRIPTOR_MAGIC,\s*\"([^\"]+)\"", re.S
        )
        for path in (self.out / "api").rglob("*.pb-c.c"):
            for symbol, name in pattern.findall(path.read_text()):
                found[name] = symbol
        return found

    # --- validation rules -------------------------------------------------------------------------------------

    def rule_index(self, r):
        key = repr(sorted(r.items()))
        if key not in self.rules_seen:
            self.rules_seen[key] = len(self.rules)
            self.rules.append(r)
        return self.rules_seen[key]

    def pattern_index(self, text):
        """Only `^[set]+$` and `^[set]+[set]$`: all that the API uses, and no regex engine is needed."""
        m = re.fullmatch(r"\^(\[[^\]]+\])\+(\[[^\]]+\])?\$", text)
        if not m:
            fail(f"pattern {text!r} is of a form that meta_pattern cannot hold")

        def bits(cls):
            words = [0] * 8
            one = re.compile(cls)
            for b in range(256):
                # Bytes above 127 are parts of characters that an inverted set lets through.
                if (one.fullmatch(chr(b)) if b < 128 else cls.startswith("[^")):
                    words[b >> 5] |= 1 << (b & 31)
            return words

        body = bits(m.group(1))
        last = bits(m.group(2)) if m.group(2) else body
        entry = (self.text.add(text), body, last, bool(m.group(2)))
        for i, p in enumerate(self.patterns):
            if p == entry:
                return i
        self.patterns.append(entry)
        return len(self.patterns) - 1

    def add_list(self, items):
        start = len(self.lists)
        self.lists += [self.text.add(str(i)) for i in items] + [0]
        return start

    def bounds(self, r, v, member, convert=lambda x: x):
        for name in ("gt", "gte", "lt", "lte"):
            if not v.HasField(name):
                continue
            side = "LO" if name.startswith("g") else "HI"
            r["set"] |= RULE[side] | (0 if name.endswith("e") else RULE[side + "_OPEN"])
            r[side.lower()] = (member, convert(getattr(v, name)))
        if "lo" in r and "hi" in r and r["lo"][1] > r["hi"][1]:
            r["set"] |= RULE["OUTSIDE"]

    def rules_of(self, rules, where):
        """FieldRules -> (index, required)"""
        kind = rules.WhichOneof("type")
        r = {"set": 0}
        required = False
        known = set()
        if rules.HasField("message"):
            required = rules.message.required
            if rules.message.skip:
                r["set"] |= RULE["SKIP"]
        if kind in ("float", "double", "int32", "int64", "uint32", "uint64", "sint32", "sint64"):
            v = getattr(rules, kind)
            self.bounds(r, v, "d" if kind in ("float", "double") else "u" if kind.startswith("u") else "i")
            known = {"gt", "gte", "lt", "lte"}
        elif kind == "duration":
            v = rules.duration
            self.bounds(r, v, "i", lambda d: d.seconds * 10**9 + d.nanos)
            required = required or v.required
            known = {"gt", "gte", "lt", "lte", "required"}
        elif kind == "any":
            v = rules.any
            required = required or v.required
            known = {"required"}
        elif kind == "bool":
            v = rules.bool
            if not v.const:
                fail(f"{where}: bool const false")
            r["set"] |= RULE["TRUE"]
            known = {"const"}
        elif kind in ("string", "bytes"):
            v = getattr(rules, kind)
            self.string_rules(r, v)
            known = {"len", "min_len", "max_len", "max_bytes", "min_bytes", "pattern", "prefix", "suffix", "in"}
            known |= {"well_known_regex", "strict", "ignore_empty"}
        elif kind == "enum":
            v = rules.enum
            if v.defined_only:
                r["set"] |= RULE["DEFINED"]
            if v.not_in:
                r["set"] |= RULE["NOT_IN"]
                r["list"] = self.add_list(v.not_in)
            known = {"defined_only", "not_in"}
        elif kind == "repeated":
            v = rules.repeated
            self.lengths(r, v, "items")
            if v.unique:
                r["set"] |= RULE["UNIQUE"]
            if v.HasField("items"):
                r["items"] = self.rules_of(v.items, where)[0]
            known = {"min_items", "max_items", "unique", "items"}
        elif kind == "map":
            v = rules.map
            self.lengths(r, v, "pairs")
            if v.HasField("keys"):
                r["keys"] = self.rules_of(v.keys, where)[0]
            if v.HasField("values"):
                r["items"] = self.rules_of(v.values, where)[0]
            known = {"min_pairs", "max_pairs", "keys", "values"}
        elif kind is not None:
            fail(f"{where}: rules of kind {kind} are not supported")
        if kind is not None:
            for f, _ in v.ListFields():
                if f.name not in known:
                    fail(f"{where}: rule {kind}.{f.name} is not supported")
        empty = r == {"set": 0}
        return (0 if empty else self.rule_index(r)), required

    def lengths(self, r, v, noun):
        for name, bit in ((f"min_{noun}", "MIN_LEN"), (f"max_{noun}", "MAX_LEN")):
            if v.HasField(name):
                r["set"] |= RULE[bit]
                r[bit.lower()] = getattr(v, name)

    def string_rules(self, r, v):
        self.lengths(r, v, "len")
        if v.HasField("len"):
            r["set"] |= RULE["MIN_LEN"] | RULE["MAX_LEN"]
            r["min_len"] = r["max_len"] = v.len
        names = {f.name for f in v.DESCRIPTOR.fields}
        if "max_bytes" in names and v.HasField("max_bytes"):
            r["set"] |= RULE["MAX_BYTES"]
            r["max_bytes"] = v.max_bytes
        if "min_bytes" in names and v.HasField("min_bytes"):
            # Not quite the same for text outside ASCII; the API only asks for "not empty".
            if v.min_bytes != 1:
                fail("min_bytes other than 1")
            r["set"] |= RULE["MIN_LEN"]
            r["min_len"] = 1
        if v.HasField("pattern"):
            r["set"] |= RULE["PATTERN"]
            r["pattern"] = self.pattern_index(v.pattern)
        for name in ("prefix", "suffix"):
            if v.HasField(name):
                r["set"] |= RULE[name.upper()]
                r[name] = self.text.add(getattr(v, name))
        found = getattr(v, "in")
        if found:
            r["set"] |= RULE["IN"]
            r["list"] = self.add_list(found)
        if "well_known_regex" in names and v.HasField("well_known_regex"):
            r["set"] |= RULE["HEADER" if v.well_known_regex == 1 else "VALUE"]
            if v.HasField("strict") and not v.strict:
                r["set"] |= RULE["LOOSE"]
        if v.ignore_empty:
            r["set"] |= RULE["SKIP_EMPTY"]

    # --- messages ---------------------------------------------------------------------------------------------

    def field_row(self, m, f, oneofs):
        where = f"{m.full_name}.{f.name}"
        options = f.GetOptions()
        rules, required = self.rules_of(options.Extensions[self.validate.rules], where)
        flags = FLAG["REQUIRED"] if required else 0
        is_map = f.message_type is not None and f.message_type.GetOptions().map_entry
        if is_map:
            flags |= FLAG["MAP"]
        if options.deprecated:
            flags |= FLAG["DEPRECATED"]
        if options.Extensions[self.sensitive]:
            flags |= FLAG["SENSITIVE"]
        if m.GetOptions().map_entry or m.full_name.startswith("google.protobuf.") or m.full_name in KINDS:
            cls, reason = "implemented", ""
        else:
            cls, reason, _ = self.classes.lookup(m.full_name, f.name)
        first, count = self.any_types(m, f)
        if count:
            flags |= FLAG["ANY_LISTED"]
        oneof = oneofs.index(f.containing_oneof) if f.containing_oneof else -1
        return (
            f"{{{self.text.add(f.name)}, {self.text.add(f.json_name)}, {self.text.add(reason)}, {rules}, {first}, {count},"
            f" {oneof}, {CLASSES[cls]}, {flags}}}"
        )

    def any_types(self, m, f):
        block = self.classes.blocks.get(m.full_name)
        listed = block["any"].get(f.name, []) if block else []
        if not listed:
            return 0, 0
        target = f.message_type
        if target is not None and target.GetOptions().map_entry:
            target = target.fields_by_name["value"].message_type
        if target is None or target.full_name != "google.protobuf.Any":
            fail(f"{listed[0][3]}: {f.name} is no Any")
        first = len(self.any_rows)
        for name, cls, reason, where in listed:
            if cls != "refused" and name not in self.messages:
                fail(f"{where}: no message {name}")
            if cls == "refused" and name not in self.messages and name not in self.foreign:
                fail(f"{where}: no extension {name}")
            self.any_rows.append(f"{{{self.text.add(name)}, {self.text.add(reason)}, {CLASSES[cls]}}}")
        return first, len(listed)

    def kind_of(self, m):
        if m.file.name == "google/protobuf/wrappers.proto":
            return WRAPPER
        return KINDS.get(m.full_name, 0)

    def find_foreign(self):
        """Messages of extensions that are not compiled in, so that an error can tell them from a typo."""
        found = set()
        for name in ("envoy.extensions", "xds.type.matcher.v3", "envoy.type.matcher.v3"):
            package = importlib.import_module(name)
            for info in pkgutil.walk_packages(package.__path__, name + "."):
                if info.name.endswith("_pb2") and "__" not in info.name:
                    fd = importlib.import_module(info.name).DESCRIPTOR
                    found.update(m.full_name for m in fd.message_types_by_name.values())
        return sorted(found - set(self.messages))

    # --- checks -----------------------------------------------------------------------------------------------

    def check_classes(self):
        for owner, block in self.classes.blocks.items():
            if owner in self.messages:
                known = set(self.messages[owner].fields_by_name)
            elif owner in self.enums:
                known = set(self.enums[owner].values_by_name)
            else:
                fail(f"{block['where']}: there is no {owner}")
            for name, (_, _, where) in block["fields"].items():
                if name not in known:
                    fail(f"{where}: {owner} has no {name}")
            for name, types in block["any"].items():
                if name not in known:
                    fail(f"{types[0][3]}: {owner} has no {name}")
        for m in self.messages.values():
            if m.full_name not in self.classes.blocks or m.full_name.startswith("google."):
                continue
            for f in m.fields:
                cls, _, where = self.classes.lookup(m.full_name, f.name)
                if cls == "implemented":
                    self.check_reached(f, where)

    def check_reached(self, f, where):
        target = f.message_type
        if target is not None and target.GetOptions().map_entry:
            target = target.fields_by_name["value"].message_type
        if target is not None and target.fields and not target.full_name.startswith("google."):
            if target.full_name not in self.classes.blocks and not self.kind_of(target):
                fail(f"{where}: {f.full_name} is implemented, but {target.full_name} has no block")
        if f.enum_type is not None and not f.enum_type.full_name.startswith("google."):
            if f.enum_type.full_name not in self.classes.blocks:
                fail(f"{where}: {f.full_name} is implemented, but {f.enum_type.full_name} has no block")

    # --- output -----------------------------------------------------------------------------------------------

    def render(self):
        self.foreign = set(self.find_foreign())
        self.check_classes()
        self.any_rows = ["{0, 0, 0}"]
        messages, fields, oneof_rows, decls = [], [], [], []
        for name in sorted(self.messages):
            m = self.messages[name]
            oneofs = [o for o in m.oneofs if len(o.fields) > 0]
            messages.append(
                f"{{&{self.symbols[name]}, {self.text.add(name)}, {len(fields)}, {len(oneof_rows)}, {len(oneofs)}, {self.kind_of(m)}}}"
            )
            decls.append(f"extern const ProtobufCMessageDescriptor {self.symbols[name]};")
            for f in sorted(m.fields, key=lambda f: f.number):
                fields.append(self.field_row(m, f, oneofs))
            for o in oneofs:
                needed = o.GetOptions().Extensions[self.validate.required]
                oneof_rows.append(f"{{{self.text.add(o.name)}, {'true' if needed else 'false'}}}")
        enums, values = [], []
        for name in sorted(self.enums):
            e = self.enums[name]
            enums.append(f"{{&{self.symbols[name]}, {self.text.add(name)}, {len(values)}}}")
            decls.append(f"extern const ProtobufCEnumDescriptor {self.symbols[name]};")
            seen = set()
            # protobuf-c sorts values by number and keeps the first name of each.
            for v in sorted(e.values, key=lambda v: v.number):
                if v.number in seen:
                    continue
                seen.add(v.number)
                cls, reason, _ = self.classes.lookup(name, v.name)
                if name.startswith("google."):
                    cls, reason = "implemented", ""
                values.append(f"{{{self.text.add(reason)}, {CLASSES[cls]}}}")
        foreign = [str(self.text.add(n)) for n in sorted(self.foreign)]
        out = ["/* Generated by api_gen.py. */", '#include "config/meta.h"', "", *decls, ""]
        out.append("const struct meta_message meta_messages[] = {" + ",\n".join(messages) + "};")
        out.append(f"const uint32_t meta_messages_count = {len(messages)};")
        out.append("const struct meta_field meta_fields[] = {" + ",\n".join(fields) + "};")
        out.append("const struct meta_oneof meta_oneofs[] = {" + ",\n".join(oneof_rows) + "};")
        out.append("const struct meta_enum meta_enums[] = {" + ",\n".join(enums) + "};")
        out.append(f"const uint32_t meta_enums_count = {len(enums)};")
        out.append("const struct meta_enum_value meta_enum_values[] = {" + ",\n".join(values) + "};")
        out.append("const struct meta_any_type meta_any_types[] = {" + ",\n".join(self.any_rows) + "};")
        out.append("const struct meta_rules meta_rules_table[] = {" + ",\n".join(map(self.rule_row, self.rules)) + "};")
        rows = [
            f"{{{p[0]}, {{{', '.join(hex(w) for w in p[1])}}}, {{{', '.join(hex(w) for w in p[2])}}}}}" if p else "{0, {0}, {0}}"
            for p in self.patterns
        ]
        out.append("const struct meta_pattern meta_patterns[] = {" + ",\n".join(rows) + "};")
        out.append("const uint32_t meta_lists[] = {" + ", ".join(map(str, self.lists)) + "};")
        out.append("const uint32_t meta_foreign[] = {" + ",\n".join(foreign) + "};")
        out.append(f"const uint32_t meta_foreign_count = {len(foreign)};")
        # ISO C has no long literals: a list of bytes would be slow to compile, adjacent literals are not.
        out.append("const char meta_text[] =\n" + "\n".join(c_string(p) for p in self.text.parts) + ";")
        return "\n".join(out) + "\n"

    def rule_row(self, r):
        if r is None:
            return "{.set = 0}"
        parts = []
        for k, v in r.items():
            if k in ("lo", "hi"):
                member, number = v
                if member == "i" and number == -(2**63):
                    fail("bound too small")
                suffix = {"d": "", "u": "ULL", "i": "LL"}[member]
                parts.append(f".{k} = {{.{member} = {number}{suffix}}}")
            else:
                parts.append(f".{k} = {v}")
        return "{" + ", ".join(parts) + "}"


def c_string(s):
    escaped = "".join(c if 32 <= ord(c) < 127 and c not in '"\\?' else "".join(f"\\{b:03o}" for b in c.encode()) for c in s)
    return f'"{escaped}\\0"'


FIELDS_HEAD = """<!-- SPDX-License-Identifier: Apache-2.0 -->
<!-- Generated from src/config/field_classes.txt: copy build/gen/fields.md here after changing that file. -->
# Fields

What becomes of each field, enum value and extension type of Envoy's API. *implemented*: acted on. *inert*: accepted
without effect, and reported. *refused*: an error. A message that is not in this list cannot be reached through
implemented fields. [compatibility.md](compatibility.md) says what is different where a field is implemented.
"""


def fields_page(tables):
    """docs/fields.md."""
    lines = [FIELDS_HEAD]
    for name in sorted(tables.classes.blocks):
        if name in tables.messages:
            names = [f.name for f in sorted(tables.messages[name].fields, key=lambda f: f.number)]
        else:
            names = [v.name for v in tables.enums[name].values]
        by = {}
        for n in names:
            cls, reason, _ = tables.classes.lookup(name, n)
            by.setdefault((cls, reason), []).append(f"`{n}`")
        lines.append(f"## {name}\n")
        for cls, reason in sorted(by, key=lambda k: ["implemented", "inert", "refused"].index(k[0])):
            why = f" ({reason})" if reason else ""
            lines.append(f"- {cls}{why}: {', '.join(by[(cls, reason)])}")
        for slot, types in tables.classes.blocks[name]["any"].items():
            for t, cls, reason, _ in types:
                lines.append(f"- in `{slot}`: `{t}` {cls}{' (' + reason + ')' if reason else ''}")
        if not by:
            lines.append("No fields.")
        lines.append("")
    return "\n".join(lines)


def command_tables(out, config_dir, here):
    tables = Tables(out, config_dir, here)
    api_gen.write_if_changed(out / "meta_tables.c", tables.render())
    api_gen.write_if_changed(out / "fields.md", fields_page(tables))
