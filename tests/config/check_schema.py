#!/usr/bin/env python3
"""Compares doc/policy.schema.json with the code: the keys that the reader knows (src/config/keys.h),
and the good and bad files beside this script. Exit status 0: they agree; 1: what differs is told.

Needs python3-jsonschema and python3-yaml.
"""

import json
import pathlib
import re
import sys

import jsonschema
import yaml

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent

# Mistakes of shape: a schema can and must see them. Those of meaning (a quota that no request fits,
# two rules of one name) it cannot.
SHAPE = (
    "has no key",
    "is no map",
    "is no list",
    "comes with a later version",
    "come with a later version",
    "No mode is called",
    "No answer to a banned client is called",
    "Nothing that a saturated sketch does is called",
    "No algorithm is called",
    "No part of a key is called",
    "No source of client addresses",
    "No form of the fields",
    "This rule has no name",
    "This rule does not say who",
    "There are no limits here",
    "name is '",
    "is no method",
    "This list is empty",
    "This map is empty",
    "The name of this argument is empty",
    "The refill '' cannot be read",
    "does not begin with a slash",
    "Write a whole number from",
    "Write x and a whole number from",
    "Write true or false",
    "Write a number of bytes",
    "Nothing says what tokens are verified with",
    "This is empty, so no token would have it",
    "A policy has at most 64 audiences",
    "The gateway has at most 16 listeners",
    "An upstream has at most 64 servers",
    "This listener has no address",
    "has no certificate or no key",
    "or off for no bound",
    "The name of this file is empty",
)


def known_keys():
    """The maps of keys.h and their keys."""
    source = (ROOT / "src/config/keys.h").read_text()
    arrays = {
        name: re.findall(r'K\("(\w+)"\)', body)
        for name, body in re.findall(r"std::array (k\w+) = \{(.*?)\};", source, re.S)
    }
    return {
        path: set(arrays[name])
        for path, name in re.findall(r'MapKeys\{"([^"]+)", keys::(k\w+)\}', source)
    }


def resolve(schema, node):
    while "$ref" in node:
        node = schema["$defs"][node["$ref"].rsplit("/", 1)[1]]
    return node


def pick(schema, node, wanted):
    """The alternative of `node` that is an object or an array."""
    node = resolve(schema, node)
    if node.get("type") == wanted:
        return node
    for alternative in node.get("oneOf", []):
        found = pick(schema, alternative, wanted)
        if found:
            return found
    return None


def map_at(schema, path):
    """The object of the schema that a name of keys.h means, like rules[].match."""
    node = schema
    for step in [] if path == "top" else path.split("."):
        node = pick(schema, node, "object")["properties"][step.removesuffix("[]")]
        if step.endswith("[]"):
            node = pick(schema, node, "array")["items"]
    return pick(schema, node, "object")


def check_keys(schema):
    known = known_keys()
    if len(known) < 10:
        yield "keys.h: too few maps were recognised; has its form changed?"
    for path, keys in known.items():
        if map_at(schema, path).get("additionalProperties") is not False:
            yield f"{path}: the schema takes unknown keys"
        properties = set(map_at(schema, path)["properties"])
        if properties != keys:
            yield f"{path}: only in the schema {sorted(properties - keys)}, only in keys.h {sorted(keys - properties)}"


def as_json(document):
    """The document as a reader of JSON has it: a key is a text there, like the 56 of a ceiling."""
    return json.loads(json.dumps(document, default=str))


def check_files(schema):
    validator = jsonschema.Draft202012Validator(schema)
    seen = 0
    for file in sorted((HERE / "good").glob("*.yaml")):
        document = as_json(yaml.safe_load(file.read_bytes()))
        for error in validator.iter_errors(document):
            yield f"{file.name} is good, but the schema says: {error.json_path}: {error.message}"
    for file in sorted((HERE / "bad").glob("*.yaml")):
        expected = file.with_suffix(".expected").read_text()
        if not any(words in expected for words in SHAPE):
            continue
        try:
            document = as_json(yaml.safe_load(file.read_bytes()))
        except (yaml.YAMLError, UnicodeDecodeError, TypeError, RecursionError):
            continue
        seen += 1
        if validator.is_valid(document):
            yield f"{file.name} has a mistake of shape, but the schema takes it: {expected}"
    if seen < 40:
        yield f"only {seen} bad files were compared"


def main():
    schema = json.loads((ROOT / "doc/policy.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    faults = list(check_keys(schema)) + list(check_files(schema))
    for fault in faults:
        print(fault)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
