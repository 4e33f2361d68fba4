// A catalog.db that somebody has changed: bytes of it, rows, or the tables themselves. An input is a list of such
// changes to a catalog that was sound.
#include <fcntl.h>
#include <fmt/format.h>
#include <fuzzer/FuzzedDataProvider.h>
#include <spdlog/spdlog.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <set>

#include "backend/base/error.h"
#include "catalog/db/catalog_transaction.h"
#include "catalog/trees/names.h"
#include "tests/unit/backend/test_store.h"

namespace ckptfs {
namespace {

constexpr char kOther[] = "other.db";  // the one that is changed
constexpr int kMostChanges = 8;

void Require(bool holds) {
  if (!holds) std::abort();
}

Uuid Numbered(int number) {
  return *Uuid::Parse(fmt::format("00000000-0000-4000-8000-{:012}", number));
}

void Fill(Catalog& catalog) {
  Catalog::Transaction transaction(catalog);
  for (int w = 1; w <= 2; ++w) {
    WorkspaceRecord workspace{.name = fmt::format("w{}", w),
                              .volume = Numbered(w),
                              .created_ns = 1,
                              .view = static_cast<uint64_t>(w)};
    const int64_t id = transaction.Insert(workspace);
    std::optional<int64_t> parent;
    for (int s = 1; s <= 3; ++s) {
      parent = transaction.Insert(SnapshotRecord{
          .uuid = Numbered(w * 10 + s),
          .workspace_id = id,
          .name = fmt::format("s{}", s),
          .volume = Numbered(w * 10 + s),
          .created_ns = s,
          .message = "message",
          .parent_id = parent,
          .kind = s == 3 ? SnapshotKind::kPreRollback : SnapshotKind::kManual,
          .view = static_cast<uint64_t>(4096 + w * 10 + s),
          .root = {.mode = S_IFDIR | 0755, .xattr_names = std::string("user.a\0", 7)}});
      transaction.SetOpenWriters(*parent,
                                 {.named = {{.pid = 1, .command = "c", .path = "p"}}, .total = 1});
    }
    transaction.SetLive(id, workspace.volume, parent, 5);
  }
  transaction.AddTombstone(Numbered(99), 77, 1);
  transaction.Commit();
}

// Removes that catalog, with all that SQLite keeps beside it.
void Remove(int directory_fd, const std::string& name) {
  for (const char* suffix : Catalog::kSuffixes) {
    unlinkat(directory_fd, (name + suffix).c_str(), 0);
  }
}

// Where all of it happens, and the sound catalog as bytes.
class Place {
 public:
  Place() {
    const StoreFacts facts{.uuid = Numbered(1000),
                           .created_ns = 1,
                           .backend_type = "btrfs-loop",
                           .backend_selection = "auto",
                           .backend_selected_ns = 1};
    Catalog::Create(directory_.fd(), kOther, facts);
    Fill(*Catalog::Open(directory_.fd(), kOther, CatalogCheck::kFull));
    sound_ = ReadFileAt(directory_.fd(), kOther);
    Remove(directory_.fd(), kOther);
  }
  int fd() const { return directory_.fd(); }
  const std::string& sound() const { return sound_; }
  std::string Path() const { return directory_.Path(kOther); }

 private:
  TestDirectory directory_;
  std::string sound_;
};

void ChangeByte(FuzzedDataProvider& input, std::string& bytes) {
  if (bytes.empty()) return;
  const auto at = input.ConsumeIntegralInRange<size_t>(0, bytes.size() - 1);
  bytes[at] = static_cast<char>(input.ConsumeIntegral<uint8_t>());
}

void MovePage(FuzzedDataProvider& input, std::string& bytes) {
  constexpr size_t kPage = 4096;
  if (bytes.size() < kPage) return;
  const size_t last = bytes.size() / kPage - 1;
  const auto from = input.ConsumeIntegralInRange<size_t>(0, last);
  const auto to = input.ConsumeIntegralInRange<size_t>(0, last);
  bytes.replace(to * kPage, kPage, std::string(bytes, from * kPage, kPage));
}

void CutOff(FuzzedDataProvider& input, std::string& bytes) {
  bytes.resize(input.ConsumeIntegralInRange<size_t>(0, bytes.size()));
}

// By SQLite itself, without the rules of the tables.
class Editor {
 public:
  explicit Editor(const std::string& path) : path_(path) { Open(); }
  ~Editor() { sqlite3_close(database_); }
  Editor(const Editor&) = delete;
  Editor& operator=(const Editor&) = delete;

  void ChangeRow(FuzzedDataProvider& input) {
    static constexpr std::array kColumns = {"store.uuid",
                                            "store.created_ns",
                                            "store.backend_type",
                                            "store.generation",
                                            "store.root_mode",
                                            "store.root_acl",
                                            "workspace.id",
                                            "workspace.name",
                                            "workspace.volume",
                                            "workspace.view",
                                            "workspace.parent_id",
                                            "workspace.created_ns",
                                            "snapshot.id",
                                            "snapshot.uuid",
                                            "snapshot.workspace_id",
                                            "snapshot.name",
                                            "snapshot.volume",
                                            "snapshot.created_ns",
                                            "snapshot.message",
                                            "snapshot.metadata",
                                            "snapshot.pinned",
                                            "snapshot.parent_id",
                                            "snapshot.kind",
                                            "snapshot.missing",
                                            "snapshot.view",
                                            "snapshot.root_mode",
                                            "snapshot.root_xattr_names",
                                            "tombstone.volume",
                                            "tombstone.view",
                                            "view_range.first",
                                            "view_range.given",
                                            "open_writer.position",
                                            "open_writer.path",
                                            "snapshot.open_writers",
                                            "sqlite_sequence.seq",
                                            "workspace.snapshots_changed_ns"};
    const std::string column = input.PickValueInArray(kColumns);
    const size_t dot = column.find('.');
    Relax();
    Run(
        fmt::format("UPDATE {} SET {} = {} WHERE abs(random()) % 1 = 0 AND (1 = {} OR {} = (SELECT "
                    "min({}) FROM {}))",
                    column.substr(0, dot), column.substr(dot + 1), Value(input),
                    input.ConsumeIntegralInRange(0, 1), column.substr(dot + 1),
                    column.substr(dot + 1), column.substr(0, dot)));
    Tighten();
  }

  void ChangeTable(FuzzedDataProvider& input) {
    static constexpr std::array kWords = {"INTEGER",  "TEXT",   "NOT NULL", "STRICT",
                                          "snapshot", "CREATE", "(",        ")",
                                          ",",        "name",   "UNIQUE"};
    Run("PRAGMA writable_schema = ON");
    const std::string to = input.ConsumeRandomLengthString(40);
    Run(fmt::format(
        "UPDATE sqlite_schema SET sql = replace(sql, '{}', CAST(x'{}' AS TEXT)) WHERE rowid = {}",
        input.PickValueInArray(kWords), Hex(to), input.ConsumeIntegralInRange(1, 20)));
  }

  void RunAny(FuzzedDataProvider& input) { Run(input.ConsumeRandomLengthString(200)); }

 private:
  void Open() {
    Require(sqlite3_open(path_.c_str(), &database_) == SQLITE_OK);
    // What an input says must not lead out of the place, or on for ever.
    sqlite3_limit(database_, SQLITE_LIMIT_ATTACHED, 0);
    sqlite3_limit(database_, SQLITE_LIMIT_LENGTH, 1 << 21);
    sqlite3_progress_handler(
        database_, 100'000, [](void* /*context*/) { return 1; }, nullptr);
    Run("PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON; PRAGMA journal_mode = "
        "DELETE");
  }
  void Reopen() {
    sqlite3_close(database_);
    Open();
  }
  // Whether that works is the input's affair.
  void Run(const std::string& sql) {
    sqlite3_exec(database_, sql.c_str(), nullptr, nullptr, nullptr);
  }
  void Relax() {
    Run("PRAGMA writable_schema = ON; CREATE TABLE kept AS SELECT rowid AS r, sql FROM "
        "sqlite_schema;"
        "UPDATE sqlite_schema SET sql = replace(replace(sql, 'STRICT, ', ''), 'STRICT', '') WHERE "
        "name != 'kept'");
    Reopen();
  }
  void Tighten() {
    Run("PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = (SELECT sql FROM kept WHERE r "
        "= sqlite_schema.rowid) "
        "WHERE name != 'kept'; DROP TABLE kept");
    Reopen();
  }
  static std::string Hex(std::string_view bytes) {
    std::string text;
    for (const char byte : bytes) text += fmt::format("{:02x}", static_cast<uint8_t>(byte));
    return text;
  }
  static std::string Value(FuzzedDataProvider& input) {
    static constexpr std::array kValues = {"NULL",
                                           "0",
                                           "-1",
                                           "1",
                                           "2",
                                           "4096",
                                           "16777215",
                                           "16777216",
                                           "9223372036854775807",
                                           "-9223372036854775808",
                                           "1e308",
                                           "''",
                                           "'.'",
                                           "'..'",
                                           "'../x'",
                                           "'latest'",
                                           "x''",
                                           "zeroblob(70000)",
                                           "hex(zeroblob(300000))",
                                           "id",
                                           "parent_id",
                                           "volume",
                                           "name",
                                           "view",
                                           "uuid",
                                           "'00000000-0000-4000-8000-000000000001'"};
    if (input.ConsumeBool()) return input.PickValueInArray(kValues);
    return fmt::format("CAST(x'{}' AS {})", Hex(input.ConsumeRandomLengthString(300)),
                       input.ConsumeBool() ? "TEXT" : "BLOB");
  }

  const std::string path_;
  sqlite3* database_ = nullptr;
};

void WriteWhole(const Place& place, const std::string& bytes) {
  Remove(place.fd(), kOther);
  WriteFileAt(place.fd(), kOther, bytes);
}

// Applies what the input says, in the file.
void Apply(FuzzedDataProvider& input, const Place& place) {
  std::string bytes = place.sound();
  WriteWhole(place, bytes);
  for (int i = 0; i < kMostChanges && input.remaining_bytes() > 0; ++i) {
    const int kind = input.ConsumeIntegralInRange(0, 5);
    if (kind < 3) {
      bytes = ReadFileAt(place.fd(), kOther);
      if (kind == 0) ChangeByte(input, bytes);
      if (kind == 1) MovePage(input, bytes);
      if (kind == 2) CutOff(input, bytes);
      WriteWhole(place, bytes);
    } else {
      Editor editor(place.Path());
      if (kind == 3) editor.ChangeRow(input);
      if (kind == 4) editor.ChangeTable(input);
      if (kind == 5) editor.RunAny(input);
    }
  }
}

// Of a catalog that was taken for sound: all of it can be read, and it can be written to.
void Use(Catalog& catalog) {
  std::set<std::string> volumes;
  for (const WorkspaceRecord& workspace : catalog.ListWorkspaces()) {
    CheckName("workspace", workspace.name);
    Require(volumes.insert(workspace.volume.str()).second);
    Require(catalog.FindWorkspace(workspace.id)->name == workspace.name);
    catalog.NewestCheckpoint(workspace.id, 1);
    catalog.SurplusUndo(workspace.id, 0, 100);
  }
  for (const SnapshotRecord& snapshot : catalog.ListAllSnapshots()) {
    CheckName("snapshot", snapshot.name);
    Require(volumes.insert(snapshot.volume.str()).second);
    Require(catalog.FindWorkspace(snapshot.workspace_id).has_value());
    catalog.OpenWriters(snapshot.id);
  }
  catalog.Verify();
  Catalog::Transaction transaction(catalog);
  const int64_t id =
      transaction.Insert(WorkspaceRecord{.name = "new",
                                         .volume = Uuid::Generate(),
                                         .created_ns = 1,
                                         .view = catalog.NextView(ViewUse::kWorkspace)});
  transaction.TouchSnapshots(id, 1);
  transaction.Commit();
}

void Fuzz(FuzzedDataProvider& input) {
  static const Place place;
  Apply(input, place);
  std::unique_ptr<Catalog> catalog;
  try {
    catalog = Catalog::Open(place.fd(), kOther, CatalogCheck::kFull);
  } catch (const Error& error) {
    const int number = error.errno_value();
    Require(number == EUCLEAN || number == ENOTSUP);
    return;
  }
  try {
    Use(*catalog);
  } catch (const Error& error) {
    // What an opening does not look at, as whether an index has what its table has, may be found later.
    const int number = error.errno_value();
    Require(number == EUCLEAN || number == EEXIST);
    return;
  }
  catalog.reset();
  // It stays sound.
  Catalog::Open(place.fd(), kOther, CatalogCheck::kFull);
}

}  // namespace
}  // namespace ckptfs

extern "C" int LLVMFuzzerInitialize(int* /*count*/, char*** /*arguments*/) {
  spdlog::set_level(spdlog::level::off);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzedDataProvider input(data, size);
  ckptfs::Fuzz(input);
  return 0;
}
