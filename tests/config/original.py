"""Reads configurations with the original Supervisor and says what it made of them.

stdin: a JSON list of {"directory", "arguments", "environment"}; stdout: a JSON list of {"error": text} or
{"processes": [...], "globals": {...}}. Nothing is started.
"""
import io
import json
import os
import platform
import sys

from supervisor import options as supervisor_options
from supervisor.options import ServerOptions
from supervisor.rpcinterface import SupervisorNamespaceRPCInterface

# The command line sets these to 1, the file to True.
FLAGS = ("nodaemon", "silent", "nocleanup", "strip_ansi")

platform.node = lambda: "box"


class NoProcesses:
    """A supervisord that has read its configuration and runs nothing."""

    def __init__(self, options):
        self.options = options
        self.process_groups = {}
        self.configs = options.process_group_configs


def processes(options):
    interface = SupervisorNamespaceRPCInterface(NoProcesses(options))
    interface._update = lambda text: None
    infos = interface.getAllConfigInfo()
    found = {}
    for group in options.process_group_configs:
        for config in group.process_configs:
            autorestart = getattr(config.autorestart, "__name__", config.autorestart)
            environment = dict(options.configroot.supervisord.environment)
            environment.update(config.environment or {})
            found.setdefault((group.name, config.name), {
                "kind": type(group).__name__,
                "autorestart": str(autorestart),
                "stopasgroup": config.stopasgroup,
                "umask": config.umask,
                "environment": environment,
            })
    for info in infos:
        info.update(found[info["group"], info["name"]])
    return infos


def server(config):
    address = config.get("file") or [config["host"], config["port"]]
    return {
        "address": address,
        "username": config["username"],
        "chmod": config.get("chmod"),
        "chown": config.get("chown"),
    }


def read(case):
    os.chdir(case["directory"])
    os.environ.clear()
    os.environ.update(case["environment"])
    options = ServerOptions()
    options.stderr = io.StringIO()
    options.stdout = io.StringIO()
    sys.argv[0] = "supervisord"
    try:
        options.realize(args=case["arguments"], doc="")
    except SystemExit:
        text = options.stderr.getvalue()
        return {"error": text.split("Error: ", 1)[-1].rsplit("\nFor help, use", 1)[0]}
    return {
        "processes": processes(options),
        "groups": [[group.name, group.priority] for group in options.process_group_configs],
        "servers": [server(config) for config in options.server_configs],
        "globals": {
            key: bool(getattr(options, key)) if key in FLAGS else getattr(options, key)
            for key in (
                "logfile", "logfile_maxbytes", "logfile_backups", "pidfile", "umask", "nodaemon", "silent",
                "minfds", "minprocs", "nocleanup", "childlogdir", "uid", "directory", "strip_ansi", "identifier",
                "loglevel",
            )
        },
        "warnings": options.parse_warnings,
        "criticals": options.parse_criticals,
    }


def main():
    results = []
    for case in json.load(sys.stdin):
        try:
            results.append(read(case))
        except Exception as error:
            results.append({"error": "uncaught: %s: %s" % (type(error).__name__, error)})
    json.dump(results, sys.stdout)


main()
