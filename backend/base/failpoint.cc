#include "backend/base/failpoint.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <list>
#include <optional>
#include <string>
#include <thread>

#include "backend/base/error.h"
#include "backend/base/unique_fd.h"

namespace ckptfs {
namespace {

constexpr const char* kPermission = "CKPTFS_TESTING";
constexpr std::string_view kPermitted = "may-kill-the-daemon";
constexpr const char* kRules = "CKPTFS_FAILPOINT";
constexpr const char* kTrace = "CKPTFS_FAILPOINT_TRACE";

bool ArePermitted() {
  const char* permission = secure_getenv(kPermission);
  return permission != nullptr && permission == kPermitted;
}

const char* VariableIfPermitted(const char* name) {
  return ArePermitted() ? secure_getenv(name) : nullptr;
}

enum class Action { kKill, kThrow, kSleep };

struct Rule {
  std::string name;
  Action action = Action::kKill;
  int argument = 0;  // the errno or the milliseconds
  std::optional<int> only_hit;
  std::atomic<int> hits{0};
};

int ParseNumber(std::string_view text, std::string_view rule) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) {
    throw Error(EINVAL, "parse the variables of tests", std::string(rule) + " holds no number");
  }
  return value;
}

void AddRule(std::list<Rule>& rules, std::string_view text) {
  Rule& rule = rules.emplace_back();
  std::string_view rest = text;
  if (const size_t at = text.rfind('@'); at != std::string_view::npos) {
    rule.only_hit = ParseNumber(text.substr(at + 1), text);
    rest = text.substr(0, at);
  }
  const size_t mark = rest.find_first_of("=~");
  rule.name = rest.substr(0, mark);
  if (mark == std::string_view::npos) return;
  rule.argument = ParseNumber(rest.substr(mark + 1), text);
  if (rest[mark] == '=') rule.action = Action::kThrow;
  if (rest[mark] == '~') rule.action = Action::kSleep;
}

std::list<Rule> ReadRules() {
  std::list<Rule> parsed;
  const char* variable = VariableIfPermitted(kRules);
  std::string_view rest = variable == nullptr ? "" : variable;
  while (!rest.empty()) {
    const size_t comma = rest.find(',');
    if (comma != 0) AddRule(parsed, rest.substr(0, comma));
    rest = comma == std::string_view::npos ? "" : rest.substr(comma + 1);
  }
  return parsed;
}

UniqueFd OpenTrace() {
  const char* path = VariableIfPermitted(kTrace);
  if (path == nullptr) return {};
  constexpr int kFlags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC;
  return UniqueFd(CheckSyscall(open(path, kFlags, 0644), "open CKPTFS_FAILPOINT_TRACE"));
}

// What the environment requests.
struct Wishes {
  std::list<Rule> rules = ReadRules();
  UniqueFd trace = OpenTrace();
  bool none = rules.empty() && !trace.valid();
};

void Trace(int fd, std::string_view name) {
  const std::string line = std::string(name) + "\n";
  CheckSyscall(write(fd, line.data(), line.size()), "write CKPTFS_FAILPOINT_TRACE");
}

}  // namespace

std::optional<int> NumberForTest(const char* variable) {
  const char* value = VariableIfPermitted(variable);
  if (value == nullptr) return std::nullopt;
  return ParseNumber(value, variable);
}

bool IsFailpointVariable(std::string_view name) {
  return ArePermitted() &&
         (name == kPermission || name == kRules || name == kTrace || name == kTestGraceSeconds);
}

void Failpoint(std::string_view name) {
  static Wishes wishes;
  if (wishes.none) return;
  if (wishes.trace.valid()) Trace(wishes.trace.get(), name);
  for (Rule& rule : wishes.rules) {
    if (rule.name != name) continue;
    const int hit = ++rule.hits;
    if (hit != rule.only_hit.value_or(hit)) continue;
    switch (rule.action) {
      case Action::kKill:
        kill(getpid(), SIGKILL);
        break;
      case Action::kThrow:
        throw Error(rule.argument, "failpoint " + rule.name);
      case Action::kSleep:
        std::this_thread::sleep_for(std::chrono::milliseconds(rule.argument));
        break;
    }
  }
}

}  // namespace ckptfs
