#include "fs/open/write_barrier.h"

#include <fmt/format.h>

#include <algorithm>
#include <system_error>
#include <unordered_set>
#include <utility>

namespace ckptfs {
namespace {

// Time for writes in progress to end. The checkpoint blocks changes meanwhile.
constexpr std::chrono::milliseconds kStopWait{50};
constexpr std::chrono::microseconds kFreezeLockPoll{200};
// A call that has waited this long may wait for ever: stops no longer wait for it.
constexpr std::chrono::milliseconds kStuckAfter{200};
// Time for the helper to release the mount. What takes longer is not waited for.
constexpr std::chrono::milliseconds kReportWait{100};

}  // namespace

WriteBarrier::WriteBarrier(BarrierCalls& calls)
    : helper_(calls), reader_([this] { ReadReports(); }) {}

WriteBarrier::~WriteBarrier() { helper_.HangUp(); }

std::unique_ptr<WriteBarrier::Stopped> WriteBarrier::Stop(int64_t workspace,
                                                          std::vector<NodeHandle> files,
                                                          const GateLook& waits_at_gate) {
  if (files.empty()) return nullptr;
  std::unordered_set<NodeId> seen;
  std::erase_if(files, [&seen](const NodeHandle& file) { return !seen.insert(file.node).second; });
  auto stopped = std::make_unique<Stopped>(*this, workspace);
  const auto deadline = Clock::now() + kStopWait;
  MutexLock lock(mutex_);  // destroyed before `stopped` if anything throws
  Reserve(*stopped, files, deadline, lock);
  stopped->files_ = files.size();
  stopped->waiting_ = std::move(files);
  Missing missing;
  while (true) {
    HandOver(*stopped, waits_at_gate);
    missing = Look(*stopped, waits_at_gate);
    if (missing.IsFinal() || stopped->helper_is_gone_ || Clock::now() >= deadline) break;
    stopped->changed_.wait_for(lock.native(), kFreezeLockPoll);  // the freeze lock does not notify
  }
  // Calls that get the lock from here on are too late. Those behind the freeze lock get it when that opens,
  // and are waited for then.
  for (const NodeId node : stopped->called_) {
    const auto call = calls_.find(node);
    if (call == calls_.end() || call->second.state != Call::State::kOut) continue;
    if (!waits_at_gate(node)) Detach(*stopped, call->second);
  }
  NoteGap(*stopped, missing);
  return stopped;
}

bool WriteBarrier::Stopped::Holds(NodeId node) const {
  const MutexLock lock(owner_.mutex_);
  const auto call = owner_.calls_.find(node);
  return call != owner_.calls_.end() && call->second.stop == this &&
         call->second.state == Call::State::kHolding;
}

void WriteBarrier::Reserve(Stopped& stopped, std::vector<NodeHandle>& files,
                           Clock::time_point deadline, MutexLock& lock) {
  if (files.size() > kFilesMax) {
    stopped.gap_ =
        fmt::format("{} files were open for writing, and writes to {} at most are stopped",
                    files.size(), kFilesMax);
    files.resize(kFilesMax);
  }
  const size_t small = std::min(files.size(), kSmall);
  const size_t large = files.size() - small;
  const auto take = [&](size_t& room, size_t& reserved, size_t wanted, size_t of_room) {
    if (!room_grew_.wait_until(lock.native(), deadline, [&] { return wanted * of_room <= room; }))
      return false;
    room -= wanted;
    reserved = wanted;
    return true;
  };
  if (take(small_room_, stopped.reserved_small_, small, 1)) {
    if (large == 0 || take(room_, stopped.reserved_, large, 2)) return;
  }
  stopped.gap_ = fmt::format(
      "{} files were open for writing, and checkpoints of others left room to stop writes to {}",
      files.size(), stopped.reserved_small_);
  stopped.is_gap_passing_ = true;
  files.resize(stopped.reserved_small_);
}

// Gives the helper as many of the files as there is room for. A file with a change at the freeze lock needs
// no call.
void WriteBarrier::HandOver(Stopped& stopped, const GateLook& waits_at_gate) {
  std::vector<NodeHandle> batch;
  std::vector<NodeHandle> later;
  for (const NodeHandle& file : stopped.waiting_) {
    if (waits_at_gate(file.node)) continue;
    const auto call = calls_.find(file.node);
    if (call != calls_.end()) {
      // The call of an earlier stop, still outstanding; or it is about to be reported.
      if (call->second.state != Call::State::kOut || !Adopt(stopped, file.node, call->second)) {
        later.push_back(file);
      }
    } else if (batch.size() < BarrierCalls::kBatchMax && shares_.Take(stopped.workspace_)) {
      batch.push_back(file);
    } else {
      later.push_back(file);
    }
  }
  stopped.waiting_ = std::move(later);
  if (batch.empty()) return;
  const BarrierCalls::Taken taken = helper_.Start(batch);
  stopped.helper_is_gone_ = taken == BarrierCalls::Taken::kGone;
  for (const NodeHandle& file : batch) {
    if (taken == BarrierCalls::Taken::kAll) {
      Call& call = calls_[file.node];
      call.workspace = stopped.workspace_;
      call.since = Clock::now();
      Adopt(stopped, file.node, call);
    } else {
      shares_.GiveBack(stopped.workspace_);
      stopped.waiting_.push_back(file);
    }
  }
}

bool WriteBarrier::Adopt(Stopped& stopped, NodeId node, Call& call) {
  if (call.stop != nullptr) return false;
  call.stop = &stopped;
  stopped.called_.push_back(node);
  ++stopped.out_;
  return true;
}

void WriteBarrier::Detach(Stopped& stopped, Call& call) {
  if (call.stop != &stopped) return;
  call.stop = nullptr;
  --stopped.out_;
}

WriteBarrier::Missing WriteBarrier::Look(const Stopped& stopped,
                                         const GateLook& waits_at_gate) const {
  Missing missing{.waiting = stopped.waiting_.size()};
  const auto now = Clock::now();
  for (const NodeId node : stopped.called_) {
    const auto found = calls_.find(node);
    if (found == calls_.end()) continue;  // the file has gone, or the call failed
    const Call& call = found->second;
    if (call.stop != &stopped || call.state != Call::State::kOut || waits_at_gate(node)) continue;
    ++(now - call.since < kStuckAfter ? missing.fresh : missing.stuck);
  }
  return missing;
}

void WriteBarrier::NoteGap(Stopped& stopped, const Missing& missing) {
  if (!stopped.gap_.empty()) return;
  constexpr char kHelper[] = "the helper process that stops writes";
  const size_t left_out = missing.fresh + missing.stuck + missing.waiting;
  if (stopped.helper_is_gone_) {
    stopped.gap_ = fmt::format("{} is gone", kHelper);
  } else if (stopped.error_ != 0) {
    stopped.gap_ =
        fmt::format("{} failed: {}", kHelper, std::generic_category().message(stopped.error_));
  } else if (left_out != 0) {
    stopped.gap_ = fmt::format(
        "writes to {} of {} files took longer than {} ms, and continued during the checkpoint",
        left_out, stopped.files_, kStopWait.count());
    stopped.is_gap_passing_ = missing.stuck == 0;
  }
}

bool WriteBarrier::Park(NodeId node, std::string_view xattr_name,
                        const std::function<void()>& answer) {
  if (xattr_name != BarrierCalls::kXattrName) return false;
  {
    const MutexLock lock(mutex_);
    const auto found = calls_.find(node);
    if (found != calls_.end() && found->second.state == Call::State::kOut) {
      Call& call = found->second;
      shares_.GiveBack(call.workspace);
      if (call.stop != nullptr && !call.stop->is_ending_) {
        call.state = Call::State::kHolding;
        call.answer = answer;
        call.stop->changed_.notify_all();
        return true;
      }
      call.state = Call::State::kAnswered;
    }
  }
  answer();  // too late
  return true;
}

void WriteBarrier::Release(Stopped& stopped) {
  std::vector<std::function<void()>> answers;
  MutexLock lock(mutex_);
  stopped.is_ending_ = true;
  for (const NodeId node : stopped.called_) {
    const auto call = calls_.find(node);
    if (call == calls_.end() || call->second.stop != &stopped) continue;
    if (call->second.state != Call::State::kHolding) continue;
    call->second.state = Call::State::kAnswered;
    answers.push_back(std::exchange(call->second.answer, nullptr));
  }
  lock.Unlock();
  for (const auto& answer : answers) answer();
  lock.Lock();
  small_room_ += stopped.reserved_small_;
  room_ += stopped.reserved_;
  room_grew_.notify_all();
  stopped.changed_.wait_for(lock.native(), kReportWait, [&] { return stopped.out_ == 0; });
  for (const NodeId node : stopped.called_) {
    const auto call = calls_.find(node);
    if (call != calls_.end()) Detach(stopped, call->second);
  }
}

void WriteBarrier::ReadReports() {
  while (const auto report = helper_.Receive()) Reported(*report);
  HelperIsGone();
}

void WriteBarrier::Reported(const BarrierCalls::Report& report) {
  std::function<void()> answer;  // set only if the connection has ended
  {
    const MutexLock lock(mutex_);
    const auto found = calls_.find(report.node);
    if (found == calls_.end()) return;
    Forget(found->second, report.error);
    answer = std::move(found->second.answer);
    calls_.erase(found);
  }
  if (answer) answer();
}

// Some of the helper's threads may still wait for a file. Their requests that have arrived are answered by
// whichever stop holds them.
void WriteBarrier::HelperIsGone() {
  const MutexLock lock(mutex_);
  std::erase_if(calls_, [this](auto& entry) REQUIRES(mutex_) {
    if (entry.second.state == Call::State::kHolding) return false;
    if (entry.second.stop != nullptr) entry.second.stop->helper_is_gone_ = true;
    Forget(entry.second, 0);
    return true;
  });
}

void WriteBarrier::Forget(const Call& call, int error) {
  if (call.state == Call::State::kOut) shares_.GiveBack(call.workspace);
  if (call.stop == nullptr) return;
  --call.stop->out_;
  if (error != 0) call.stop->error_ = error;
  call.stop->changed_.notify_all();
}

}  // namespace ckptfs
