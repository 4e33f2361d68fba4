#include "backend/dm/template_store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <utility>

#include "backend/base/directory.h"
#include "backend/base/error.h"
#include "backend/base/failpoint.h"
#include "backend/base/json_number.h"
#include "backend/base/partial_file.h"
#include "backend/base/sparse_copy.h"
#include "backend/base/store_file.h"
#include "backend/base/time.h"
#include "backend/dm/content_hash.h"
#include "backend/dm/cow_file.h"
#include "backend/dm/volume_file.h"
#include "backend/mount/disk_space.h"

namespace ckptfs {
namespace {

constexpr uint64_t kMaxNoteBytes = uint64_t{64} << 10;
constexpr char kPutTemplateBack[] =
    "Put the image back from where it was moved to, or from a backup: all workspaces and snapshots "
    "that were made from it need it as it was";

std::string ImageName(const TemplateId& id) { return id.str() + ".img"; }
std::string NoteName(const TemplateId& id) { return id.str() + ".json"; }

std::string SerializeNote(const TemplateInfo& info) {
  return nlohmann::json{{"id", info.id.str()},           {"label", info.label},
                        {"created_ns", info.created_ns}, {"filesystem", info.filesystem},
                        {"size_bytes", info.size_bytes}, {"inode", info.inode},
                        {"sha256", info.sha256}}
             .dump(2) +
         "\n";
}

// Empty if it is not a valid note.
std::optional<TemplateInfo> ParseNote(const std::string& text) {
  try {
    const auto json = nlohmann::json::parse(text);
    const std::optional<Uuid> id = Uuid::Parse(json.at("id").get<std::string>());
    if (!id) return std::nullopt;
    return TemplateInfo{.id = *id,
                        .label = json.at("label"),
                        .created_ns = WholeNumber<int64_t>(json.at("created_ns")),
                        .filesystem = json.at("filesystem"),
                        .size_bytes = WholeNumber<uint64_t>(json.at("size_bytes")),
                        .inode = WholeNumber<uint64_t>(json.at("inode")),
                        .sha256 = json.at("sha256")};
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;
  } catch (const Error&) {  // an invalid number
    return std::nullopt;
  }
}

std::optional<TemplateInfo> ReadNote(int bases_fd, const std::string& name) {
  const UniqueFd fd = TryOpenStoreFile(bases_fd, name, O_RDONLY, kMaxNoteBytes);
  struct stat status {};
  if (!fd.valid() || fstat(fd.get(), &status) != 0) return {};
  std::string text(static_cast<size_t>(status.st_size), '\0');
  const ssize_t got = read(fd.get(), text.data(), text.size());
  return got == status.st_size ? ParseNote(text) : std::nullopt;
}

struct stat StatusOf(int fd) {
  struct stat status {};
  CheckSyscall(fstat(fd, &status), "look at an image");
  return status;
}

// A loop device uses whole blocks only.
void RoundUp(int fd) {
  const auto size = static_cast<uint64_t>(StatusOf(fd).st_size);
  const uint64_t whole = (size + kCowChunkBytes - 1) / kCowChunkBytes * kCowChunkBytes;
  if (whole != size) {
    CheckSyscall(ftruncate(fd, static_cast<off_t>(whole)), "round up the size of an image");
  }
}

// An image being created. It goes through the same steps whatever its source.
class NewImage final : public PendingTemplate {
 public:
  using Learn = std::function<TemplateInfo(TemplateInfo)>;

  NewImage(int bases_fd, std::string label, Learn learn)
      : bases_fd_(bases_fd), learn_(std::move(learn)), image_(bases_fd, ImageName(id_)) {
    info_.id = id_;
    info_.label = std::move(label);
    info_.created_ns = NowNs();
  }

  int fd() const { return image_.fd(); }
  int root_fd() const noexcept override { return root_.get(); }

  // Replays the journal; fails if the filesystem is damaged.
  void MountFilesystem() {
    const ImageFilesystem* filesystem = ImageFilesystem::In(image_.fd());
    if (filesystem == nullptr) {
      throw Error(EINVAL, "use an image as a template", "there is neither ext4 nor xfs in it",
                  "Give an image of one filesystem, without a partition table");
    }
    if (const std::string lack = filesystem->Lack(image_.fd()); !lack.empty()) {
      throw Error(EINVAL, "use an image as a template",
                  fmt::format("the {} in it has no {}", filesystem->name(), lack),
                  fmt::format("Give it one: tune2fs -O {}", lack));
    }
    if (const uint64_t bytes = filesystem->SectorBytes(image_.fd()); bytes < kCowChunkBytes) {
      throw Error(
          EINVAL, "use an image as a template",
          fmt::format("its {} has {} of {} bytes; at least {} are needed", filesystem->name(),
                      filesystem->name() == "xfs" ? "sectors" : "blocks", bytes, kCowChunkBytes),
          "Make it with mkfs.ext4 -b 4096 or mkfs.xfs -s size=4096");
    }
    info_.filesystem = filesystem->name();
    RoundUp(image_.fd());
    loop_.emplace(image_.fd(), LoopOptions{.name = "ckptfs-" + image_.partial_name()});
    root_ = filesystem->Mount(loop_->path(), {.access_times = {.rule = AccessTimeRule::kNone}});
  }

  TemplateInfo Finish() override {
    CheckSyscall(syncfs(root_.get()), "write out a template");
    root_.Reset();
    loop_.reset();
    if (const auto device = WaitUntilDetached(image_.fd())) {
      throw Error(EBUSY, "finish a template", "its image is still attached as " + *device);
    }
    CheckSyscall(fchmod(image_.fd(), 0400), "protect a template");
    const struct stat status = StatusOf(image_.fd());
    info_.size_bytes = static_cast<uint64_t>(status.st_size);
    info_.inode = status.st_ino;
    info_.sha256 = HashContent(image_.fd());
    Failpoint("template.before-note");
    PartialFile note(bases_fd_, NoteName(id_));
    note.Write(SerializeNote(info_));
    note.Keep();
    // If power fails here: a note without an image, which the next start removes.
    Failpoint("template.after-note");
    image_.Keep("template.after-rename");
    return learn_(info_);
  }

 private:
  const TemplateId id_ = TemplateId::Generate();
  const int bases_fd_;
  const Learn learn_;
  TemplateInfo info_;
  PartialFile image_;
  std::optional<LoopDevice> loop_;
  UniqueFd root_;  // last: released before its device
};

}  // namespace

bool IsTemplateFile(std::string_view name) {
  const size_t dot = name.find('.');
  const auto id = TemplateId::Parse(name.substr(0, dot));
  return id && (name == ImageName(*id) || name == NoteName(*id));
}

TemplateStore::TemplateStore(int bases_fd, int volumes_fd, Options options)
    : bases_fd_(bases_fd), volumes_fd_(volumes_fd), options_(std::move(options)) {
  for (TemplateInfo& info : List()) Learn(std::move(info));
}

TemplateInfo TemplateStore::Learn(TemplateInfo info) {
  const MutexLock lock(mutex_);
  known_[info.id] = {.info = info, .loop = {}};
  return info;
}

void TemplateStore::Expect(const TemplateInfo& info) { Learn(info); }

TemplateStore::Known& TemplateStore::KnownLocked(const TemplateId& id) const {
  const auto known = known_.find(id);
  if (known != known_.end()) return known->second;
  throw Error(EIO, fmt::format("use template {}", id.str()), "it has no description",
              kPutTemplateBack);
}

TemplateInfo TemplateStore::Info(const TemplateId& id) const {
  const MutexLock lock(mutex_);
  return KnownLocked(id).info;
}

std::unique_ptr<PendingTemplate> TemplateStore::Begin(const std::string& label,
                                                      const std::string& filesystem,
                                                      uint64_t size_bytes) {
  const ImageFilesystem& kind = ImageFilesystem::Named(filesystem);
  if (size_bytes < kind.MinBytes()) {
    throw Error(EINVAL, fmt::format("make a template of {} bytes", size_bytes),
                fmt::format("{} needs at least {} MiB", filesystem, kind.MinBytes() >> 20),
                fmt::format("Give size={}M or more", kind.MinBytes() >> 20));
  }
  auto image = std::make_unique<NewImage>(
      bases_fd_, label, [this](TemplateInfo info) { return Learn(std::move(info)); });
  CheckSyscall(ftruncate(image->fd(), static_cast<off_t>(size_bytes - size_bytes % kCowChunkBytes)),
               "make a template");
  kind.Make(image->fd());
  image->MountFilesystem();
  if (unlinkat(image->root_fd(), "lost+found", AT_REMOVEDIR) != 0 && errno != ENOENT) {
    ThrowErrno("remove lost+found from a new template");
  }
  return image;
}

TemplateInfo TemplateStore::Import(const std::string& label, int image_fd,
                                   const std::function<void(int root_fd)>& check) {
  if (!S_ISREG(StatusOf(image_fd).st_mode)) {
    throw Error(EINVAL, "use an image as a template", "it is no regular file");
  }
  NewImage image(bases_fd_, label, [this](TemplateInfo info) { return Learn(std::move(info)); });
  CopySparse(image_fd, image.fd());
  image.MountFilesystem();
  if (check) check(image.root_fd());
  return image.Finish();
}

TemplateInfo TemplateStore::Flatten(const std::string& label, const VolumeId& volume) {
  const UniqueFd file = OpenVolumeFile(volumes_fd_, volume, O_RDONLY);
  const VolumeHeader header = ReadVolumeHeader(file.get());
  if (!header.read_only) {
    throw Error(EINVAL, fmt::format("flatten volume {}", volume.str()), "it is writable");
  }
  NewImage image(bases_fd_, label, [this](TemplateInfo info) { return Learn(std::move(info)); });
  UniqueFd base;
  {
    const MutexLock lock(mutex_);
    base = VerifyLocked(KnownLocked(header.base));
  }
  CopySparse(base.get(), image.fd());
  options_.fill(file.get(), header, image.fd());
  // Deleted while it was read: its name goes before its content, parts of which may have been missing.
  if (!HasEntry(volumes_fd_, VolumeFileName(volume))) {
    throw Error(ENOENT, fmt::format("flatten volume {}", volume.str()), "it was deleted meanwhile");
  }
  image.MountFilesystem();
  return image.Finish();
}

bool TemplateStore::Remove(const TemplateId& id) {
  const std::string attempted = fmt::format("remove template {}", id.str());
  const MutexLock lock(mutex_);
  for (const std::string& name : ReadDirectory(volumes_fd_)) {
    const std::optional<VolumeId> volume = VolumeOfFile(name);
    if (volume && TemplateOf(*volume) == id) {
      throw Error(EBUSY, attempted, fmt::format("volume {} is based on it", volume->str()));
    }
  }
  const bool removed = unlinkat(bases_fd_, ImageName(id).c_str(), 0) == 0;
  if (!removed && errno != ENOENT) ThrowErrno(attempted);
  Failpoint("template.after-unlink");
  if (unlinkat(bases_fd_, NoteName(id).c_str(), 0) != 0 && errno != ENOENT) ThrowErrno(attempted);
  CheckSyscall(fsync(bases_fd_), attempted);
  known_.erase(id);
  return removed;
}

void TemplateStore::RemoveLoneNotes() {
  for (const TemplateInfo& info : List()) {
    if (HasEntry(bases_fd_, ImageName(info.id))) continue;
    try {
      Remove(info.id);
    } catch (const Error&) {
      spdlog::error("template {}: its image bases/{} is gone. {}", info.label, ImageName(info.id),
                    kPutTemplateBack);
    }
  }
}

std::vector<TemplateInfo> TemplateStore::List() const {
  std::vector<TemplateInfo> templates;
  for (const std::string& name : ReadDirectory(bases_fd_)) {
    if (!name.ends_with(".json")) continue;
    std::optional<TemplateInfo> info = ReadNote(bases_fd_, name);
    if (info && name == NoteName(info->id)) templates.push_back(*std::move(info));
  }
  std::sort(templates.begin(), templates.end(), [](const TemplateInfo& a, const TemplateInfo& b) {
    return a.created_ns < b.created_ns;
  });
  return templates;
}

TemplateId TemplateStore::Labelled(const std::string& label) const {
  const MutexLock lock(mutex_);
  for (const auto& [id, known] : known_) {
    if (known.info.label == label) return id;
  }
  throw Error(ENOENT, fmt::format("make a volume from template {}", label), "there is none",
              "Add one of that name");
}

void TemplateStore::Verify(const TemplateId& id) {
  const MutexLock lock(mutex_);
  VerifyLocked(KnownLocked(id));
}

// Returns the verified image. The first caller waits until it has been read.
UniqueFd TemplateStore::VerifyLocked(Known& known) const {
  const TemplateInfo& info = known.info;
  const std::string attempted = fmt::format("use template {}", info.label);
  UniqueFd fd = TryOpenStoreFile(bases_fd_, ImageName(info.id), O_RDONLY);
  if (!fd.valid() && errno == EUCLEAN) {
    throw Error(EIO, attempted,
                fmt::format("its image bases/{} is no regular file", ImageName(info.id)),
                kPutTemplateBack);
  }
  if (!fd.valid() && errno == ENOENT) {
    throw Error(EIO, attempted, fmt::format("its image bases/{} is gone", ImageName(info.id)),
                kPutTemplateBack);
  }
  CheckSyscall(fd.get(), attempted);
  const struct stat status = StatusOf(fd.get());
  const auto refuse = [&](const std::string& why) {
    throw Error(EUCLEAN, attempted,
                fmt::format("its image bases/{} has changed: {}", ImageName(info.id), why),
                kPutTemplateBack);
  };
  if (static_cast<uint64_t>(status.st_size) != info.size_bytes) {
    refuse(fmt::format("it has {} bytes and had {}", status.st_size, info.size_bytes));
  }
  const int64_t ctime_ns = int64_t{status.st_ctim.tv_sec} * 1'000'000'000 + status.st_ctim.tv_nsec;
  if (status.st_ino == known.verified_inode && ctime_ns == known.verified_ctime_ns) return fd;
  if (const std::string now = HashContent(fd.get()); now != info.sha256) {
    refuse(fmt::format("its content has SHA-256 {} and had {}", now, info.sha256));
  }
  if (status.st_ino != info.inode) {
    spdlog::info("template {}: its image is another file, with the same content", info.label);
  }
  known.verified_inode = status.st_ino;
  known.verified_ctime_ns = ctime_ns;
  return fd;
}

std::shared_ptr<const LoopDevice> TemplateStore::Attach(const TemplateId& id) {
  const MutexLock lock(mutex_);
  Known& known = KnownLocked(id);
  const UniqueFd image = VerifyLocked(known);
  std::shared_ptr<const LoopDevice> loop = known.loop.lock();
  if (!loop) {
    loop = std::make_shared<const LoopDevice>(image.get(),
                                              LoopOptions{.read_only = true,
                                                          .sector_bytes = options_.sector_bytes,
                                                          .name = "ckptfs-base-" + id.str()});
    known.loop = loop;
  }
  return loop;
}

std::optional<TemplateId> TemplateStore::TemplateOf(const VolumeId& volume) const {
  try {
    return ReadVolumeHeader(OpenVolumeFile(volumes_fd_, volume, O_RDONLY).get()).base;
  } catch (const Error& error) {
    if (error.errno_value() == ENOENT) return std::nullopt;
    throw;
  }
}

uint64_t TemplateStore::DiskBytes(const TemplateId& id) const {
  struct stat status {};
  CheckSyscall(fstatat(bases_fd_, ImageName(id).c_str(), &status, AT_SYMLINK_NOFOLLOW),
               fmt::format("look at template {}", id.str()));
  return AllocatedBytes(status);
}

}  // namespace ckptfs
