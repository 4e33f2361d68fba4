#!/bin/bash
# A snapshot and a workspace are visible in several places, and a change is requested in one. When the verb
# has returned, all others are up to date at once, not a few milliseconds later.
# shellcheck source-path=SCRIPTDIR source=../lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"

store=$scratch/store m=$scratch/mnt
mount_store "$store" "$m" || exit 1
mkdir "$m/W" && mkdir "$m/W/d" && echo 0 >"$m/W/d/f" || exit 1

# at_once BODY: Python statements, in which `look` makes the kernel know a path well, `gone` and `there` say
# what has to be at once; each that does not hold is a line of output.
at_once() {
    checks=$((checks + 1))
    run python3 - "$m" "$1" <<'PYTHON'
import os, sys, threading, traceback
m, body = sys.argv[1:]
W, S, I = m + "/W", m + "/.snapshots/W", m + "/W/.snapshots"
def look(path):
    with open(path + "/d/f") as file:
        file.read()
    os.stat(path); os.listdir(path)
def known(*paths):
    threads = [threading.Thread(target=look, args=(path,)) for path in paths for _ in range(2)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
def gone(path, what):
    for name in (path, path + "/d", path + "/d/f"):
        if os.path.lexists(name):
            print(f"{what}: {name[len(m):]} is still there")
            return
def there(path, content, what):
    try:
        with open(path + "/d/f") as file:
            if file.read() != content:
                print(f"{what}: {path[len(m):]} has other content")
    except OSError as error:
        print(f"{what}: {error}")
def write(text):
    with open(W + "/d/f", "w") as file: file.write(text)
try:
    exec(body)
except BaseException:
    traceback.print_exc(file=sys.stdout)
PYTHON
    [[ -z $output$errors && $status == 0 ]] || fail "$(head -n 20 <<<"$output$errors")"
}

test_case "rmdir by one path"
at_once '
for i in range(60):
    a, b = (S, I) if i % 2 else (I, S)
    os.mkdir(a + "/s"); known(S + "/s", I + "/s", a + "/s")
    os.rmdir(a + "/s"); gone(b + "/s", f"round {i}"); gone(a + "/s", f"round {i}")
'

test_case "the same name at once again"
at_once '
for i in range(40):
    write(str(i)); a, b = (S, I) if i % 2 else (I, S)
    os.mkdir(a + "/s"); known(S + "/s", I + "/s")
    os.rmdir(a + "/s"); write("x"); os.mkdir(a + "/s"); there(b + "/s", "x", f"round {i}"); os.rmdir(b + "/s")
'

test_case "mv by one path"
at_once '
write("mv")
for i in range(40):
    a, b = (S, I) if i % 2 else (I, S)
    os.mkdir(a + "/s"); known(S + "/s", I + "/s")
    os.rename(a + "/s", a + "/t"); gone(b + "/s", f"round {i}"); there(b + "/t", "mv", f"round {i}")
    os.rmdir(b + "/t")
'

test_case "a fork, and a rollback by name: the new name is writable at once"
at_once '
write("fork"); os.mkdir(S + "/s")
for i in range(20):
    place = S if i % 2 else I
    known(S + "/s", I + "/s"); number = os.stat(S + "/s").st_ino
    os.rename(place + "/s", m + "/N"); open(m + "/N/new", "w").close()
    if os.stat(m + "/N").st_ino == number: print("the number of the snapshot")
    there(m + "/N", "fork", "the fork"); there(place + "/s", "fork", "the snapshot")
    os.remove(m + "/N/new"); os.remove(m + "/N/d/f"); os.rmdir(m + "/N/d"); os.rmdir(m + "/N")
    gone(m + "/N", "rmdir"); gone(m + "/.snapshots/N", "its list")
for i in range(20):
    write("two"); known(S + "/s", W)
    os.rename(S + "/s", W); open(W + "/new", "w").close()
    there(W, "fork", "the workspace"); there(S + "/s", "fork", "the snapshot")
    write("two"); os.rename(S + "/s", W)
    if os.path.exists(W + "/new"): print("what came later")
'

test_case "mv of a workspace"
at_once '
os.mkdir(m + "/A"); os.mkdir(m + "/A/d"); open(m + "/A/d/f", "w").close(); os.mkdir(m + "/.snapshots/A/s")
for i in range(30):
    a, b = ("A", "B") if i % 2 == 0 else ("B", "A")
    known(m + "/.snapshots/" + a + "/s", m + "/" + a + "/.snapshots/s", m + "/" + a)
    os.rename(m + "/" + a, m + "/" + b)
    gone(m + "/" + a, "the old name"); gone(m + "/.snapshots/" + a + "/s", "by the old list")
    there(m + "/" + b, "", "the new name"); there(m + "/.snapshots/" + b + "/s", "", "by the new list")
'

test_case "whoever stands in a snapshot that is renamed elsewhere goes on"
at_once '
os.mkdir(S + "/stand"); os.chdir(I + "/stand")
for i in range(50):
    a, b = ("stand", "moved") if i % 2 == 0 else ("moved", "stand")
    os.rename(S + "/" + a, S + "/" + b)
    os.stat("."); os.stat("d/f"); os.listdir(".")
    with open("d/f") as file: file.read()
'
