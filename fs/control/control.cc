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

#include "fs/control/answer_stream.h"
#include "fs/control/control_protocol.h"
#include "fs/control/control_requests.h"
#include "fs/control/request_limits.h"

namespace ckptfs {
namespace {

// Requests that run at once; one more gets EAGAIN.
constexpr size_t kMaxRunning = 64;
// Of requests that users other than root have handed over and that have not ended, all together and those of
// one user. What every session may hold, which is more than most requests have, does not count.
constexpr size_t kMaxRequestsBytes = size_t{24} << 20;
constexpr size_t kMaxRequestsBytesOfUser = size_t{8} << 20;
constexpr size_t kUncountedBytes = size_t{4} << 10;
// Of kMaxRunning for one user other than root. A request takes its place for as long as its answer is
// not read.
constexpr size_t kMaxRunningOfUser = 16;
// Of kMaxRunning: where answers are not read, root can still see what there is.
constexpr size_t kKeptForRoot = 16;
// Who has fewer running than this finds a place, however many others run, up to a number that no few users
// reach.
constexpr size_t kAlwaysOfUser = 2;
constexpr size_t kMaxRunningOfAll = 256;

// Runs a request to its end, whatever happens in it.
void RunRequest(Verbs& verbs, const ControlCaller& caller, std::string text,
                control::RequestShares& shares, AnswerStream& answer) {
  try {
    control::RequestLimits limits(shares, caller.uid, answer);
    const control::Request request =
        control::ParseRequest(verbs, caller, answer, limits, std::exchange(text, {}));
    answer.Send(wire::Json{{wire::kResult, control::Run(request)}});
  } catch (const Error& error) {
    answer.Send(wire::Json{{wire::kError, wire::FromError(error)}});
  } catch (const std::exception& error) {
    spdlog::error("control request of pid {}: {}", caller.pid, error.what());
    answer.Send(
        wire::Json{{wire::kError, wire::FromError(Error(EIO, "run the request", error.what()))}});
  }
  answer.End();
}

// What sessions have been handed over, by user. Shared by all sessions and requests of a server.
class RequestLedger {
 public:
  // Throws Error EAGAIN if that is too much.
  void Take(uid_t uid, size_t bytes) {
    const std::lock_guard lock(mutex_);
    size_t& of_user = of_users_[uid];
    if (of_all_ + bytes > kMaxRequestsBytes || of_user + bytes > kMaxRequestsBytesOfUser) {
      throw Error(EAGAIN, "take the request", "too many others have not ended", "Try again later");
    }
    of_all_ += bytes;
    of_user += bytes;
  }
  void Give(uid_t uid, size_t bytes) noexcept {
    const std::lock_guard lock(mutex_);
    const auto of_user = of_users_.find(uid);
    of_all_ -= bytes;
    of_user->second -= bytes;
    if (of_user->second == 0) of_users_.erase(of_user);
  }

 private:
  std::mutex mutex_;
  size_t of_all_ = 0;
  std::map<uid_t, size_t> of_users_;
};

// What one request is counted with in the ledger, from its first piece to its end. For one thread at a time.
class RequestBytes {
 public:
  RequestBytes(std::shared_ptr<RequestLedger> ledger, uid_t uid)
      : ledger_(std::move(ledger)), uid_(uid) {}
  ~RequestBytes() {
    if (counted_ != 0) ledger_->Give(uid_, counted_);
  }
  RequestBytes(const RequestBytes&) = delete;
  RequestBytes& operator=(const RequestBytes&) = delete;

  // The request has so many now. Throws Error EAGAIN.
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

// The threads that run requests. Owned by the server; sessions reach it through a weak pointer,
// for they may outlive it by a moment.
class Workers {
 public:
  explicit Workers(Verbs& verbs) : verbs_(verbs) {}
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  ~Workers() {
    {
      const std::lock_guard lock(mutex_);
      // Nobody will read on: imports give up, and no thread waits for a reader.
      for (const Worker& worker : workers_) worker.answer->Close();
    }
    workers_.clear();  // joins
  }

  // Throws Error EAGAIN if too many run. `bytes`: what the request has been counted with, until it has ended.
  void Start(const ControlCaller& caller, std::string text, std::shared_ptr<RequestBytes> bytes,
             std::shared_ptr<AnswerStream> answer) {
    const std::lock_guard lock(mutex_);
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

  void RequirePlace(uid_t uid) const {
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
  std::mutex mutex_;
  std::list<Worker> workers_;
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
    const std::lock_guard lock(mutex_);
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
      const std::lock_guard lock(mutex_);
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
    } catch (const std::system_error& error) {  // no thread to be had
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
  std::mutex mutex_;
  std::string request_;
  std::shared_ptr<RequestBytes> bytes_;
  bool started_ = false;
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
