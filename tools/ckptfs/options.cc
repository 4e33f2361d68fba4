#include "tools/ckptfs/options.h"

#include <array>
#include <cerrno>
#include <charconv>
#include <functional>
#include <map>
#include <set>
#include <string_view>

#include "backend/base/byte_size.h"
#include "backend/base/error.h"

namespace ckptfs {
namespace {

constexpr char kSeeManual[] = "See ckptfs(8)";
constexpr char kUsageHint[] = "Usage: ckptfs [-f] [-d] [-o OPTIONS] SOURCE MOUNTPOINT";

Error BadOption(const std::string& option, const std::string& why,
                const std::string& hint = kSeeManual) {
  return Error(EINVAL, "understand the option " + option, why, hint);
}

// Options of mount(8) and fstab(5) that are ignored here, whatever follows them, as mount(8) itself handles
// them.
bool IsForMount8(const std::string& option) {
  return option.starts_with("x-") || option.starts_with("X-") || option.starts_with("comment=") ||
         option.starts_with("user=");
}

// An option without a value. Empty: ignored here.
using Flag = std::function<void(CommandLine&)>;

void SetReadOnly(CommandLine& line, bool read_only) {
  line.store.read_only = line.store.backend_options.read_only = read_only;
}

AccessTimes& AccessTimesOf(CommandLine& line) { return line.store.backend_options.access_times; }

Flag Rule(AccessTimeRule rule) {
  return [rule](CommandLine& line) { AccessTimesOf(line).rule = rule; };
}

// The rule is not, or no longer, requested: the kernel's default applies.
Flag NoRule(AccessTimeRule rule) {
  return [rule](CommandLine& line) {
    AccessTimeRule& present = AccessTimesOf(line).rule;
    if (present == rule) present = AccessTimeRule::kRelative;
  };
}

// As with mount(8), the last of mutually exclusive options wins.
const std::map<std::string, Flag>& Flags() {
  static const std::map<std::string, Flag> kFlags = [] {
    std::map<std::string, Flag> flags = {
        {"nocreate", [](CommandLine& line) { line.store.create = false; }},
        {"ro", [](CommandLine& line) { SetReadOnly(line, true); }},
        {"rw", [](CommandLine& line) { SetReadOnly(line, false); }},
        {"remount",
         [](CommandLine&) {
           throw BadOption("remount", "a mounted store takes no new options",
                           "Unmount it and mount it anew");
         }},
        {"noatime", Rule(AccessTimeRule::kNone)},
        {"atime", NoRule(AccessTimeRule::kNone)},
        {"relatime", Rule(AccessTimeRule::kRelative)},
        {"norelatime", {}},
        {"strictatime", Rule(AccessTimeRule::kStrict)},
        {"nostrictatime", NoRule(AccessTimeRule::kStrict)},
        {"nodiratime", [](CommandLine& line) { AccessTimesOf(line).spare_directories = true; }},
        {"diratime", [](CommandLine& line) { AccessTimesOf(line).spare_directories = false; }},
        {"lazytime", [](CommandLine& line) { AccessTimesOf(line).lazy = true; }},
        {"nolazytime", [](CommandLine& line) { AccessTimesOf(line).lazy = false; }},
    };
    // The kernel accepts these for any filesystem.
    for (const char* name :
         {"suid", "nosuid", "dev", "nodev", "exec", "noexec", "sync", "async", "dirsync"}) {
      flags[name] = [name](CommandLine& line) { line.fuse.kernel_options.emplace_back(name); };
    }
    // mount(8) handles these itself; the last ones are the behaviour of any filesystem.
    for (const char* name : {"defaults", "auto", "noauto", "nofail", "_netdev", "user", "nouser",
                             "users", "nousers", "owner", "group", "noowner", "nogroup", "loud",
                             "silent", "nomand", "noiversion", "symfollow"}) {
      flags[name] = {};
    }
    return flags;
  }();
  return kFlags;
}

// Sets one "name=value" option of ckptfs.
using Setter = std::function<void(CommandLine&, const std::string& value)>;

template <typename Value>
Setter OneOf(std::map<std::string, Value> values, std::function<void(CommandLine&, Value)> set) {
  return [values = std::move(values), set = std::move(set)](CommandLine& line,
                                                            const std::string& value) {
    const auto found = values.find(value);
    if (found == values.end()) {
      std::string known;
      for (const auto& [name, unused] : values) known += (known.empty() ? "" : ", ") + name;
      throw Error(EINVAL, "understand the value '" + value + "'", "it is not one of " + known,
                  kSeeManual);
    }
    set(line, found->second);
  };
}

const std::map<std::string, Setter>& Setters() {
  static const std::map<std::string, Setter> kSetters = {
      {"backend", [](CommandLine& line, const std::string& value) { line.store.backend = value; }},
      {"size",
       [](CommandLine& line, const std::string& value) {
         line.store.backend_options.size_bytes = ParseSize(value);
       }},
      {"pool_data",
       [](CommandLine& line, const std::string& value) {
         line.store.backend_options.pool_data_device = value;
       }},
      {"pool_metadata",
       [](CommandLine& line, const std::string& value) {
         line.store.backend_options.pool_metadata_device = value;
       }},
      {"snapdir", OneOf<SnapshotDirectory>({{"hidden", SnapshotDirectory::kHidden},
                                            {"visible", SnapshotDirectory::kVisible},
                                            {"off", SnapshotDirectory::kOff}},
                                           [](CommandLine& line, SnapshotDirectory value) {
                                             line.mount.snapshot_directory = value;
                                           })},
      {"busy", OneOf<bool>({{"refuse", false}, {"detach", true}},
                           [](CommandLine& line, bool value) { line.mount.detach_busy = value; })},
      {"undo", OneOf<bool>({{"on", true}, {"off", false}},
                           [](CommandLine& line, bool value) { line.store.undo = value; })},
      {"undo_keep", [](CommandLine& line,
                       const std::string& value) { line.store.undo_keep = ParseCount(value); }},
      {"undo_keep_time",
       [](CommandLine& line, const std::string& value) {
         line.store.undo_keep_time = ParseDuration(value);
       }},
      {"io_uring",
       OneOf<IoUring>({{"auto", IoUring::kAuto}, {"on", IoUring::kOn}, {"off", IoUring::kOff}},
                      [](CommandLine& line, IoUring value) { line.fuse.io_uring = value; })},
  };
  return kSetters;
}

void TakeOption(CommandLine& line, const std::string& option, std::set<std::string>& seen) {
  if (IsForMount8(option)) return;
  const size_t equals = option.find('=');
  const bool has_value = equals != std::string::npos;
  const std::string name = option.substr(0, equals);
  const auto setter = Setters().find(name);
  const auto flag = Flags().find(name);
  if (setter == Setters().end() && flag == Flags().end()) {
    throw BadOption("'" + option + "'", "there is no such option");
  }
  if (setter == Setters().end() && has_value) {
    throw BadOption("'" + option + "'", name + " takes no value", "Give it as " + name);
  }
  if (setter != Setters().end() && (!has_value || equals + 1 == option.size())) {
    throw BadOption("'" + option + "'", "it needs a value: " + name + "=VALUE",
                    "Give one, or leave the option out");
  }
  const bool only_once = setter != Setters().end() || name == "nocreate";
  if (only_once && !seen.insert(name).second) {
    throw BadOption(name, "it is given twice", "Give it once");
  }
  if (setter != Setters().end()) {
    setter->second(line, option.substr(equals + 1));
  } else if (flag->second) {
    flag->second(line);
  }
}

// Options are separated by commas; a backslash escapes the next character.
std::vector<std::string> SplitOptions(const std::string& text) {
  std::vector<std::string> options(1);
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == ',') {
      options.emplace_back();
    } else {
      if (text[i] == '\\' && i + 1 < text.size()) ++i;
      options.back() += text[i];
    }
  }
  std::erase(options, "");
  return options;
}

// Splits "-sfo" into "-s", "-f", "-o", each with its value if it takes one.
struct Switch {
  char letter = '\0';
  std::string value;
};

struct Words {
  std::vector<Switch> switches;
  std::vector<std::string> operands;
};

Words SplitWords(const std::vector<std::string>& arguments, std::string_view letters,
                 std::string_view letters_with_value) {
  Words words;
  bool only_operands = false;
  for (size_t i = 1; i < arguments.size(); ++i) {
    const std::string& word = arguments[i];
    if (only_operands || word.size() < 2 || word[0] != '-') {
      words.operands.push_back(word);
      continue;
    }
    if (word == "--") {
      only_operands = true;
      continue;
    }
    if (word == "--help" || word == "--version") {
      words.switches.push_back({word == "--help" ? 'h' : 'V', {}});
      continue;
    }
    for (size_t j = 1; j < word.size(); ++j) {
      const char letter = word[j];
      if (letters_with_value.find(letter) != std::string_view::npos) {
        std::string value = word.substr(j + 1);
        if (value.empty()) {
          if (i + 1 == arguments.size()) throw BadOption(word, "it needs a value");
          value = arguments[++i];
        }
        words.switches.push_back({letter, value});
        break;
      }
      if (letters.find(letter) == std::string_view::npos) {
        throw BadOption(word, "there is no such option", "See ckptfs --help");
      }
      words.switches.push_back({letter, {}});
    }
  }
  return words;
}

}  // namespace

size_t ParseCount(const std::string& text) {
  uint32_t count = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, count);
  if (error != std::errc{} || rest != end) {
    throw Error(EINVAL, "understand the number '" + text + "'",
                "it is not a number from 0 to 4294967295", kSeeManual);
  }
  return count;
}

std::chrono::seconds ParseDuration(const std::string& text) {
  using std::chrono::seconds;
  static const std::map<std::string_view, seconds> kUnits = {{"", seconds(1)},
                                                             {"s", seconds(1)},
                                                             {"m", std::chrono::minutes(1)},
                                                             {"h", std::chrono::hours(1)},
                                                             {"d", std::chrono::hours(24)}};
  constexpr seconds kMost = std::chrono::hours(24) * 36500;
  uint32_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  const auto unit = kUnits.find({rest, static_cast<size_t>(end - rest)});
  if (error != std::errc{} || unit == kUnits.end() || unit->second * int64_t{number} > kMost) {
    throw Error(EINVAL, "understand the time '" + text + "'",
                "it is no number with s, m, h or d, or is more than 36500d", kSeeManual);
  }
  return unit->second * int64_t{number};
}

uint64_t ParseSize(const std::string& text) {
  if (const auto bytes = ParseByteSize(text)) return *bytes;
  throw Error(EINVAL, "understand the size '" + text + "'", "it is no number of bytes",
              "Give it as 500M, 20G or the like");
}

CommandLine ParseCommandLine(const std::vector<std::string>& arguments) {
  const std::string& program = arguments.at(0);
  const size_t slash = program.rfind('/');
  const bool is_helper = std::string_view(program)
                             .substr(slash == std::string::npos ? 0 : slash + 1)
                             .starts_with("mount.");
  const Words words =
      is_helper ? SplitWords(arguments, "sfnvhV", "oNt") : SplitWords(arguments, "fdhV", "o");
  CommandLine line;
  line.fuse.kernel_options = {"nosuid", "nodev"};
  std::set<std::string> seen;
  for (const Switch& given : words.switches) {
    if (given.letter == 'o') {
      for (const std::string& option : SplitOptions(given.value)) TakeOption(line, option, seen);
    } else if (given.letter == 'h') {
      line.action = Action::kShowHelp;
    } else if (given.letter == 'V') {
      line.action = Action::kShowVersion;
    } else if (given.letter == 'f') {
      if (is_helper)
        line.action = Action::kFake;
      else
        line.foreground = true;
    } else if (given.letter == 'd') {
      line.foreground = line.debug = line.fuse.debug = true;
    } else if (given.letter == 'N') {
      throw BadOption("-N", "mounting into another namespace is not possible",
                      "Use nsenter(1) with the mount command");
    }
  }
  if (line.action == Action::kShowHelp || line.action == Action::kShowVersion) return line;
  if (words.operands.size() != 2) {
    throw Error(EINVAL, "read the command line",
                std::to_string(words.operands.size()) + " operands are given, not two", kUsageHint);
  }
  if (words.operands[0].empty() || words.operands[1].empty()) {
    throw Error(EINVAL, "read the command line", "an operand is empty", kUsageHint);
  }
  line.store.path = words.operands[0];
  line.mount.mountpoint = words.operands[1];
  return line;
}

std::string HelpText() {
  return R"(usage: ckptfs [-f] [-d] [-o OPTIONS] SOURCE MOUNTPOINT

Mounts the store SOURCE (a directory; made if it is not there) on MOUNTPOINT.

  -f            stay in the foreground, log to stderr
  -d            the same, and log every request
  -o OPTIONS    separated by commas:
     backend=auto|btrfs-base|btrfs-loop|dm-snapshot|dm-thin    for a new store
     size=SIZE                             of the loop image or pool; a larger one grows it
     pool_data=DEVICE, pool_metadata=DEVICE    of dm-thin: for a new store, instead of files
     snapdir=hidden|visible|off            .snapshots inside workspaces
     busy=refuse|detach                    rollback while files are open for writing
     undo=on|off                           keep the state before a rollback
     undo_keep=N, undo_keep_time=TIME      how many of these stay, and how long all do
     io_uring=auto|on|off                  how requests come from the kernel
     nocreate, ro                          and the usual ones of mount(8)
  -h, --help    -V, --version

See ckptfs(8).
)";
}

}  // namespace ckptfs
