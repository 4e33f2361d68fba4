// Builds a self-contained image from a volume.
#pragma once

#include <functional>
#include <string>

#include "backend/dm/volume_file.h"

namespace ckptfs {

// Copies a read-only volume's differences from its base into a copy of that base. `volume_fd` is the volume's
// file. Throws Error.
using ImageFiller = std::function<void(int volume_fd, const VolumeHeader& header, int image_fd)>;

// Writes a piece of an image, or a hole if it is all zeros. Throws Error, ENOSPC.
void WriteImagePiece(int image_fd, uint64_t offset, const std::string& content);

}  // namespace ckptfs
