#pragma once

#include <cstdint>

#include "base/span.h"

namespace enhancer {

/// CRC-32 as in IEEE 802.3 and zlib (reflected, polynomial 0xEDB88320).
std::uint32_t crc32(Span<const std::uint8_t> bytes);

}  // namespace enhancer
