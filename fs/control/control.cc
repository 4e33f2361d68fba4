#include "fs/control/control.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <exception>
#include <list>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include "backend/base/mutex.h"
#include "fs/control/answer_stream.h"
#include "fs/control/control_protocol.h"
#include "fs/control/control_requests.h"
#include "fs/control/request_limits.h"

namespace ckptfs {
namespace {

// Requests that run at once; another one gets EAGAIN.
constexpr size_t kMaxRunning = 64;
// Memory of unfinished requests of users other than root: in total, and per user. The first kUncountedBytes
// of each session, more than most requests need, do not count.
constexpr size_t kMaxRequestsBytes = size_t{24} << 20;
constexpr size_t kMaxRequestsBytesOfUser = size_t{8} << 20;
constexpr size_t kUncountedBytes = size_t{4} << 10;
// The part of kMaxRunning for one user other than root. A request counts until its answer has been read.
constexpr size_t kMaxRunningOfUser = 16;
// The part of kMaxRunning reserved for root, who can then look around even if nobody reads answers.
constexpr size_t kKeptForRoot = 16;
// A user with fewer running requests than this may start one, whatever others run, up to kMaxRunningOfAll,
// which only very many users reach.
constexpr size_t kAlwaysOfUser = 2;
constexpr size_t kMaxRunningOfAll = 256;

// The same error, with the place that is short. The guard's own errors say it already.
Error WithShortPlace(const Store& store, const Error& error) {
  const std::vector<std::string> warnings = store.SpaceWarnings();
  if (!error.hint().empty() || warnings.empty()) return error;
  std::string hint = warnings.front();
  if (hint.ends_with('.')) hint.pop_back();
  return Error(error.errno_value(), error.attempted(), error.why(), hint);
}

// If the storage has failed or is full, an error of it is best explained by that.
Error Explained(const Store& store, const Error& error) {
  const int number = error.errno_value();
  if (number == ENOSPC) return WithShortPlace(store, error);
  if (number != EIO && number != EROFS) return error;
  const std::optional<StorageFailure> failure = store.Failure();
  const bool explains =
      failure && (number == EIO || failure->kind == StorageFailure::Kind::kReadOnly);
  return explains ? Error(number, error.attempted(), failure->reason, failure->remedy) : error;
}

// Runs a request to its end, and catches every exception.
void RunRequest(Verbs& verbs, const ControlCaller& caller, std::string text,
                control::RequestShares& shares, AnswerStream& answer) {
  try {
    control::RequestLimits limits(shares, caller.uid, answer);
    const control::Request request =
        control::ParseRequest(verbs, caller, answer, limits, std::exchange(text, {}));
    wire::Json end{{wire::kResult, control::Run(request)}};
    if (wire::Json line = control::HealthLine(request); !line.is_null()) {
      end[wire::kHealth] = std::move(line);
    }
    answer.Send(std::move(end));
  } catch (const Error& error) {
    answer.Send(wire::Json{{wire::kError, wire::FromError(Explained(verbs.store(), error))}});
  } catch (const std::exception& error) {
    spdlog::error("control request of pid {}: {}", caller.pid, error.what());
    answer.Send(
        wire::Json{{wire::kError, wire::FromError(Error(EIO, "run the request", error.what()))}});
  }
  answer.End();
}

// The bytes of requests handed to sessions, by user. Shared by all sessions and requests of a server.
class RequestLedger {
 public:
  // Throws Error EAGAIN above the limit.
  void Take(uid_t uid, size_t bytes) {
    const MutexLock lock(mutex_);
    size_t& of_user = of_users_[uid];
    if (of_all_ + bytes > kMaxRequestsBytes || of_user + bytes > kMaxRequestsBytesOfUser) {
      throw Error(EAGAIN, "take the request", "too many others have not ended", "Try again later");
    }
    of_all_ += bytes;
    of_user += bytes;
  }
  void Give(uid_t uid, size_t bytes) noexcept {
    const MutexLock lock(mutex_);
    const auto of_user = of_users_.find(uid);
    of_all_ -= bytes;
    of_user->second -= bytes;
    if (of_user->second == 0) of_users_.erase(of_user);
  }

 private:
  Mutex mutex_;
  size_t of_all_ GUARDED_BY(mutex_) = 0;
  std::map<uid_t, size_t> of_users_ GUARDED_BY(mutex_);
};

// The bytes of one request in the ledger, from its first piece to its end. Used by one thread at a time.
class RequestBytes {
 public:
  RequestBytes(std::shared_ptr<RequestLedger> ledger, uid_t uid)
      : ledger_(std::move(ledger)), uid_(uid) {}
  ~RequestBytes() {
    if (counted_ != 0) ledger_->Give(uid_, counted_);
  }
  RequestBytes(const RequestBytes&) = delete;
  RequestBytes& operator=(const RequestBytes&) = delete;

  // Sets the request's size. Throws Error EAGAIN.
  void GrowTo(size_t bytes) {
    if (uid_ == 0 || bytes <= kUncountedBytes + counted_) return;
    const size_t more = bytes - kUncountedBytes - counted_;
    ledger_->Take(uid_, more);
    counted_ += more;
  }

 private:
  const std::shared_ptr<RequestLedger> ledger_;
  const uid_t uid_;
  size_t counted_ = 0;
};

// The threads that run requests. Owned by the server; sessions, which may outlive it for a moment, hold a
// weak pointer.
class Workers {
 public:
  explicit Workers(Verbs& verbs) : verbs_(verbs) {}
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  ~Workers() {
    {
      const MutexLock lock(mutex_);
      // Nobody reads on: imports give up, and no thread waits for a reader.
      for (const Worker& worker : workers_) worker.answer->Close();
    }
    workers_.clear();  // joins
  }

  // Throws Error EAGAIN if too many run. `bytes`: the request's bytes in the ledger, kept until it ends.
  void Start(const ControlCaller& caller, std::string text, std::shared_ptr<RequestBytes> bytes,
             std::shared_ptr<AnswerStream> answer) {
    const MutexLock lock(mutex_);
    std::erase_if(workers_, [](const Worker& worker) { return worker.ended->load(); });
    RequirePlace(caller.uid);
    auto ended = std::make_shared<std::atomic<bool>>(false);
    std::jthread thread(
        [this, caller, text = std::move(text), bytes = std::move(bytes), answer, ended]() mutable {
          RunRequest(verbs_, caller, std::move(text), shares_, *answer);
          bytes.reset();
          *ended = true;
        });
    workers_.push_back({caller.uid, std::move(answer), std::move(ended), std::move(thread)});
  }

 private:
  struct Worker {
    uid_t uid = 0;
    std::shared_ptr<AnswerStream> answer;
    std::shared_ptr<std::atomic<bool>> ended;
    std::jthread thread;
  };

  void RequirePlace(uid_t uid) const REQUIRES(mutex_) {
    const auto running = static_cast<size_t>(
        std::count_if(workers_.begin(), workers_.end(),
                      [uid](const Worker& worker) { return worker.uid == uid; }));
    const size_t limit = uid == 0 ? kMaxRunning : kMaxRunning - kKeptForRoot;
    const size_t always = uid == 0 ? kKeptForRoot : kAlwaysOfUser;
    if (workers_.size() >= (running < always ? kMaxRunningOfAll : limit)) {
      throw Error(EAGAIN, "run the request", fmt::format("{} others are running", workers_.size()),
                  "Try again when one has ended");
    }
    if (uid == 0 || running < kMaxRunningOfUser) return;
    throw Error(EAGAIN, "run the request", fmt::format("{} of yours are running", running),
                "Try again when one has ended");
  }

  Verbs& verbs_;
  control::RequestShares shares_;
  Mutex mutex_;
  std::list<Worker> workers_ GUARDED_BY(mutex_);
};

class Session : public ControlSession {
 public:
  Session(const ControlCaller& caller, std::weak_ptr<Workers> workers,
          std::shared_ptr<RequestLedger> ledger)
      : caller_(caller),
        workers_(std::move(workers)),
        bytes_(std::make_shared<RequestBytes>(std::move(ledger), caller.uid)) {}
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session() override { answer_->Close(); }

  void Append(std::string_view piece) override {
    const MutexLock lock(mutex_);
    if (started_) ThrowStarted();
    if (request_.size() + piece.size() > kMaxRequestBytes) {
      throw Error(EFBIG, "take the request",
                  fmt::format("it is larger than {} bytes", kMaxRequestBytes));
    }
    bytes_->GrowTo(request_.size() + piece.size());
    request_ += piece;
  }

  void Run() override {
    std::string text;
    std::shared_ptr<RequestBytes> bytes;
    {
      const MutexLock lock(mutex_);
      if (std::exchange(started_, true)) ThrowStarted();
      text = std::exchange(request_, {});
      bytes = std::exchange(bytes_, nullptr);
    }
    answer_->Start();
    try {
      const std::shared_ptr<Workers> workers = workers_.lock();
      if (!workers) throw Error(ESHUTDOWN, "run the request", "the filesystem is being unmounted");
      workers->Start(caller_, std::move(text), std::move(bytes), answer_);
    } catch (const Error& error) {
      Refuse(error);
    } catch (const std::system_error& error) {  // no thread available
      Refuse(Error(EAGAIN, "run the request", error.what()));
    }
  }

  void Read(size_t max_bytes, AnswerStream::ReadDone done) override {
    answer_->Read(max_bytes, std::move(done));
  }

  void Interrupt() override { answer_->Interrupt(); }

 private:
  [[noreturn]] static void ThrowStarted() {
    throw Error(EALREADY, "take the request", "a descriptor takes only one");
  }

  void Refuse(const Error& error) {
    answer_->Send(wire::Json{{wire::kError, wire::FromError(error)}});
    answer_->End();
  }

  const ControlCaller caller_;
  const std::weak_ptr<Workers> workers_;
  const std::shared_ptr<AnswerStream> answer_ = std::make_shared<AnswerStream>();
  Mutex mutex_;
  std::string request_ GUARDED_BY(mutex_);
  std::shared_ptr<RequestBytes> bytes_ GUARDED_BY(mutex_);
  bool started_ GUARDED_BY(mutex_) = false;
};

class Server : public ControlServer {
 public:
  explicit Server(Verbs& verbs) : workers_(std::make_shared<Workers>(verbs)) {}

  std::shared_ptr<ControlSession> Open(const ControlCaller& caller) override {
    return std::make_shared<Session>(caller, workers_, ledger_);
  }

 private:
  const std::shared_ptr<RequestLedger> ledger_ = std::make_shared<RequestLedger>();
  std::shared_ptr<Workers> workers_;
};

}  // namespace

std::unique_ptr<ControlServer> ControlServer::Create(Verbs& verbs) {
  return std::make_unique<Server>(verbs);
}

}  // namespace ckptfs
