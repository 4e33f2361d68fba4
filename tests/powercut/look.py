"""After a power cut: is what there is what the workers' histories allow?

usage: look.py MOUNT DIRECTORY     the histories, w0, w1 ...

Prints a line "FAULT: ..." for whatever is wrong. The histories begin anew with what was found.
"""
import os
import sys

import model


def look(mount, directory, worker):
    history = model.History(f"{directory}/{worker}")
    candidates, under_way = history.candidates()
    seen = model.observe(mount, worker)
    results = [model.compare(candidate, seen) for candidate in candidates]
    problems, state = min(results, key=lambda result: len(result[0]))
    for problem in problems:
        print(f"FAULT: {worker}, cut in {under_way}: {problem}")
    if not problems:
        history.restart(state)
        which = [i for i, result in enumerate(results) if not result[0]][0]
        snapshots = sum(len(workspace["snapshots"]) for workspace in state["workspaces"].values())
        print(f"{worker}: {len(state['workspaces'])} workspaces, {snapshots} snapshots; "
              f"cut in {under_way}: {'after' if which else 'before'}")


def main():
    mount, directory = sys.argv[1:]
    for worker in sorted(os.listdir(directory)):
        look(mount, directory, worker)


main()
