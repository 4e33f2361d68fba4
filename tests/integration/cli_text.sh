#!/bin/bash
# The output of ckpt and ckptfs: names chosen by others cannot send control characters to a terminal, tables
# are no wider than the terminal, and text that may be pasted into a shell is quoted for it.
# shellcheck source-path=SCRIPTDIR source=../lib/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/harness.sh"

store=$scratch/store m=$scratch/mnt log=$scratch/log
serve_store "$store" "$m" "$log" ''
cd "$m" || exit 1
export LC_ALL=C.UTF-8

# on_terminal COLUMNS COMMAND...: prints what the command says on a terminal of that width, both outputs.
on_terminal() {
    python3 - "$@" <<'PYTHON'
import fcntl, os, pty, struct, sys, termios
child, terminal = pty.fork()
if child == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, int(sys.argv[1]), 0, 0))
    os.execvp(sys.argv[2], sys.argv[2:])
said = b""
try:
    while piece := os.read(terminal, 65536):
        said += piece
except OSError:  # EIO: the other side is closed
    pass
os.waitpid(child, 0)
sys.stdout.buffer.write(said.replace(b"\r\n", b"\n"))
PYTHON
}

# unseen: which bytes and characters of standard input a terminal would obey or not show.
unseen() {
    python3 -c '
import sys, unicodedata
text = sys.stdin.buffer.read().decode("utf-8", "surrogateescape")
bad = {c for c in text if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")}
print(" ".join(sorted("%04x" % ord(c) for c in bad)))'
}

# widest: how many columns of a terminal the widest line of standard input takes.
widest() {
    python3 -c '
import sys, unicodedata
def width(c):
    if unicodedata.combining(c): return 0
    return 2 if unicodedata.east_asian_width(c) in "WF" else 1
print(max(sum(map(width, line.rstrip("\n"))) for line in sys.stdin))'
}

rtl=$'\u202e' zero=$'\u200b' joiner=$'\u200d'

test_case "the original that ckpt init leaves is named for a shell"
# shellcheck disable=SC2016 # a shell must not expand it
for name in plain "My Files" "it's" $'two\nlines' "-rf x" 'a $(touch x) `b`' $'bad\xffbyte' "$rtl$zero"; do
    mkdir -p "$scratch/d/$name"
    echo precious >"$scratch/d/$name/file"
    run ckpt init --mount "$m" --name taken "$scratch/d/$name"
    check_eq 0 "$status" "init '$name': $errors"
    check_eq '' "$(unseen <<<"$output")" "'$name': what it says"
    command=${output##*: }
    check_match '^rm -rf ' "$command" "'$name': the last word"
    mkdir -p "$scratch/cwd"
    # As somebody would who copies it from the terminal.
    (cd "$scratch/cwd" && bash -c "$command")
    check_eq '' "$(find "$scratch/d" -mindepth 1 -name '*before-ckptfs*')" "'$name': the original is removed"
    check_eq precious "$(cat "$scratch/d/$name/file")" "'$name': nothing else is"
    rm "$scratch/d/$name" && rm taken/file && rmdir taken
done
check_eq '' "$(ls "$scratch/cwd")" "nothing ran that was in a name"

test_case "a mount point that is not there, or dead"
run ckptfs "$scratch/other" "$scratch/no such place"
check_match "mkdir -p '$scratch/no such place'" "$errors" "the hint"
run ckptfs "$scratch/other" "$scratch/$rtl"
check_eq '' "$(unseen <<<"$errors")" "an error of ckptfs"
check_match '\\342\\200\\256' "$errors" "the name in it"

test_case "names of workspaces and snapshots"
odd="my $rtl$zero proj"
mkdir "$odd" && mkdir ".snapshots/$odd/s'1" ".snapshots/$odd/日本語" ".snapshots/$odd/e"$'\u0301'
quoted="\$'my \\342\\200\\256\\342\\200\\213 proj/a b'"
check_eq "$odd/a b" "$(ckpt checkpoint -w "$odd" -s "a b")" "for a script, a name is what it is"
ckpt delete -w "$odd" -s "a b" >"$scratch/out"
check_eq "deleted $quoted" "$(cat "$scratch/out")" "for people it is quoted"
check_eq "$quoted" "$(on_terminal 200 ckpt checkpoint -w "$odd" -s "a b")" "on a terminal, too"
eval "name=$(on_terminal 200 ckpt checkpoint -w "$odd" -s "c d")"
# shellcheck disable=SC2154 # set by eval
check_eq "$odd/c d" "$name" "as a shell reads it"
check_eq "$odd" "$(ckpt list -w "$odd" --format json | jq -r '.[0].workspace')" "JSON is exact"
run ckpt checkpoint -w "$odd" --if-changed
check_eq "nothing changed since \$'my \\342\\200\\256\\342\\200\\213 proj/c d'" "$output" "nothing changed"
for command in "list" "list -w '$odd'" "status" "df" "df --snapshots" "show -w '$odd' -s latest" \
    "checkpoint -w '$odd' -s 日本語" "show -w '$odd' -s '$rtl'" "list -w '$rtl'" "init '/nowhere/$rtl'" \
    "pin -w '$odd' -s latest" "unpin -w '$odd' -s latest" "rollback -w '$odd' -s latest" "$rtl$joiner" \
    "rollback -w '$odd' -s latest --preview" "template add --from '$rtl' x" "list --$rtl"; do
    said=$(on_terminal 80 bash -c "ckpt $command")
    check_eq '' "$(unseen <<<"$said")" "ckpt $command"
done
message=$'evil\e]0;title\a \u202eline\u2028end'
ckpt checkpoint -w "$odd" -s evil -m "$message" --metadata '{"k":"\u202e"}' >"$scratch/out"
for command in list "show -s evil"; do
    # shellcheck disable=SC2086 # words
    said=$(on_terminal 300 ckpt $command -w "$odd")
    check_eq '' "$(unseen <<<"$said")" "ckpt $command: the message"
    check_match 'evil\\033\]0;title\\a' "$said" "ckpt $command: it is there"
done
check_eq "$message" "$(ckpt show -w "$odd" -s evil --format json | jq -r .message)" "exact in JSON"
# shellcheck disable=SC2016 # for the other shell
cp "$(command -v sleep)" "$scratch/$rtl"
mkdir W && echo one >"W/x${zero}y" && mkdir .snapshots/W/s
"$scratch/$rtl" 60 >>"W/x${zero}y" &
processes+=($!)
for command in "rollback -w W -s s" "checkpoint -w W -s writers" "show -w W -s writers" "diff -w W -f s"; do
    # shellcheck disable=SC2086 # words
    said=$(on_terminal 300 ckpt $command)
    check_eq '' "$(unseen <<<"$said")" "ckpt $command: a process and its file"
done
kill $! && wait $!
echo more >>"W/x${zero}y"
check_eq "M \"x\\342\\200\\213y\"" "$(ckpt diff -w W -f s)" "ckpt diff"

test_case "the log"
check_eq '' "$(unseen <"$log")" "of the daemon"
check_match 'checkpoint my \\342\\200\\256\\342\\200\\213 proj/' "$(cat "$log")" "it has the names"

test_case "tables"
long=$(printf 'x%.0s' {1..240})
mkdir "$long" && mkdir ".snapshots/$long/$long-one" ".snapshots/$long/$long-two"
ckpt checkpoint -w "$long" -s "日本語日本語日本語日本語日本語日本語" -m "$long" >"$scratch/out"
for columns in 60 80 132; do
    for command in list "list -w $long" status df "df --snapshots"; do
        # shellcheck disable=SC2086 # words
        said=$(on_terminal $columns ckpt $command)
        # Of status, what comes before the table is no part of one.
        [[ $command != status ]] || said=$(sed -n '/^WORKSPACE/,$p' <<<"$said")
        (($(widest <<<"$said") <= columns)) || fail "ckpt $command on $columns columns: $said"
        checks=$((checks + 1))
    done
done
check_match 'x…x.*-one ' "$(on_terminal 132 ckpt list -w "$long")" "a name keeps its ends"
check_match "$long-one " "$(ckpt list -w "$long")" "a name is whole where no terminal is"
# The place of the next column, counted in columns of a terminal.
check_eq 1 "$(ckpt list -w "$odd" | python3 -c '
import sys, unicodedata
def width(text):
    return sum(0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF") for c in text)
lines = sys.stdin.read().splitlines()
print(len({width(line[:line.index("CREATED" if n == 0 else "20")]) for n, line in enumerate(lines)}))')" \
    "columns line up"

test_case "a command line that is wrong stays so with --help"
for command in "WRONG --help" "list WRONG --help" "--help WRONG" "template WRONG --help" "list --wrong -h" "--version WRONG"; do
    # shellcheck disable=SC2086 # words
    run ckpt $command
    check_eq "2 " "$status $output" "ckpt $command"
done
for command in --help "list --help" "template add --help" --version; do
    # shellcheck disable=SC2086 # words
    run ckpt $command
    check_eq "0 " "$status $errors" "ckpt $command"
done
