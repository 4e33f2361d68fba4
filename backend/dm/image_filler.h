// Making an image of a volume that needs no template.
#pragma once

#include <functional>
#include <string>

#include "backend/dm/volume_file.h"

namespace ckptfs {

// Writes what a read-only volume, of which that is the file, differs in from its base into a copy of that
// base. Throws Error.
using ImageFiller = std::function<void(int volume_fd, const VolumeHeader& header, int image_fd)>;

// Writes a piece of an image, or a hole if it is nothing but zeros. Throws Error, ENOSPC.
void WriteImagePiece(int image_fd, uint64_t offset, const std::string& content);

}  // namespace ckptfs
