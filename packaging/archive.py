#!/usr/bin/env python3
"""Packs a directory into a .tar.gz that depends on nothing but names, contents and modes.

Usage: packaging/archive.py OUTPUT DIRECTORY, with SOURCE_DATE_EPOCH in the environment. The archive holds one directory, with
the name of DIRECTORY.
"""

import gzip
import os
import sys
import tarfile


def entries(top):
    """Every path below `top`, itself included, in an order that no file system decides."""
    for folder, folders, files in os.walk(top):
        folders.sort()
        yield folder
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        for name in sorted(files + links):
            yield os.path.join(folder, name)


def pack(stream, top, root, time, owner=0):
    """Writes the tree at `top` into an uncompressed archive, in which it is called `root` ("" for the root itself)."""
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path in entries(top):
            name = os.path.normpath(os.path.join(root, os.path.relpath(path, top)))
            if name == ".":
                continue
            entry = archive.gettarinfo(path, name)
            entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname = time, owner, 0, "", ""
            if entry.islnk():
                # Two names of one file: which comes first is no reason for a difference.
                entry.type, entry.linkname = tarfile.REGTYPE, ""
                entry.size = os.path.getsize(path)
            if entry.isreg():
                with open(path, "rb") as file:
                    archive.addfile(entry, file)
            else:
                archive.addfile(entry)


def compressed(output, time):
    """A gzip stream without a name in it."""
    return gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=output, mtime=time)


def main():
    output, top = sys.argv[1:]
    time = int(os.environ["SOURCE_DATE_EPOCH"])
    with open(output, "wb") as file, compressed(file, time) as stream:
        pack(stream, top, os.path.basename(os.path.normpath(top)), time)


if __name__ == "__main__":
    main()
