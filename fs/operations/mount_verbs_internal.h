// Shared by the source files of MountVerbs.
#pragma once

#include <spdlog/spdlog.h>

#include <cerrno>
#include <chrono>
#include <functional>
#include <string>
#include <type_traits>
#include <utility>

#include "backend/base/error.h"
#include "fs/nodes/mount_context.h"

namespace ckptfs {

// Logs one line for an operation when its scope ends, with the duration.
class OperationLog {
 public:
  explicit OperationLog(std::string what)
      : what_(std::move(what)), start_(std::chrono::steady_clock::now()) {}

  template <typename Result>
  Result Run(const std::function<Result()>& operation) {
    try {
      if constexpr (std::is_void_v<Result>) {
        operation();
        Done();
      } else {
        Result result = operation();
        Done();
        return result;
      }
    } catch (const Error& error) {
      spdlog::warn("{} failed: {} ({:.1f} ms)", what_, error.what(), ElapsedMs());
      throw;
    }
  }

 private:
  void Done() const { spdlog::info("{} ({:.1f} ms)", what_, ElapsedMs()); }
  double ElapsedMs() const {
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start_)
        .count();
  }

  std::string what_;
  std::chrono::steady_clock::time_point start_;
};

template <typename Operation>
auto Logged(std::string what, Operation operation) {
  using Result = decltype(operation());
  return OperationLog(std::move(what)).Run(std::function<Result()>(operation));
}

inline std::string NameOf(const Nodes& nodes, const SnapshotRecord& snapshot) {
  return nodes.NameOf(snapshot.workspace_id) + "/" + snapshot.name;
}

inline SnapshotRecord SnapshotById(const Store& store, int64_t id) {
  auto record = store.rows().FindSnapshot(id);
  if (!record) throw Error(ENOENT, "find a snapshot", "it has been deleted");
  return *record;
}

}  // namespace ckptfs
