#pragma once

#include <cstdint>

#include "base/span.h"
#include "base/status.h"
#include "model/packed_weights.h"

namespace enhancer {

/// The model package: everything that differs between models, in one checked blob that the
/// firmware finds in memory at run time. Layout: docs/firmware-reference.md, written by
/// pipeline/boards/package_layout.py. All fields are little-endian; views point into the blob.

enum class TensorRole : std::uint8_t {
  kInput = 0,
  kOutput = 1,
  kStateIn = 2,
  kStateOut = 3,
  kVariable = 4,
  kDelayedIn = 5,
  kFrameOut = 6,
  kGate = 7
};
/// Codes of the TFLite schema.
enum class TensorType : std::uint8_t { kInt32 = 2, kUint8 = 3, kInt16 = 7, kInt8 = 9 };

struct TensorRecord {
  TensorRole role;
  TensorType type;
  std::uint16_t index;  ///< Which of the inputs, outputs or states it is, counted per role.
  std::uint32_t bytes;
  float scale;
  std::int32_t zero_point;
  std::uint32_t arena_offset;  ///< Where the compiled model keeps it, for the npu engine.
  std::uint32_t position;      ///< Index among the graph's inputs or outputs, for tflm.
  std::uint32_t reserved[2];
};
static_assert(sizeof(TensorRecord) == 32);

struct FrontEndHeader {
  std::uint32_t rate_hz;
  std::uint32_t frame_samples;
  std::uint32_t hop_samples;
  std::uint32_t bands;
  std::uint32_t weight_count;
  float power_exponent;
  float feature_limit;        ///< Features are clipped to [-feature_limit, feature_limit].
  std::uint32_t conditioned;  ///< 1: offset and level of the input are followed; 0: not.
};
static_assert(sizeof(FrontEndHeader) == 32);

/// Constants of pipeline/dsp for one model. Band `b` covers `bin_count[b]` FFT bins from
/// `first_bin[b]`; its weights follow those of band `b - 1`.
struct FrontEndConstants {
  FrontEndHeader header;
  Span<const float> mean;
  Span<const float> inverse_deviation;
  Span<const float> inverse_band_sum;
  Span<const std::uint16_t> first_bin;
  Span<const std::uint16_t> bin_count;
  Span<const float> weights;
};

enum class WeightsPlacement : std::uint32_t { kFlash = 0, kSramAtBoot = 1 };

struct NpuJobHeader {
  std::uint32_t architecture;  ///< NPU ID register the stream was compiled for.
  std::uint32_t config;        ///< NPU CONFIG register the stream was compiled for.
  std::uint32_t arena_bytes;
  WeightsPlacement weights_placement;
};
static_assert(sizeof(NpuJobHeader) == 16);

/// Recorded hops to replay: what went into and came out of the model, hop after hop, with the state
/// carried over. Within a hop the tensors follow each other in the order of their indices.
struct Golden {
  std::uint32_t hops = 0;
  Span<const std::uint8_t> inputs;
  Span<const std::uint8_t> outputs;
};

/// Settings of the timing adapters that FPGA and FVP put between the NPU's AXI ports and memory, so
/// that it looks like the memory system the model was compiled for. In register order: most
/// pending reads, writes, both; read and write latency; cycles on, cycles off, words per on-off
/// period.
constexpr std::size_t kTimingAdapterRegisters = 8;
struct MemoryTiming {
  std::uint32_t axi0[kTimingAdapterRegisters];
  std::uint32_t axi1[kTimingAdapterRegisters];
};

/// A part of an input that holds earlier frames of another tensor side by side, in its last axis:
/// row by row what that tensor was `delay` hops ago.
struct DelayedFrame {
  std::uint16_t input;      ///< Which of the inputs of role kDelayedIn.
  std::uint16_t source;     ///< 0 for the features, n + 1 for output n of role kFrameOut.
  std::uint32_t delay;      ///< In hops, at least 1.
  std::uint32_t offset;     ///< Of the part in each row of the input, in bytes.
  std::uint32_t row_bytes;  ///< Of the source.
};
static_assert(sizeof(DelayedFrame) == 16);
constexpr std::uint32_t kMaxDelay = 1024;

/// The tensors of one role, in the order of their indices.
class TensorList {
 public:
  static constexpr std::size_t kCapacity = 8;

  std::size_t size() const { return size_; }
  const TensorRecord& operator[](std::size_t index) const { return records_[index]; }
  const TensorRecord* begin() const { return records_; }
  const TensorRecord* end() const { return records_ + size_; }
  std::size_t bytes() const {
    std::size_t sum = 0;
    for (const TensorRecord& record : *this) {
      sum += record.bytes;
    }
    return sum;
  }
  /// Returns false unless the record's index is the next one and there is room.
  bool append(const TensorRecord& record) {
    if (record.index != size_ || size_ == kCapacity) {
      return false;
    }
    records_[size_++] = record;
    return true;
  }

 private:
  TensorRecord records_[kCapacity]{};
  std::size_t size_ = 0;
};

struct ModelPackage {
  std::uint32_t crc32 = 0;
  std::uint32_t bytes = 0;
  bool has_front_end = false;  ///< False: any model; it can be run, but not enhance audio.
  FrontEndConstants front_end{};
  TensorList inputs;    ///< With a front end one, the features.
  TensorList outputs;   ///< With a front end one, the mask.
  TensorList state_in;  ///< State `i` of a hop is what state output `i` of the last one was.
  TensorList state_out;
  TensorList delayed_in;  ///< Inputs that `delays` fill.
  TensorList frame_out;   ///< Outputs that are kept for them.
  Span<const DelayedFrame> delays;
  TensorList gate;       ///< None or one, of one value: how soon the next hop is to be computed.
  TensorList variables;  ///< What the npu engine leaves in the arena from hop to hop.

  const TensorRecord& features() const { return inputs[0]; }
  const TensorRecord& mask() const { return outputs[0]; }
  /// What earlier frames are of: `source` as in DelayedFrame.
  std::size_t sources() const { return 1 + frame_out.size(); }
  const TensorRecord& source(std::size_t source) const {
    return source == 0 ? features() : frame_out[source - 1];
  }

  NpuJobHeader npu_job{};                ///< Meaningful when npu_stream is not empty.
  Span<const std::uint8_t> npu_stream;   ///< Empty: no Vela-compiled form in the package.
  Span<const std::uint8_t> npu_weights;  ///< May be empty.
  PackedWeights packed_weights;          ///< Those to be unpacked into SRAM in their place.
  Span<const std::uint8_t> tflite;       ///< Empty: no TFLite form in the package.
  Golden golden;                         ///< Zero hops: nothing to replay.
  bool has_memory_timing = false;
  MemoryTiming memory_timing{};
};

/// Check `memory` (the place where a package may lie; longer than the package is fine; aligned to
/// 16 bytes) and fill `package` with views into it.
Status parse_package(Span<const std::uint8_t> memory, ModelPackage& package);

}  // namespace enhancer
