#pragma once

#include <cstddef>
#include <cstdint>

#include "base/span.h"
#include "base/status.h"

namespace enhancer {

/// Weights as pipeline/boards/packed_weights.py packs them without loss: parts of known kinds,
/// entropy-coded one after the other with a model that is learned on the way.
struct PackedWeights {
  std::uint32_t bytes = 0;         ///< Of the weights; 0: there are none.
  std::uint32_t crc32 = 0;         ///< Of the weights.
  Span<const std::uint8_t> parts;  ///< u32 for each: bytes << 2 | kind.
  Span<const std::uint8_t> code;
};

/// Check all of a package's section but the code, and fill `packed` with views into it.
Status parse_packed_weights(Span<const std::uint8_t> section, PackedWeights& packed);

/// Unpacks weights; needs its own size of memory while it does.
class WeightsUnpacker {
 public:
  /// Fill `weights`, of `packed.bytes` bytes. Any code ends, in weights or in an error.
  Status unpack(const PackedWeights& packed, Span<std::uint8_t> weights);

 private:
  /// How likely a 1 is, of 65,536: learned fast and slowly.
  struct Counter {
    std::uint16_t fast;
    std::uint16_t slow;
  };
  /// What decides how a slice of a weight stream is laid out.
  struct Slice {
    std::uint32_t values;
    std::uint32_t runs;  ///< 0: runs of zeros are not coded.
    std::uint32_t value_width;
    std::uint32_t run_width;
    bool truncated;
    bool plain;  ///< Values have no unary part.
  };
  /// Up to 12 symbols whose lower bits follow in the next chunk.
  struct Symbols {
    std::uint8_t quotients[12];
    std::uint32_t count = 0;
    std::uint32_t seen = 0;   ///< In the slice.
    std::uint32_t done = 0;   ///< In the slice, lower bits too.
    std::uint32_t carry = 0;  ///< Of a quotient that goes on in the next chunk.

    void finish(std::uint32_t quotient);
  };
  /// The palette's size and the width of its entries go from slice to slice.
  struct Palette {
    std::uint32_t entries = 0;
    std::uint32_t width = 0;
  };

  // The range decoder.
  void start(Span<const std::uint8_t> code);
  std::uint8_t next_byte();
  std::uint32_t bit(std::size_t context);
  std::uint32_t tree(std::size_t base, std::uint32_t width);
  std::uint32_t flat(std::size_t base, std::uint32_t width);

  // Parts, into `out_`. The rest returns false where the part is too short for what it holds.
  void bytes();
  void scales();
  bool weights();
  bool padding();
  bool slice_header(std::uint32_t run_width, Slice& slice, Palette& palette);
  bool palette_header(Palette& palette);
  bool chunks(const Slice& slice);
  bool value_codes(const Slice& slice, std::size_t first, Symbols& values);
  void run_codes(std::uint32_t width, std::size_t first, Symbols& runs);
  bool value_rests(const Slice& slice, const Symbols& waiting, Symbols& values);
  bool run_rests(const Slice& slice, const Symbols& waiting, Symbols& runs);

  bool has(std::size_t bits) const { return bits <= 8 * out_.size() - position_; }
  void put(std::size_t position, std::uint32_t value, std::uint32_t width);
  void put(std::uint32_t value, std::uint32_t width);

  static constexpr std::size_t kContexts = 1408;
  Counter counters_[kContexts];
  Span<const std::uint8_t> code_;
  std::size_t read_ = 0;
  bool exhausted_ = false;
  std::uint32_t range_ = 0;
  std::uint32_t low_ = 0;
  Span<std::uint8_t> out_;
  std::size_t position_ = 0;  ///< Bit of `out_` that comes next.
};

}  // namespace enhancer
