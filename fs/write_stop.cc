#include "fs/write_stop.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>

namespace ckptfs {
namespace {

// For a write under way to end. The checkpoint keeps changes waiting meanwhile.
constexpr std::chrono::milliseconds kStopWait{50};
constexpr std::chrono::microseconds kGatePoll{200};
// For the helper to let go of the mount. Only a write under way can keep it for longer.
constexpr std::chrono::milliseconds kReportWait{100};

// Want of something that there may be again at the next checkpoint.
bool IsPassing(int error) {
  constexpr std::array kPassing = {EAGAIN, EINTR, EMFILE, ENFILE, ENOMEM};
  return std::find(kPassing.begin(), kPassing.end(), error) != kPassing.end();
}

}  // namespace

std::unique_ptr<WriteStop::Stopped> WriteStop::Stop(
    std::vector<NodeHandle> files, const std::function<bool(NodeId)>& waits_at_gate) {
  if (files.empty() || given_up_) return nullptr;
  std::sort(files.begin(), files.end(),
            [](const auto& left, const auto& right) { return left.node < right.node; });
  files.erase(std::unique(files.begin(), files.end()), files.end());
  if (files.size() > MountHelper::kFilesMax) {
    spdlog::warn("{} files are open for writing: a checkpoint orders the writes to {} of them only",
                 files.size(), MountHelper::kFilesMax);
    files.resize(MountHelper::kFilesMax);
  }
  std::unique_lock lock(mutex_);
  token_ = ++last_token_;
  auto stopped = std::make_unique<Stopped>(*this, token_);
  lock.unlock();  // its end takes the lock, should what follows throw
  if (!helper_.Start(stopped->token(), files)) {
    GiveUp("the helper process is gone");
    return nullptr;
  }
  lock.lock();
  const auto deadline = std::chrono::steady_clock::now() + kStopWait;
  const auto all_wait = [&] {
    return std::all_of(files.begin(), files.end(), [&](const NodeHandle& file) {
      return parked_.contains(file.node) || waits_at_gate(file.node);
    });
  };
  while (!all_wait() && std::chrono::steady_clock::now() < deadline) {
    parked_one_.wait_for(lock, kGatePoll);  // the gate notifies nobody
  }
  const bool stop_is_whole = all_wait();
  lock.unlock();
  if (!stop_is_whole) {
    spdlog::warn(
        "a checkpoint does not wait for writes that take longer than {} ms: it may have a "
        "part of one",
        kStopWait.count());
  }
  return stopped;
}

bool WriteStop::Park(NodeId node, std::string_view xattr_name, std::string_view value,
                     const std::function<void()>& answer) {
  if (xattr_name != MountHelper::kXattrName) return false;
  uint64_t token = 0;
  if (value.size() == sizeof(token)) std::memcpy(&token, value.data(), sizeof(token));
  {
    const std::lock_guard lock(mutex_);
    if (token != 0 && token == token_ && parked_.try_emplace(node, answer).second) {
      parked_one_.notify_all();
      return true;
    }
  }
  answer();  // too late
  return true;
}

void WriteStop::Release(uint64_t token) {
  std::unordered_map<NodeId, std::function<void()>> parked;
  {
    const std::lock_guard lock(mutex_);
    token_ = 0;
    parked.swap(parked_);
  }
  for (const auto& [node, answer] : parked) answer();
  if (!given_up_) AwaitReport(token);
}

void WriteStop::AwaitReport(uint64_t token) {
  const auto deadline = std::chrono::steady_clock::now() + kReportWait;
  while (const auto report = helper_.Receive(deadline)) {
    if (report->error != 0 && !IsPassing(report->error)) {
      GiveUp(std::generic_category().message(report->error));
      return;
    }
    if (report->error != 0) {
      spdlog::warn("a checkpoint may have a part of what was written meanwhile: {}",
                   std::generic_category().message(report->error));
    }
    if (report->token == token) return;
  }
}

void WriteStop::GiveUp(const std::string& why) {
  given_up_ = true;
  spdlog::warn(
      "writes to open files cannot be kept waiting during checkpoints ({}): each checkpoint has "
      "all "
      "that was written before it, but of what is written meanwhile perhaps a later part only",
      why);
}

}  // namespace ckptfs
