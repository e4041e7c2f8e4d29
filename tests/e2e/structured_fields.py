"""A second reader of Lists of RFC 9651, written from its section 4.2 alone. Strict: whatever is not
such a List is a ValueError.
"""

import base64
import re

_KEY = re.compile(r"[a-z*][a-z0-9_.*-]*")
_INTEGER = re.compile(r"-?[0-9]{1,15}")
_TOKEN = re.compile(r"[A-Za-z*][A-Za-z0-9!#$%&'*+.^_`|~:/-]*")
_BYTES = re.compile(r":([A-Za-z0-9+/=]*):")


class Token(str):
    """Not a String."""


def read_list(value):
    """[(item, {parameter: value})], for a field's lines joined by a comma."""
    reader = _Reader(value.strip(" "))
    members = []
    while reader.left:
        members.append(reader.item())
        reader.skip(" \t")
        if not reader.left:
            return members
        reader.take(",")
        reader.skip(" \t")
        if not reader.left:
            raise ValueError(f"a comma ends {value!r}")
    return members


class _Reader:
    def __init__(self, text):
        self.left = text

    def skip(self, characters):
        self.left = self.left.lstrip(characters)

    def take(self, character):
        if not self.left.startswith(character):
            raise ValueError(f"{character!r} is missing before {self.left!r}")
        self.left = self.left[1:]

    def match(self, pattern):
        found = pattern.match(self.left)
        if found is None:
            raise ValueError(f"{self.left!r} does not begin with {pattern.pattern}")
        self.left = self.left[found.end() :]
        return found

    def item(self):
        bare = self.bare_item()
        parameters = {}
        while self.left.startswith(";"):
            self.take(";")
            self.skip(" ")
            key = self.match(_KEY).group()
            if key in parameters:
                raise ValueError(f"the parameter {key} stands there twice")
            parameters[key] = True
            if self.left.startswith("="):
                self.take("=")
                parameters[key] = self.bare_item()
        return bare, parameters

    def bare_item(self):
        first = self.left[:1]
        if first == '"':
            return self.string()
        if first == ":":
            return base64.b64decode(self.match(_BYTES).group(1), validate=True)
        if first == "-" or first.isdigit():
            return int(self.match(_INTEGER).group())
        return Token(self.match(_TOKEN).group())

    def string(self):
        self.take('"')
        text = ""
        while not self.left.startswith('"'):
            if self.left.startswith("\\"):
                self.take("\\")
                if self.left[:1] not in ('"', "\\"):
                    raise ValueError(f"nothing to escape before {self.left!r}")
            if not " " <= self.left[:1] <= "~":
                raise ValueError(f"no character of a String before {self.left!r}")
            text, self.left = text + self.left[0], self.left[1:]
        self.take('"')
        return text
