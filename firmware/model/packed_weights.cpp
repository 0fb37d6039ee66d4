#include "model/packed_weights.h"

#include <algorithm>
#include <cstring>
#include <iterator>

#include "base/crc32.h"
#include "base/load.h"
#include "model/container.h"

namespace enhancer {
namespace {

using Bytes = Span<const std::uint8_t>;

enum Kind : std::uint32_t { kBytes = 0, kScales = 1, kWeights = 2 };
constexpr std::uint32_t kKindBits = 2;

struct Header {
  std::uint32_t bytes;
  std::uint32_t crc32;
  std::uint32_t parts;
};
/// Far above any memory of the boards; keeps positions of bits within 32 bits.
constexpr std::uint32_t kMaxBytes = std::uint32_t{16} << 20;

// Contexts, by what is decoded. They are those of pipeline/boards/packed_weights.py.
constexpr std::size_t kSliceHeader = 0;
constexpr std::size_t kPaletteHeader = kSliceHeader + 23;
constexpr std::size_t kPaletteEntry = kPaletteHeader + 13;
constexpr std::size_t kPadding = kPaletteEntry + 9;
constexpr std::size_t kValueCode = kPadding + 1;
constexpr std::size_t kRunCode = kValueCode + 16;
constexpr std::size_t kValueRest = kRunCode + 8;
constexpr std::size_t kPlainValue = kValueRest + 256;
constexpr std::size_t kRunRest = kPlainValue + 512;
constexpr std::size_t kDifference = kRunRest + 32;
constexpr std::size_t kBiasLow = kDifference + 256;
constexpr std::size_t kBiasHigh = kBiasLow + 8;
constexpr std::size_t kExpected = kBiasHigh + 256;
constexpr std::size_t kSurprise = kExpected + 10;
constexpr std::size_t kAllContexts = kSurprise + 8;

constexpr std::uint32_t kRecordBytes = 10;
constexpr std::uint32_t kBiasBytes = 5;
constexpr std::uint32_t kUnaryBits = 12;

}  // namespace

Status parse_packed_weights(Bytes section, PackedWeights& packed) {
  if (section.size() < sizeof(Header)) {
    return malformed(Section::kPackedWeights);
  }
  const auto header = load<Header>(section);
  const std::size_t rest = section.size() - sizeof(Header);
  if (header.bytes == 0 || header.bytes > kMaxBytes ||
      header.parts > rest / sizeof(std::uint32_t)) {
    return malformed(Section::kPackedWeights, header.bytes);
  }
  const std::size_t table = header.parts * sizeof(std::uint32_t);
  packed.bytes = header.bytes;
  packed.crc32 = header.crc32;
  packed.parts = section.subspan(sizeof(Header), table);
  packed.code = section.subspan(sizeof(Header) + table, rest - table);
  std::uint64_t sum = 0;
  for (std::size_t at = 0; at < table; at += sizeof(std::uint32_t)) {
    const auto part = load<std::uint32_t>(packed.parts.subspan(at, sizeof(std::uint32_t)));
    if ((part & ((1U << kKindBits) - 1)) > kWeights) {
      return malformed(Section::kPackedWeights, part);
    }
    sum += part >> kKindBits;
  }
  return sum == header.bytes ? kOk : malformed(Section::kPackedWeights, header.bytes);
}

Status WeightsUnpacker::unpack(const PackedWeights& packed, Span<std::uint8_t> weights) {
  static_assert(kAllContexts == kContexts);
  std::memset(weights.data(), 0, weights.size());
  start(packed.code);
  std::size_t begin = 0;
  for (std::size_t at = 0; at < packed.parts.size(); at += sizeof(std::uint32_t)) {
    const auto part = load<std::uint32_t>(packed.parts.subspan(at, sizeof(std::uint32_t)));
    out_ = weights.subspan(begin, part >> kKindBits);
    position_ = 0;
    begin += out_.size();
    switch (part & ((1U << kKindBits) - 1)) {
      case kBytes:
        bytes();
        break;
      case kScales:
        scales();
        break;
      default:
        if (!this->weights()) {
          return malformed(Section::kPackedWeights, static_cast<std::uint32_t>(at));
        }
    }
  }
  if (exhausted_ || read_ != code_.size()) {
    return malformed(Section::kPackedWeights, static_cast<std::uint32_t>(read_));
  }
  const std::uint32_t actual = crc32(weights);
  return actual == packed.crc32 ? kOk : Status{Error::kPackageChecksum, packed.crc32, actual};
}

void WeightsUnpacker::start(Bytes code) {
  std::fill(std::begin(counters_), std::end(counters_), Counter{1U << 15, 1U << 15});
  code_ = code;
  read_ = 0;
  exhausted_ = false;
  range_ = 0xFFFFFFFF;
  low_ = 0;
  for (int byte = 0; byte < 4; ++byte) {
    low_ = low_ << 8 | next_byte();
  }
}

std::uint8_t WeightsUnpacker::next_byte() {
  if (read_ == code_.size()) {
    exhausted_ = true;
    return 0;
  }
  return code_[read_++];
}

std::uint32_t WeightsUnpacker::bit(std::size_t context) {
  constexpr int kFast = 4;
  constexpr int kSlow = 7;
  constexpr int kProbabilityBits = 12;
  constexpr std::uint32_t kOne = 1U << 16;
  Counter& counter = counters_[context];
  const std::uint32_t share = (std::uint32_t{counter.fast} + counter.slow) >> 5;
  const std::uint32_t bound =
      (range_ >> kProbabilityBits) * std::clamp<std::uint32_t>(share, 1, 4095);
  const bool is_one = low_ < bound;
  if (is_one) {
    range_ = bound;
    counter.fast = static_cast<std::uint16_t>(counter.fast + ((kOne - counter.fast) >> kFast));
    counter.slow = static_cast<std::uint16_t>(counter.slow + ((kOne - counter.slow) >> kSlow));
  } else {
    low_ -= bound;
    range_ -= bound;
    counter.fast = static_cast<std::uint16_t>(counter.fast - (counter.fast >> kFast));
    counter.slow = static_cast<std::uint16_t>(counter.slow - (counter.slow >> kSlow));
  }
  while (range_ < 1U << 24) {
    range_ <<= 8;
    low_ = low_ << 8 | next_byte();
  }
  return is_one ? 1 : 0;
}

/// Highest bit first, each in the context of those before.
std::uint32_t WeightsUnpacker::tree(std::size_t base, std::uint32_t width) {
  std::uint32_t node = 1;
  for (std::uint32_t index = 0; index < width; ++index) {
    node = 2 * node + bit(base + node);
  }
  return node - (1U << width);
}

/// Lowest bit first, each in a context of its place.
std::uint32_t WeightsUnpacker::flat(std::size_t base, std::uint32_t width) {
  std::uint32_t value = 0;
  for (std::uint32_t index = 0; index < width; ++index) {
    value |= bit(base + index) << index;
  }
  return value;
}

void WeightsUnpacker::put(std::size_t position, std::uint32_t value, std::uint32_t width) {
  for (std::uint32_t index = 0; index < width; ++index, ++position) {
    const std::uint32_t bit = value >> index & 1U;
    out_[position / 8] = static_cast<std::uint8_t>(out_[position / 8] | bit << position % 8);
  }
}

void WeightsUnpacker::put(std::uint32_t value, std::uint32_t width) {
  put(position_, value, width);
  position_ += width;
}

void WeightsUnpacker::bytes() {
  std::uint32_t before = 0;
  for (std::uint8_t& byte : out_) {
    before += tree(kDifference, 8);
    byte = static_cast<std::uint8_t>(before);
  }
}

/// Records of 40 bits bias and 40 bits scale: the bias is small, the scale that of the record
/// before.
void WeightsUnpacker::scales() {
  for (std::size_t at = 0; at < out_.size(); ++at) {
    const std::size_t place = at % kRecordBytes;
    if (place == 0) {
      out_[at] = static_cast<std::uint8_t>(flat(kBiasLow, 8));
    } else if (place == 1) {
      out_[at] = static_cast<std::uint8_t>(tree(kBiasHigh, 8));
    } else {
      const std::uint8_t sign = out_[at - 1] >= 0x80 ? 0xFF : 0;
      const std::uint8_t earlier = at < kRecordBytes ? 0 : out_[at - kRecordBytes];
      const bool surprises = bit(kExpected + place) != 0;
      const std::uint8_t expected = place < kBiasBytes ? sign : earlier;
      out_[at] = surprises ? static_cast<std::uint8_t>(flat(kSurprise, 8)) : expected;
    }
  }
}

/// Arm's weight stream: docs/ethosu.md and pipeline/ethosu/weight_codec.py describe it.
bool WeightsUnpacker::weights() {
  constexpr std::uint32_t kRunWidthBits = 3;
  constexpr std::uint32_t kEndOfStream = 7;
  Palette palette;
  while (position_ < 8 * out_.size()) {
    if (!has(kRunWidthBits)) {
      return false;
    }
    const std::uint32_t run_width = flat(kSliceHeader, kRunWidthBits);
    put(run_width, kRunWidthBits);
    if (run_width == kEndOfStream) {
      while (position_ % 8 != 0) {
        put(bit(kPadding), 1);
      }
      continue;
    }
    Slice slice{};
    if (!slice_header(run_width, slice, palette) || !chunks(slice)) {
      return false;
    }
  }
  return true;
}

bool WeightsUnpacker::slice_header(std::uint32_t run_width, Slice& slice, Palette& palette) {
  constexpr std::uint32_t kRunsOff = 6;
  constexpr std::uint32_t kLargestRunWidth = 3;
  constexpr std::uint32_t kUndefined = 6;
  constexpr std::uint32_t kPlain = 7;
  constexpr std::uint32_t kHeaderBits = 20;
  if (!has(kHeaderBits)) {
    return false;
  }
  const std::uint32_t header = flat(kSliceHeader + 3, kHeaderBits);
  put(header, kHeaderBits);
  const bool has_runs = run_width != kRunsOff;
  const std::uint32_t new_palette = header >> 19;
  slice.values = (header & 0x7FFF) + 1;
  slice.value_width = header >> 15 & 7U;
  slice.truncated = (header >> 18 & 1U) != 0;
  slice.plain = slice.value_width == kPlain;
  slice.runs = has_runs ? slice.values + new_palette : 0;
  slice.run_width = has_runs ? run_width : 0;
  if (slice.value_width == kUndefined || slice.run_width > kLargestRunWidth ||
      (new_palette != 0 && !palette_header(palette))) {
    return false;
  }
  if (slice.plain) {
    slice.value_width = palette.entries == 0 ? palette.width : 0;
    while (1U << slice.value_width < palette.entries) {
      ++slice.value_width;
    }
    return slice.value_width != 0;
  }
  return true;
}

bool WeightsUnpacker::palette_header(Palette& palette) {
  constexpr std::uint32_t kHeaderBits = 13;
  if (!has(kHeaderBits)) {
    return false;
  }
  const std::uint32_t header = flat(kPaletteHeader, kHeaderBits);
  put(header, kHeaderBits);
  const std::uint32_t entries = header >> 5 & 31U;
  palette.entries = entries == 0 ? 0 : entries + 1;
  palette.width = (header >> 10) + 2;
  if (!has(std::size_t{palette.entries} * palette.width)) {
    return false;
  }
  for (std::uint32_t entry = 0; entry < palette.entries; ++entry) {
    put(flat(kPaletteEntry, palette.width), palette.width);
  }
  return true;
}

/// Quotients of a chunk, then the lower bits of the symbols of the chunk before.
bool WeightsUnpacker::chunks(const Slice& slice) {
  constexpr std::uint32_t kAhead = 8;
  Symbols values;
  Symbols runs;
  bool more = true;
  while (more) {
    const bool even = slice.runs == 0 || values.seen < runs.seen + kAhead;
    const bool has_values = even && values.seen < slice.values;
    const bool has_runs = values.seen >= runs.seen && runs.seen < slice.runs;
    const std::size_t first = position_;
    const std::uint32_t value_bits = has_values && !slice.plain ? kUnaryBits : 0;
    const std::uint32_t run_bits = !has_runs ? 0 : slice.run_width < 3 ? kUnaryBits : 8;
    if (!has(value_bits + run_bits)) {
      return false;
    }
    position_ += value_bits + run_bits;
    const Symbols waiting_values = values;
    const Symbols waiting_runs = runs;
    values.count = 0;
    runs.count = 0;
    if (has_values && !value_codes(slice, first, values)) {
      return false;
    }
    run_codes(run_bits, first + value_bits, runs);
    if (!value_rests(slice, waiting_values, values) || !run_rests(slice, waiting_runs, runs)) {
      return false;
    }
    more = has_values || has_runs;
  }
  return true;
}

void WeightsUnpacker::Symbols::finish(std::uint32_t quotient) {
  quotients[count++] = static_cast<std::uint8_t>(std::min<std::uint32_t>(quotient, 7));
  ++seen;
  carry = 0;
}

/// First bits of all codes lie before the runs, second bits after them.
bool WeightsUnpacker::value_codes(const Slice& slice, std::size_t first, Symbols& values) {
  constexpr std::uint32_t kWide = 5;
  const std::uint32_t codes = slice.plain && slice.value_width > kWide ? 8 : kUnaryBits;
  for (std::uint32_t index = 0; index < codes; ++index) {
    std::uint32_t code = 0;
    if (!slice.plain) {
      const std::size_t context =
          kValueCode + std::size_t{2} * std::min<std::uint32_t>(values.carry, 7);
      code = bit(context);
      put(first + index, code, 1);
      if (code != 0) {
        if (!has(1)) {
          return false;
        }
        const std::uint32_t second = bit(context + 1);
        put(second, 1);
        code += second;
      }
    }
    values.carry += code;
    if (code < 2 || slice.truncated) {
      values.finish(values.carry);
    }
  }
  return true;
}

void WeightsUnpacker::run_codes(std::uint32_t width, std::size_t first, Symbols& runs) {
  for (std::uint32_t index = 0; index < width; ++index) {
    const std::uint32_t goes_on = bit(kRunCode + std::min<std::uint32_t>(runs.carry, 7));
    put(first + index, goes_on, 1);
    if (goes_on != 0) {
      ++runs.carry;
    } else {
      runs.finish(runs.carry);
    }
  }
}

bool WeightsUnpacker::value_rests(const Slice& slice, const Symbols& waiting, Symbols& values) {
  const std::uint32_t count = std::min(waiting.count, slice.values - values.done);
  if (!has(std::size_t{count} * slice.value_width)) {
    return false;
  }
  for (std::uint32_t index = 0; index < count; ++index) {
    const std::size_t of_quotient = kValueRest + std::size_t{32} * waiting.quotients[index];
    put(tree(slice.plain ? kPlainValue : of_quotient, slice.value_width), slice.value_width);
  }
  values.done += count;
  return true;
}

bool WeightsUnpacker::run_rests(const Slice& slice, const Symbols& waiting, Symbols& runs) {
  const std::uint32_t count = std::min(waiting.count, slice.runs - runs.done);
  if (!has(std::size_t{count} * slice.run_width)) {
    return false;
  }
  for (std::uint32_t index = 0; index < count; ++index) {
    const std::size_t quotient = std::min<std::size_t>(waiting.quotients[index], 3);
    put(tree(kRunRest + 8 * quotient, slice.run_width), slice.run_width);
  }
  runs.done += count;
  return true;
}

}  // namespace enhancer
