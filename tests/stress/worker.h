// One process of a stress run.
#pragma once

#include <fcntl.h>

#include <cerrno>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>

#include "backend/base/unique_fd.h"
#include "tests/stress/board.h"

namespace ckptfs::stress {

struct Settings {
  std::string store;
  std::string mountpoint;
  std::string mount_options;  // for remounting; in the form of -o
  uint64_t seed = 0;
  bool use_ckpt = true;
  bool remount = true;
  bool by_name = true;  // also roll back by renames over the name
};

// Executes operations in the mount, in bursts between which it holds nothing there, until the board says
// stop. Each call is written on the worker's desk first, and its result is checked against its operation's
// permitted results. Runs in its own process.
class Worker {
 public:
  // `number` is the worker's desk. A hasty worker does not pause for an unmount.
  Worker(Board& board, const Settings& settings, int number, bool is_hasty);
  virtual ~Worker() = default;
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  void Run();

 protected:
  // Executes one or a few random operations.
  virtual void Step() = 0;
  // Closes and leaves everything that it holds in the mount.
  virtual void LetGo() {}

  // Makes a call that returns -1 with errno, or a non-negative value. Returns its result; errno is preserved.
  // `what` names the files concerned.
  template <typename Function>
  auto Call(Operation operation, std::string_view what, const Function& function) {
    const int64_t began_ns = Begin(operation, what);
    const auto result = function();
    const int error = result < 0 ? errno : 0;
    End(operation, what, began_ns, error);
    errno = error;
    return result;
  }
  // Makes a call that returns an exit code.
  template <typename Function>
  int CallProgram(Operation operation, std::string_view what, const Function& function) {
    const int64_t began_ns = Begin(operation, what);
    const int code = function();
    End(operation, what, began_ns, code);
    return code;
  }

  uint64_t Random(uint64_t below) { return random_() % below; }
  bool Chance(uint64_t one_in) { return Random(one_in) == 0; }
  // One of the few names that all workers compete for.
  std::string AnyWorkspace();
  std::string AnySnapshot();

  Board& board() noexcept { return board_; }
  const Settings& settings() const noexcept { return settings_; }
  int number() const noexcept { return number_; }
  // The mount's root, for one burst.
  int root() const noexcept { return root_.get(); }

 private:
  int64_t Begin(Operation operation, std::string_view what);
  void End(Operation operation, std::string_view what, int64_t began_ns, int result);
  // False if nothing is mounted there now.
  bool EnterMount();

  Board& board_;
  const Settings& settings_;
  const int number_;
  const bool is_hasty_;
  std::mt19937_64 random_;
  UniqueFd root_;
};

}  // namespace ckptfs::stress
