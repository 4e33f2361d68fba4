// Waiting for the space of destroyed volumes.
#pragma once

#include <chrono>
#include <functional>

#include "backend/interface/backend.h"

namespace ckptfs {

// Hurries the freeing of the space of destroyed volumes (Backend::Reclaim) until all of it is free, for at most
// `max`. The pauses between the tries grow up to `pause_max`, as each try may write out everything. `goes_on` is
// called before each try, and ends it by false. Throws what Backend::Reclaim and `goes_on` throw.
void AwaitReclaimed(const Backend& backend, std::chrono::milliseconds max,
                    std::chrono::milliseconds pause_max, const std::function<bool()>& goes_on = {});

}  // namespace ckptfs
