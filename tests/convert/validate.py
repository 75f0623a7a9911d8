"""Looks whether exported files are what they should be. Usage: validate.py KIND FILE...

Prints a JSON list with what is wrong with each file, null if nothing is. Compose files are read by docker compose
itself, manifests are held against the schemas of Kubernetes (unknown fields are errors), job specifications are parsed
as HCL and held against the blocks and attributes that Nomad documents."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor


def compose(path):
    import compose as package

    program = os.path.join(os.path.dirname(package.__file__), "docker-compose")
    # What a variable without a value makes is a warning on stderr: nothing may be expanded at all.
    done = subprocess.run(
        [program, "-f", path, "--profile", "*", "config"],
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"]},
    )
    return (done.stderr.strip() or None) if done.returncode or done.stderr else None


KUBERNETES = "1.37.0"


def kubernetes(path):
    import kubernetes_validate
    import yaml

    with open(path, encoding="utf-8") as file:
        for document in yaml.safe_load_all(file):
            try:
                kubernetes_validate.validate(document, KUBERNETES, strict=True)
            except Exception as error:
                return f"{document.get('kind')}: {error}"
            for name in [document["metadata"]["name"]] + [
                container["name"]
                for container in document["spec"].get("template", {}).get("spec", {}).get("containers", [])
            ]:
                if not name.replace("-", "").isalnum() or name != name.lower() or len(name) > 63:
                    return f"{name} is not the name of anything"
    return None


# The attributes and blocks of each block, as Nomad documents them.
BLOCKS = {
    "": (set(), {"job"}),
    "job": ({"type", "datacenters", "priority"}, {"group"}),
    "group": ({"count"}, {"restart", "network", "service", "task", "ephemeral_disk"}),
    "ephemeral_disk": ({"size"}, set()),
    "restart": ({"attempts", "interval", "delay", "mode"}, set()),
    "network": ({"mode"}, {"port"}),
    "port": ({"static", "to"}, set()),
    "service": ({"name", "provider", "port"}, {"check"}),
    "check": (
        {"type", "task", "command", "args", "path", "port", "interval", "timeout", "method", "header"},
        {"check_restart", "header"},
    ),
    "check_restart": ({"limit", "grace", "ignore_warnings"}, set()),
    "header": (None, set()),
    "task": (
        {"driver", "user", "kill_signal", "kill_timeout", "env", "leader"},
        {"config", "env", "resources", "logs", "lifecycle"},
    ),
    "lifecycle": ({"hook", "sidecar"}, set()),
    "env": (None, set()),
    "resources": ({"cpu", "cores", "memory", "memory_max"}, set()),
    "logs": ({"max_files", "max_file_size", "disabled"}, set()),
    "mount": ({"type", "target", "source", "readonly"}, set()),
    "ulimit": (
        {"core", "cpu", "data", "fsize", "memlock", "msgqueue", "nofile", "nproc", "rtprio", "sigpending", "stack"},
        set(),
    ),
}
CONFIGS = {
    "raw_exec": ({"command", "args", "work_dir", "oom_score_adj"}, set()),
    "docker": (
        {
            "image", "entrypoint", "command", "args", "work_dir", "oom_score_adj", "pids_limit", "group_add", "cap_drop",
            "cap_add", "security_opt", "network_mode",
        },
        {"mount", "ulimit"},
    ),
}  # fmt: skip
LABELLED = {"job", "group", "task", "port"}


def nomad(path):
    import hcl2

    with open(path, encoding="utf-8") as file:
        root = hcl2.load(file)
    return block("", root, None)


def block(kind, content, driver):
    if kind == "config":
        attributes, blocks = CONFIGS[driver]
    else:
        attributes, blocks = BLOCKS[kind]
    if kind == "task":
        driver = content["driver"].strip('"')
    for key, value in content.items():
        if key.startswith("__"):
            continue
        is_block = isinstance(value, list) and value and all(isinstance(one, dict) for one in value)
        if not is_block:
            if attributes is not None and key not in attributes:
                return f"{kind} has no attribute {key}"
            continue
        if key not in blocks:
            return f"{kind} has no block {key}"
        for one in value:
            inner = [(None, one)]
            if key in LABELLED:
                inner = [(label, body) for label, body in one.items() if not label.startswith("__")]
            for label, body in inner:
                if label is not None and key in ("group", "task", "job") and not label.strip('"'):
                    return f"{key} without a name"
                wrong = block(key, body, driver)
                if wrong:
                    return wrong
    return None


KINDS = {"compose": compose, "kubernetes": kubernetes, "nomad": nomad}


def tried(check, path):
    try:
        return check(path)
    except ModuleNotFoundError:
        raise
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def main():
    check, files = KINDS[sys.argv[1]], sys.argv[2:]
    with ThreadPoolExecutor(2) as pool:
        print(json.dumps(list(pool.map(lambda path: tried(check, path), files))))


main()
