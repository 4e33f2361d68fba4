#include "tools/ckpt/consent.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <iostream>
#include <string>

#include "backend/base/error.h"
#include "backend/base/text.h"

namespace ckptfs::cli {

void RequireConsentToForget(const Location& workspace) {
  if (isatty(STDIN_FILENO) != 1) {
    throw Error(EINVAL, "forget " + workspace.Label(), "it goes for good, with all its snapshots",
                "Say so: --yes");
  }
  std::fputs(fmt::format("Remove {} with all its files and snapshots, for good? Type 'yes': ",
                         PlainText(workspace.Label()))
                 .c_str(),
             stderr);
  std::string answer;
  std::getline(std::cin, answer);
  if (answer != "yes") throw Error(ECANCELED, "forget " + workspace.Label(), "nothing was removed");
}

}  // namespace ckptfs::cli
