#include "fs/processes/asking_thread.h"

#include <chrono>
#include <fstream>
#include <string>
#include <string_view>
#include <thread>

#include "backend/base/packing.h"
#include "backend/base/scouts.h"

namespace ckptfs {
namespace {

// Right after its request the thread may still be about to sleep; /proc then says "running".
SystemCall ReadSystemCall(pid_t thread) {
  constexpr int kLooks = 50;
  constexpr std::chrono::microseconds kPause{200};
  const std::string path = "/proc/" + std::to_string(thread) + "/syscall";
  for (int look = 0; look < kLooks; ++look) {
    std::ifstream file(path);
    SystemCall call;
    if (file >> call.number) {
      for (unsigned long& argument : call.arguments) file >> std::hex >> argument;
      return call;
    }
    if (!file.is_open()) break;
    std::this_thread::sleep_for(kPause);
  }
  return {};
}

void RunSystemCallOf(Scout& scout, std::string_view request) {
  const SystemCall call = ReadSystemCall(static_cast<pid_t>(Unpacker(request).Number()));
  Packer report;
  report.Number(static_cast<uint64_t>(call.number));
  for (const unsigned long argument : call.arguments) report.Number(argument);
  scout.Report(report.bytes());
}

}  // namespace

SystemCall SystemCallOf(pid_t thread) {
  constexpr std::chrono::milliseconds kMax{30};
  const Scouts::Outcome outcome =
      Scouts::Send(RunSystemCallOf, Packer().Number(static_cast<uint64_t>(thread)).bytes(),
                   Scouts::Clock::now() + kMax, kMax);
  SystemCall call;
  if (outcome.reports.empty()) return call;
  Unpacker report(outcome.reports.front());
  call.number = static_cast<long>(report.Number());
  for (unsigned long& argument : call.arguments) argument = report.Number();
  return call;
}

}  // namespace ckptfs
