// Requests to the control file, by the way that those of users take, on a real store. The first byte says who
// asks and by which file; the rest is the request.
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <memory>

#include "backend/base/error.h"
#include "tests/unit/catalog/store/whole_operations.h"
#include "tests/unit/fs/control/control_fixture.h"

namespace ckptfs {
namespace {

// What requests make is taken away now and then, or each would take longer than the one before.
constexpr int kRequestsOfAStore = 200;

void Require(bool holds) {
  if (!holds) std::abort();
}

// A store with two workspaces and some snapshots, and its control server.
class Place {
 public:
  Place() : store_(Store::Open(Options())) {
    store_->Keep();
    for (const char* name : {"w", "other"}) {
      const WorkspaceRecord made =
          store_->CreateWorkspace(name, {.mode = S_IFDIR | 0755, .uid = 0, .gid = 0, .acl = {}});
      WriteLive(*store_, name, "1");
      CheckpointWhole(*store_, made.id, {.name = "a"});
      WriteLive(*store_, name, "2");
      CheckpointWhole(*store_, made.id,
                      {.name = "b", .metadata = Metadata::Checked(R"({"k":[1]})")});
    }
    verbs_ = std::make_unique<StoreVerbs>(*store_);
    server_ = ControlServer::Create(*verbs_);
  }
  // Nobody can be left waiting: the last of it says what became of the request.
  void Ask(uint8_t who, std::string_view request) {
    const std::shared_ptr<ControlSession> session = server_->Open(CallerFor(who));
    session->Append(request);
    session->Run();
    std::string text;
    for (std::string piece; !(piece = ReadPiece(*session, 65536)).empty();) text += piece;
    Require(text.ends_with('\n'));
    const size_t last = text.rfind('\n', text.size() - 2);
    const wire::Json line =
        wire::Json::parse(text.substr(last == std::string::npos ? 0 : last + 1));
    Require(line.contains(wire::kResult) || line.contains(wire::kError));
  }
  // What the requests have left of it is a sound store.
  ~Place() {
    server_.reset();
    verbs_.reset();
    store_.reset();
    const auto again = Store::Open(Options());
    again->Keep();
    for (const WorkspaceRecord& workspace : again->rows().ListWorkspaces())
      again->rows().ListSnapshots(workspace.id);
    Require(again->Status().warnings.empty());
  }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;

 private:
  StoreOptions Options() const {
    StoreOptions options = TestStoreOptions(directory_.Path("store"));
    options.backend_options.size_bytes = uint64_t{256} << 20;
    return options;
  }
  ControlCaller CallerFor(uint8_t who) const {
    ControlCaller caller{.pid = getpid(), .uid = 1000, .gid = 1000};
    caller.may_change = (who & 1) != 0;
    if ((who & 2) != 0) caller.uid = caller.gid = 0;
    const auto workspace = store_->rows().FindWorkspace((who & 8) != 0 ? "other" : "w");
    if ((who & 4) != 0 && workspace) caller.workspace_id = workspace->id;
    return caller;
  }

  const TestDirectory directory_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<StoreVerbs> verbs_;
  std::unique_ptr<ControlServer> server_;
};

void Fuzz(uint8_t who, std::string_view request) {
  static std::unique_ptr<Place> place;
  static int requests = 0;
  if (requests++ % kRequestsOfAStore == 0) {
    place.reset();
    place = std::make_unique<Place>();
  }
  place->Ask(who, request);
}

}  // namespace
}  // namespace ckptfs

extern "C" int LLVMFuzzerInitialize(int* /*count*/, char*** /*arguments*/) {
  spdlog::set_level(spdlog::level::off);
  // Without rights or loop devices there is nothing to try it on.
  if (!ckptfs::CanUseLoopDevices()) std::exit(77);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  ckptfs::Fuzz(data[0], {reinterpret_cast<const char*>(data) + 1, size - 1});
  return 0;
}
