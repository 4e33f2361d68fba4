#include "backend/dm/thin_state.h"

#include <unistd.h>

#include <cerrno>

#include "backend/base/error.h"
#include "backend/base/json_number.h"
#include "backend/dm/sector_json.h"

namespace ckptfs {
namespace {

constexpr char kStateFormat[] = "ckptfs thin pool 1";
constexpr char kReadingState[] = "read the state of the thin pool";
constexpr char kWritingState[] = "write the state of the thin pool";

}  // namespace

ThinState ReadThinState(int fd) {
  const nlohmann::json json = ReadSectorJson(fd, kReadingState);
  try {
    ThinState state;
    if (json.at("format") == kStateFormat) {
      state.transaction = WholeNumber<uint64_t>(json.at("transaction"));
      state.next_device = WholeNumber<uint32_t>(json.at("next_device"));
      // If it is unreadable, it does not count as missing: otherwise any disk would get a new mark.
      bool sound = true;
      if (json.contains("data_mark")) {
        state.data_mark = Uuid::Parse(json.at("data_mark").get<std::string>());
        sound = state.data_mark.has_value();
      }
      if (json.contains("pending")) {
        const auto& pending = json.at("pending");
        auto volume = VolumeId::Parse(pending.at("volume").get<std::string>());
        sound = sound && volume;
        const auto device = WholeNumber<uint32_t>(pending.at("device"));
        if (volume) state.pending = {.device = device, .volume = *std::move(volume)};
      }
      if (sound) return state;
    }
  } catch (const nlohmann::json::exception&) {
    // Reported below.
  }
  throw Error(EUCLEAN, kReadingState, "pool/state is damaged",
              "Put the files in pool/ and the volumes' directory back from one backup");
}

void WriteThinState(int fd, const ThinState& state) {
  nlohmann::json json{{"format", kStateFormat},
                      {"transaction", state.transaction},
                      {"next_device", state.next_device}};
  if (state.pending) {
    json["pending"] = {{"device", state.pending->device}, {"volume", state.pending->volume.str()}};
  }
  if (state.data_mark) json["data_mark"] = state.data_mark->str();
  WriteSectorJson(fd, json, kWritingState);
  CheckSyscall(fdatasync(fd), kWritingState);
}

}  // namespace ckptfs
