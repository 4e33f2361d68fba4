#include "fs/control.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <exception>
#include <list>
#include <mutex>
#include <thread>
#include <utility>

#include "fs/answer_stream.h"
#include "fs/control_protocol.h"
#include "fs/control_requests.h"

namespace ckptfs {
namespace {

// Requests that run at once; one more gets EAGAIN.
constexpr size_t kMaxRunning = 64;
// Of requests that users other than root have handed over and not started, all together.
constexpr size_t kMaxWaitingBytes = size_t{32} << 20;
// Of kMaxRunning for one user other than root. A request takes its place for as long as its answer is
// not read.
constexpr size_t kMaxRunningOfUser = 16;
// Of kMaxRunning: where answers are not read, root can still see what there is.
constexpr size_t kKeptForRoot = 16;

// Runs a request to its end, whatever happens in it.
void RunRequest(Verbs& verbs, const ControlCaller& caller, const std::string& text,
                AnswerStream& answer) {
  try {
    const control::Request request = control::ParseRequest(verbs, caller, answer, text);
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

  // What a session keeps of a request. Throws Error EAGAIN if that is too much.
  void TakeBytes(const ControlCaller& caller, size_t bytes) {
    if (caller.uid == 0) return;
    if (waiting_bytes_.fetch_add(bytes) + bytes <= kMaxWaitingBytes) return;
    waiting_bytes_ -= bytes;
    throw Error(EAGAIN, "take the request", "too many others have not been started",
                "Try again later");
  }
  void GiveBytes(const ControlCaller& caller, size_t bytes) noexcept {
    if (caller.uid != 0) waiting_bytes_ -= bytes;
  }

  // Throws Error EAGAIN if too many run.
  void Start(const ControlCaller& caller, std::string text, std::shared_ptr<AnswerStream> answer) {
    const std::lock_guard lock(mutex_);
    std::erase_if(workers_, [](const Worker& worker) { return worker.ended->load(); });
    const size_t limit = caller.uid == 0 ? kMaxRunning : kMaxRunning - kKeptForRoot;
    if (workers_.size() >= limit) {
      throw Error(EAGAIN, "run the request", fmt::format("{} others are running", workers_.size()),
                  "Try again when one has ended");
    }
    if (caller.uid != 0) RequirePlaceOf(caller.uid);
    auto ended = std::make_shared<std::atomic<bool>>(false);
    std::jthread thread([this, caller, text = std::move(text), answer, ended] {
      RunRequest(verbs_, caller, text, *answer);
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

  void RequirePlaceOf(uid_t uid) const {
    const auto running = std::count_if(workers_.begin(), workers_.end(),
                                       [uid](const Worker& worker) { return worker.uid == uid; });
    if (static_cast<size_t>(running) < kMaxRunningOfUser) return;
    throw Error(EAGAIN, "run the request", fmt::format("{} of yours are running", running),
                "Try again when one has ended");
  }

  Verbs& verbs_;
  std::mutex mutex_;
  std::list<Worker> workers_;
  std::atomic<size_t> waiting_bytes_ = 0;
};

class Session : public ControlSession {
 public:
  Session(const ControlCaller& caller, std::weak_ptr<Workers> workers)
      : caller_(caller), workers_(std::move(workers)) {}
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session() override {
    GiveBytes(request_.size());
    answer_->Close();
  }

  void Append(std::string_view piece) override {
    const std::lock_guard lock(mutex_);
    if (started_) ThrowStarted();
    if (request_.size() + piece.size() > kMaxRequestBytes) {
      throw Error(EFBIG, "take the request",
                  fmt::format("it is larger than {} bytes", kMaxRequestBytes));
    }
    const std::shared_ptr<Workers> workers = workers_.lock();
    if (workers) workers->TakeBytes(caller_, piece.size());
    request_ += piece;
  }

  void Run() override {
    std::string text;
    {
      const std::lock_guard lock(mutex_);
      if (std::exchange(started_, true)) ThrowStarted();
      text = std::exchange(request_, {});
    }
    GiveBytes(text.size());
    answer_->Start();
    try {
      const std::shared_ptr<Workers> workers = workers_.lock();
      if (!workers) throw Error(ESHUTDOWN, "run the request", "the filesystem is being unmounted");
      workers->Start(caller_, std::move(text), answer_);
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

  void GiveBytes(size_t bytes) noexcept {
    if (const std::shared_ptr<Workers> workers = workers_.lock())
      workers->GiveBytes(caller_, bytes);
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
  bool started_ = false;
};

class Server : public ControlServer {
 public:
  explicit Server(Verbs& verbs) : workers_(std::make_shared<Workers>(verbs)) {}

  std::shared_ptr<ControlSession> Open(const ControlCaller& caller) override {
    return std::make_shared<Session>(caller, workers_);
  }

 private:
  std::shared_ptr<Workers> workers_;
};

}  // namespace

std::unique_ptr<ControlServer> ControlServer::Create(Verbs& verbs) {
  return std::make_unique<Server>(verbs);
}

}  // namespace ckptfs
