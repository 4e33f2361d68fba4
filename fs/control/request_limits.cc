#include "fs/control/request_limits.h"

#include <fmt/format.h>
#include <malloc.h>

#include <cerrno>
#include <chrono>
#include <string_view>

#include "fs/control/control_requests.h"

namespace ckptfs::control {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view kAttempted = "compare two states";
// How long an answer may remain unread before the request is given up in favour of others.
constexpr auto kStalledMax = 10s;
constexpr auto kUntilGivenUp = 2s;
constexpr auto kLookEvery = 100ms;
// A request that held this much leaves free memory that the allocator would keep.
constexpr size_t kTrimBytes = size_t{4} << 20;

}  // namespace

size_t RequestShares::BytesOf(uid_t uid) const {
  size_t bytes = 0;
  for (const Holding& holding : holdings_) bytes += holding.uid == uid ? holding.bytes : 0;
  return bytes;
}

size_t RequestShares::BytesOfUsers() const {
  size_t bytes = 0;
  for (const Holding& holding : holdings_) bytes += holding.uid != 0 ? holding.bytes : 0;
  return bytes;
}

bool RequestShares::GiveUpStalled(const Holding& except) {
  Holding* worst = nullptr;
  for (Holding& holding : holdings_) {
    const bool counts = holding.uid != 0 && holding.bytes != 0 && &holding != &except &&
                        !holding.is_given_up && holding.answer->UnreadFor() >= kStalledMax;
    if (counts && (worst == nullptr || holding.bytes > worst->bytes)) worst = &holding;
  }
  if (worst == nullptr) return false;
  worst->is_given_up = true;
  worst->answer->Break(Error(ETIMEDOUT, "send what differs",
                             "it was not read, and others need the memory", "Ask again"));
  return true;
}

RequestLimits::RequestLimits(RequestShares& shares, uid_t uid, Answer& answer) : shares_(shares) {
  const MutexLock lock(shares_.mutex_);
  holding_ = shares_.holdings_.insert(
      shares_.holdings_.end(), {.uid = uid, .answer = &answer, .bytes = 0, .is_given_up = false});
}

RequestLimits::~RequestLimits() {
  {
    const MutexLock lock(shares_.mutex_);
    shares_.holdings_.erase(holding_);
  }
  shares_.given_.notify_all();
  if (bytes_max_ >= kTrimBytes) malloc_trim(0);
}

void RequestLimits::RequireWanted() {
  if (!holding_->answer->IsAbandoned()) return;
  throw LimitError(ECANCELED, kAttempted, "the client has gone");
}

void RequestLimits::Take(size_t bytes) {
  MutexLock lock(shares_.mutex_);
  const uid_t uid = holding_->uid;
  const size_t share = uid == 0 ? RequestShares::kBytesMaxOfRoot : RequestShares::kBytesMaxOfUser;
  if (shares_.BytesOf(uid) + bytes > share) {
    throw LimitError(
        E2BIG, kAttempted,
        fmt::format("what differs takes more than the {} MiB that your comparisons may hold",
                    share >> 20),
        "Compare states that lie closer together, one comparison at a time, or ask as root");
  }
  const auto has_room = [&]() REQUIRES(shares_.mutex_) {
    return uid == 0 || shares_.BytesOfUsers() + bytes <= RequestShares::kBytesMax;
  };
  while (!has_room()) {
    const bool may_come = shares_.GiveUpStalled(*holding_);
    if (!may_come || !shares_.given_.wait_for(lock.native(), kUntilGivenUp, has_room)) {
      throw LimitError(EBUSY, kAttempted, "comparisons of others hold all the memory there is",
                       "Try again when they have ended");
    }
  }
  holding_->bytes += bytes;
  bytes_max_ = std::max(bytes_max_, holding_->bytes);
}

void RequestLimits::Give(size_t bytes) noexcept {
  {
    const MutexLock lock(shares_.mutex_);
    holding_->bytes -= bytes;
  }
  shares_.given_.notify_all();
}

Turn::Turn(RequestLimits& limits) : shares_(limits.shares_), uid_(limits.holding_->uid) {
  MutexLock lock(shares_.mutex_);
  const auto is_mine = [&]() REQUIRES(shares_.mutex_) {
    const auto taken = shares_.turns_.find(uid_);
    return uid_ == 0 || taken == shares_.turns_.end() ||
           taken->second < RequestShares::kTurnsOfUser;
  };
  while (!shares_.given_.wait_for(lock.native(), kLookEvery, is_mine)) limits.RequireWanted();
  ++shares_.turns_[uid_];
}

Turn::~Turn() {
  {
    const MutexLock lock(shares_.mutex_);
    if (--shares_.turns_[uid_] == 0) shares_.turns_.erase(uid_);
  }
  shares_.given_.notify_all();
}

}  // namespace ckptfs::control
