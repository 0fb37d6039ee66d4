#pragma once

namespace enhancer {

/// Whether two paths, or nullptr for none, are spelled alike but for empty folders and `.`. The
/// machine that holds the files knows about links; the firmware cannot ask it.
bool are_same(const char* path, const char* other);

}  // namespace enhancer
