// Commands about templates, and workspaces made from them.
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>

#include <cerrno>
#include <utility>

#include "backend/base/time.h"
#include "fs/control/control_requests.h"
#include "fs/nodes/attributes.h"
#include "fs/nodes/thread_credentials.h"

namespace ckptfs::control {
namespace {

using wire::Json;

Json ToJson(const Request& request, const TemplateInfo& info) {
  Json users = Json::array();
  if (request.MayListWorkspaces()) {
    for (const std::string& user : request.store().TemplateUsers(info.id)) users.push_back(user);
  }
  return Json{{"name", info.label},
              {"id", info.id.str()},
              {"created", FormatRfc3339(info.created_ns)},
              {"filesystem", info.filesystem},
              {"size_bytes", info.size_bytes},
              {"disk_bytes", TemplateDiskBytes(request.store(), info.id)},
              {"sha256", info.sha256},
              {"users", std::move(users)}};
}

void RequireRoot(const Request& request) {
  request.Require(Right::kManageStore);
  request.RequireChangesToMount();
}

TemplateInfo AddFromFile(const Request& request, const std::string& name) {
  const UniqueFd source = OpenCallersFile(request, "open what is to be a template");
  struct stat info {};
  CheckSyscall(fstat(source.get(), &info), "look at what is to be a template");
  const std::optional<uint64_t> size =
      request.Has("size_bytes") ? std::optional(request.Number("size_bytes")) : std::nullopt;
  if (!S_ISDIR(info.st_mode)) {
    if (size || request.Has("filesystem")) {
      throw Error(EINVAL, "add template " + name,
                  "an image brings its size and its filesystem with it",
                  "Leave --size and --filesystem out");
    }
    return request.store().AddTemplateFromImage(name, source.get());
  }
  const std::string filesystem = request.Has("filesystem") ? request.Text("filesystem") : "ext4";
  return request.store().AddTemplate(name, filesystem, size, [&](int root_fd) {
    ImportOptions options = ImportOptionsFor(request);
    options.free_bytes.reset();  // of the disk; here the template's own size is the limit
    const KeepSetId keep(true);  // as for an import
    ImportTree(source.get(), root_fd, options);
  });
}

}  // namespace

Json TemplateDiskBytes(Store& store, const TemplateId& id) {
  try {
    TemplateKeeper* keeper = store.backend().templates();
    return keeper == nullptr ? Json() : Json(keeper->DiskBytes(id));
  } catch (const Error&) {
    return nullptr;  // its image is gone
  }
}

Json Create(const Request& request) {
  request.RequireChangesToMount();
  request.Require(Right::kCreateWorkspace);
  const auto mode = static_cast<mode_t>(request.Number("mode"));
  const RootAttributes root = NewDirectoryBelow(request.store().rows().MountRoot(), mode,
                                                request.caller.uid, request.caller.gid);
  return Json{
      {"workspace",
       request.verbs.CreateWorkspace(request.Text("name"), root, request.Text("template")).name}};
}

Json Templates(const Request& request) {
  Json templates = Json::array();
  for (const TemplateInfo& info : request.store().ListTemplates()) {
    templates.push_back(ToJson(request, info));
  }
  return templates;
}

Json TemplateAdd(const Request& request) {
  RequireRoot(request);
  const std::string name = request.Text("name");
  const TemplateInfo info =
      request.Has("snapshot")
          ? request.store().AddTemplateFromSnapshot(name, request.Snapshot(request.Workspace()).id)
          : AddFromFile(request, name);
  spdlog::info("add template {}", name);
  return ToJson(request, info);
}

Json TemplateRemove(const Request& request) {
  RequireRoot(request);
  const std::string name = request.Text("name");
  request.store().RemoveTemplate(name);
  spdlog::info("remove template {}", name);
  return Json::object();
}

}  // namespace ckptfs::control
