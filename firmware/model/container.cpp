#include "model/container.h"

#include <cstddef>
#include <cstring>

#include "base/crc32.h"
#include "base/load.h"

namespace enhancer {
namespace {

using Bytes = Span<const std::uint8_t>;

struct Header {
  char magic[4];
  std::uint32_t crc32;  ///< Of everything after this field.
  std::uint16_t version;
  std::uint16_t sections;
  std::uint32_t bytes;
};
static_assert(sizeof(Header) == 16);

struct SectionEntry {
  std::uint32_t kind;
  std::uint32_t offset;
  std::uint32_t bytes;
  std::uint32_t reserved;
};
static_assert(sizeof(SectionEntry) == 16);

constexpr char kMagic[4] = {'S', 'E', 'M', 'P'};
constexpr std::uint16_t kVersion = 1;
constexpr std::size_t kChecked = offsetof(Header, version);
constexpr std::size_t kAlignment = 16;

Status find_sections(Bytes package, std::size_t count, Bytes (&sections)[Section::kCount]) {
  const std::size_t table_end = sizeof(Header) + count * sizeof(SectionEntry);
  if (table_end > package.size()) {
    return {Error::kPackageTruncated, static_cast<std::uint32_t>(table_end),
            static_cast<std::uint32_t>(package.size())};
  }
  for (std::size_t index = 0; index < count; ++index) {
    const auto entry = load<SectionEntry>(
        package.subspan(sizeof(Header) + index * sizeof(SectionEntry), sizeof(SectionEntry)));
    if (entry.kind == 0 || entry.kind >= Section::kCount || !sections[entry.kind].empty() ||
        entry.bytes == 0 || entry.offset % kAlignment != 0 || entry.offset < table_end) {
      return malformed(entry.kind);
    }
    if (entry.offset > package.size() || entry.bytes > package.size() - entry.offset) {
      return {Error::kPackageTruncated, entry.offset, static_cast<std::uint32_t>(package.size())};
    }
    sections[entry.kind] = package.subspan(entry.offset, entry.bytes);
  }
  return kOk;
}

Status check_header(Bytes memory, Header& header) {
  if (memory.size() < sizeof(Header) || std::memcmp(memory.data(), kMagic, sizeof kMagic) != 0) {
    return {Error::kPackageMissing};
  }
  header = load<Header>(memory);
  if (header.version != kVersion) {
    return {Error::kPackageVersion, kVersion, header.version};
  }
  if (header.bytes < sizeof(Header) || header.bytes > memory.size()) {
    return {Error::kPackageTruncated, header.bytes, static_cast<std::uint32_t>(memory.size())};
  }
  const std::uint32_t actual = crc32(memory.subspan(kChecked, header.bytes - kChecked));
  if (actual != header.crc32) {
    return {Error::kPackageChecksum, header.crc32, actual};
  }
  return kOk;
}

}  // namespace

Status open_container(Span<const std::uint8_t> memory, Container& container) {
  if (const Status status = check_alignment(memory.data(), kAlignment); !status.ok()) {
    return status;
  }
  Header header{};
  if (const Status status = check_header(memory, header); !status.ok()) {
    return status;
  }
  container = Container{};
  container.crc32 = header.crc32;
  container.bytes = header.bytes;
  return find_sections(memory.first(header.bytes), header.sections, container.sections);
}

}  // namespace enhancer
