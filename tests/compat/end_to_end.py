"""Runs the original's own end-to-end tests with another program in the place of the original.

usage: end_to_end.py PROGRAM DIRECTORY

The tests are those of the installed package. They and their fixtures are copied into DIRECTORY, which takes the
place of /tmp in them: two runs at once would meet there.
"""
import os
import shutil
import sys
import unittest

import supervisor

# Not in the installed package: a program that prints the lines its test waits for.
HELLO = """#!/bin/bash
for number in 1 2 3 4 5 6 7 8 9 10; do
    echo "The Øresund bridge ends in Malmö - $number"
    sleep 1
done
"""

# The tests start `python -m supervisor.supervisord` and the like.
STAND_IN = """#!/bin/sh
case "$1 $2" in
    "-m supervisor.supervisord") shift 2; exec '{links}/supervisord' "$@" ;;
    "-m supervisor.supervisorctl") shift 2; exec '{links}/supervisorctl' "$@" ;;
    "-m supervisor.pidproxy") shift 2; exec '{links}/pidproxy' "$@" ;;
    "-c from supervisor import confecho; confecho.main()") exec '{links}/echo_supervisord_conf' ;;
esac
echo "unexpected: $*" >&2
exit 99
"""


def copy_tests(directory):
    source = os.path.dirname(supervisor.__file__)
    target = os.path.join(directory, "lib", "supervisor")
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    fixtures = os.path.join(target, "tests", "fixtures")
    paths = [os.path.join(fixtures, name) for name in os.listdir(fixtures) if name.endswith(".conf")]
    for path in paths + [os.path.join(target, "tests", "test_end_to_end.py")]:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        with open(path, "w", encoding="utf-8") as file:
            file.write(text.replace("/tmp/", directory + "/"))
    hello = os.path.join(fixtures, "hello.sh")
    if not os.path.exists(hello):
        with open(hello, "w", encoding="utf-8") as file:
            file.write(HELLO)
    return os.path.join(directory, "lib")


def stand_in(program, directory):
    links = os.path.join(directory, "bin")
    os.mkdir(links)
    for name in ("supervisord", "supervisorctl", "pidproxy", "echo_supervisord_conf"):
        os.symlink(program, os.path.join(links, name))
    path = os.path.join(directory, "stand-in")
    with open(path, "w") as file:
        file.write(STAND_IN.format(links=links))
    os.chmod(path, 0o755)
    return path


def main():
    program, directory = map(os.path.abspath, sys.argv[1:])
    library = copy_tests(directory)
    # The programs of the fixtures are started as `python`.
    os.environ["PATH"] = os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"]
    os.environ["END_TO_END"] = "1"
    # One of them matches what the client prints on a terminal letter for letter.
    # Automatic logs: another daemon that starts clears those in /tmp away.
    os.environ["TMPDIR"] = directory
    os.chdir(directory)
    for name in [name for name in sys.modules if name.split(".")[0] == "supervisor"]:
        del sys.modules[name]
    sys.path.insert(0, library)
    sys.executable = stand_in(program, directory)
    from supervisor.tests import test_end_to_end

    suite = unittest.defaultTestLoader.loadTestsFromTestCase(test_end_to_end.EndToEndTests)
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    sys.exit(0 if result.wasSuccessful() and result.testsRun > 20 else 1)


main()
