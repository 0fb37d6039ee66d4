#include "app/paths.h"

namespace enhancer {
namespace {

/// The next character that matters: not a `.` folder, nor a slash that follows another.
const char* skip_empty(const char* path) {
  while (path[0] == '/' || (path[0] == '.' && (path[1] == '/' || path[1] == '\0'))) {
    ++path;
  }
  return path;
}

}  // namespace

bool are_same(const char* path, const char* other) {
  if (path == nullptr || other == nullptr || (path[0] == '/') != (other[0] == '/')) {
    return false;
  }
  path = skip_empty(path);
  other = skip_empty(other);
  while (*path != '\0' && *path == *other) {
    const bool ends_folder = *path == '/';
    ++path;
    ++other;
    if (ends_folder) {
      path = skip_empty(path);
      other = skip_empty(other);
    }
  }
  return *path == *other;
}

}  // namespace enhancer
