"""What Python makes of random texts: the dialect of the files, expansion, and the value of `environment`.

stdin: {"files": [text], "templates": [text], "environments": [text]}; stdout: the same with answers.
"""
import json
import shlex
import sys

from supervisor.datatypes import dict_of_key_value_pairs

from supervisor.options import UnhosedConfigParser

MAPPING = {"n": 3, "name": "web", "here": "/etc", "ENV_A": "a b"}


def read_file(text):
    parser = UnhosedConfigParser()
    try:
        parser.read_string(text)
    except Exception as error:
        return {"error": type(error).__name__}
    sections = {}
    for section in parser.sections():
        sections[section] = dict(parser._sections[section])
    return {"sections": sections, "defaults": dict(parser.defaults())}


def expand(template):
    try:
        return {"text": template % MAPPING}
    except KeyError as error:
        return {"error": "unknown " + str(error)}
    except Exception as error:
        return {"error": str(error)}


def environment(text):
    # As in the present source of Supervisor; its release 4.3.0 lexes without POSIX rules.
    try:
        lexer = shlex.shlex(text, posix=True)
        lexer.wordchars += "/.+-():"
        tokens = list(lexer)
    except ValueError as error:
        return {"error": str(error)}
    found = {}
    for first in range(0, len(tokens), 4):
        four = tokens[first : first + 4]
        if len(four) < 3 or four[1] != "=":
            return {"error": "Unexpected end of key/value pairs in value '%s'" % text}
        found[four[0]] = four[2]
    return {"variables": found}


def environment_of_release(text):
    """What the released Supervisor does, whose lexer is not that of its next version."""
    try:
        return dict_of_key_value_pairs(text)
    except ValueError:
        return None


question = json.load(sys.stdin)
json.dump(
    {
        "files": [read_file(text) for text in question["files"]],
        "templates": [expand(text) for text in question["templates"]],
        "environments": [
            dict(environment(text), release=environment_of_release(text)) for text in question["environments"]
        ],
    },
    sys.stdout,
)
