#include "backend/base/scouts.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

extern "C" {  // glibc 2.36 lacks it in the header
#include <sys/pidfd.h>
}

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <cstring>
#include <mutex>
#include <new>
#include <optional>
#include <utility>

#include "backend/base/error.h"
#include "backend/base/mutex.h"
#include "backend/base/scout_process.h"

namespace ckptfs {
namespace {

using Clock = Scouts::Clock;
using Outcome = Scouts::Outcome;
using std::chrono::milliseconds;

constexpr size_t kIdleMax = 4;

ScoutPlaces* MapPlaces() {
  void* const memory =
      mmap(nullptr, sizeof(ScoutPlaces), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) ThrowErrno("map memory");
  return std::construct_at(static_cast<ScoutPlaces*>(memory));
}

// Whether the process is waiting, as opposed to running or runnable. This read of /proc takes no lock that
// anybody but the process itself could hold.
bool Sleeps(pid_t scout) {
  const std::string path = "/proc/" + std::to_string(scout) + "/stat";
  const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::array<char, 512> text{};
  const ssize_t size = file.valid() ? read(file.get(), text.data(), text.size()) : -1;
  if (size <= 0) return true;  // the process is gone
  const std::string_view line(text.data(), static_cast<size_t>(size));
  const size_t end_of_name = line.rfind(") ");
  return end_of_name == std::string_view::npos || line.substr(end_of_name + 2, 1) != "R";
}

// Extracts reports from a scout's bytes.
class Reports {
 public:
  explicit Reports(Outcome& outcome) : outcome_(outcome) {}

  // Returns true when the task has ended.
  bool Take(std::string_view bytes) {
    bytes_ += bytes;
    size_t taken = 0;
    uint64_t size = 0;
    bool ended = false;
    while (!ended && bytes_.size() - taken >= sizeof(size)) {
      std::memcpy(&size, bytes_.data() + taken, sizeof(size));
      ended = size == kTaskDone || size == kTaskFailed;
      if (ended) {
        outcome_.end = size == kTaskDone ? Outcome::End::kDone : Outcome::End::kFailed;
        break;
      }
      if (bytes_.size() - taken - sizeof(size) < size) break;
      outcome_.reports.push_back(bytes_.substr(taken + sizeof(size), size));
      taken += sizeof(size) + size;
    }
    bytes_.erase(0, taken);
    return ended;
  }

 private:
  Outcome& outcome_;
  std::string bytes_;
};

bool SendAll(int socket, std::string_view bytes, Clock::time_point deadline) {
  while (!bytes.empty()) {
    pollfd ready{.fd = socket, .events = POLLOUT, .revents = 0};
    if (poll(&ready, 1, MillisecondsUntil(deadline)) <= 0) return false;
    const ssize_t sent = send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) return false;
    bytes.remove_prefix(static_cast<size_t>(std::max<ssize_t>(sent, 0)));
  }
  return true;
}

// One task that a scout works on.
class Watch {
 public:
  Watch(const ScoutProcess& scout, const std::atomic<uint64_t>& place, milliseconds patience)
      : scout_(scout), place_(place), patience_(patience) {}

  void AwaitEnd(Clock::time_point deadline, Outcome& outcome) {
    Reports reports(outcome);
    std::array<char, 16384> buffer{};
    moved_ = Clock::now();
    while (true) {
      const Clock::time_point wake =
          std::min(deadline, std::max(moved_ + patience_, Clock::now() + kLook));
      pollfd waiting{.fd = scout_.socket.get(), .events = POLLIN, .revents = 0};
      if (poll(&waiting, 1, MillisecondsUntil(wake)) > 0) {
        const ssize_t size = recv(scout_.socket.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
        if (size <= 0) return;  // it died
        if (reports.Take({buffer.data(), static_cast<size_t>(size)})) return;
        moved_ = Clock::now();
      }
      outcome.end = Look(deadline);
      outcome.place = last_;
      if (outcome.end != Outcome::End::kFailed) return;
    }
  }

 private:
  static constexpr milliseconds kLook{2};

  // kFailed: not decided yet, go on.
  Outcome::End Look(Clock::time_point deadline) {
    const Clock::time_point now = Clock::now();
    if (const uint64_t place = place_; place != last_) {
      last_ = place;
      moved_ = now;
    }
    if (now >= deadline) return Outcome::End::kLate;
    const bool is_stuck = last_ != 0 && now - moved_ >= patience_ && Sleeps(scout_.pid);
    return is_stuck ? Outcome::End::kStuck : Outcome::End::kFailed;
  }

  const ScoutProcess& scout_;
  const std::atomic<uint64_t>& place_;
  const milliseconds patience_;
  Clock::time_point moved_;
  uint64_t last_ = 0;
};

// The fallback without a child process.
class ScoutInPlace final : public Scout {
 public:
  void LookAt(uint64_t place) override { outcome.place = place; }
  void Report(std::string bytes) override { outcome.reports.push_back(std::move(bytes)); }

  Outcome outcome;
};

Outcome RunInPlace(Scouts::Task task, std::string_view request) {
  ScoutInPlace scout;
  try {
    task(scout, request);
    scout.outcome.end = Outcome::End::kDone;
  } catch (const std::exception&) {  // reported as the end of the task
  }
  return std::move(scout.outcome);
}

}  // namespace

class Scouts::Impl {
 public:
  Impl() : places_(MapPlaces()), nursery_(StartScoutNursery(*places_)) { instance = this; }
  ~Impl() {
    instance = nullptr;
    nursery_.socket.Reset();
    while (waitpid(nursery_.pid, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  Outcome Send(Task task, std::string_view request, Clock::time_point deadline,
               milliseconds patience) {
    Outcome outcome;
    std::optional<ScoutProcess> scout = Take(deadline);
    if (!scout) return outcome;
    std::atomic<uint64_t>& place = places_->at(scout->slot);
    place = 0;
    const ScoutRequest header{.task = task, .size = request.size()};
    std::string message(reinterpret_cast<const char*>(&header), sizeof(header));
    message += request;
    if (SendAll(scout->socket.get(), message, deadline)) {
      Watch(*scout, place, patience).AwaitEnd(deadline, outcome);
    }
    if (outcome.end == Outcome::End::kDone) {
      GiveBack(std::move(*scout));
    } else {
      Kill(std::move(*scout));
    }
    return outcome;
  }

  static inline std::atomic<Impl*> instance{nullptr};

 private:
  static constexpr milliseconds kPlaceWait{2};
  struct Unmap {
    void operator()(ScoutPlaces* places) const noexcept { munmap(places, sizeof(ScoutPlaces)); }
  };

  std::optional<ScoutProcess> Take(Clock::time_point deadline) {
    MutexLock lock(mutex_);
    while (true) {
      DropDead();
      if (!idle_.empty()) {
        ScoutProcess scout = std::move(idle_.back());
        idle_.pop_back();
        return scout;
      }
      const auto place = std::find(taken_.begin(), taken_.end(), false);
      if (place != taken_.end()) {
        *place = true;
        const auto slot = static_cast<uint64_t>(place - taken_.begin());
        lock.Unlock();
        return Make(slot, deadline);
      }
      if (Clock::now() >= deadline) return std::nullopt;
      changed_.wait_for(lock.native(), kPlaceWait);
    }
  }

  // If it comes too late for this caller, the next one gets it.
  std::optional<ScoutProcess> Make(uint64_t slot, Clock::time_point deadline) {
    const std::unique_lock<std::timed_mutex> lock(orders_, deadline);
    const bool ordered = lock.owns_lock() && OrderScout(nursery_, slot);
    if (!ordered) FreePlace(slot);
    while (ordered) {
      std::optional<ScoutProcess> scout = ReceiveScout(nursery_, deadline);
      if (!scout) break;
      const bool is_good = scout->pid > 0;
      if (!is_good) FreePlace(scout->slot);
      if (scout->slot == slot) {
        if (is_good) return scout;
        break;
      }
      if (is_good) GiveBack(std::move(*scout));
    }
    return std::nullopt;
  }

  void GiveBack(ScoutProcess scout) {
    const MutexLock lock(mutex_);
    if (idle_.size() < kIdleMax) {
      idle_.push_back(std::move(scout));
    } else {
      taken_.at(scout.slot) = false;  // it ends when its socket is closed
    }
    changed_.notify_all();
  }

  // Its slot stays taken until it is gone: this limits how many can hang at a time.
  void Kill(ScoutProcess scout) {
    pidfd_send_signal(scout.process.get(), SIGKILL, nullptr, 0);
    const MutexLock lock(mutex_);
    killed_.push_back(std::move(scout));
  }

  void FreePlace(uint64_t slot) {
    const MutexLock lock(mutex_);
    taken_.at(slot) = false;
    changed_.notify_all();
  }

  void DropDead() REQUIRES(mutex_) {
    std::erase_if(killed_, [this](const ScoutProcess& scout) REQUIRES(mutex_) {
      pollfd ended{.fd = scout.process.get(), .events = POLLIN, .revents = 0};
      if (poll(&ended, 1, 0) <= 0) return false;
      taken_.at(scout.slot) = false;
      return true;
    });
  }

  const std::unique_ptr<ScoutPlaces, Unmap> places_;
  ScoutNursery nursery_;
  std::timed_mutex orders_;  // for messages to the nursery; lock order: before `mutex_`
  Mutex mutex_;
  std::condition_variable changed_;
  std::array<bool, kScoutsMax> taken_ GUARDED_BY(mutex_){};
  std::vector<ScoutProcess> idle_ GUARDED_BY(mutex_);
  std::vector<ScoutProcess> killed_ GUARDED_BY(mutex_);
};

Scouts::Scouts() : impl_(std::make_unique<Impl>()) {}
Scouts::~Scouts() = default;

Scouts::Outcome Scouts::Send(Task task, std::string_view request, Clock::time_point deadline,
                             milliseconds patience) {
  Impl* const impl = Impl::instance;
  return impl == nullptr ? RunInPlace(task, request)
                         : impl->Send(task, request, deadline, patience);
}

}  // namespace ckptfs
