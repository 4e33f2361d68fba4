#include "backend/interface/storage_state.h"

#include <cctype>

namespace ckptfs {

std::string Capitalised(std::string text) {
  if (!text.empty()) text[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(text[0])));
  return text;
}

std::string StorageFailure::Sentences() const { return Capitalised(reason) + ". " + remedy + '.'; }

}  // namespace ckptfs
