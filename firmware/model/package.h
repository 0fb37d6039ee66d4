#pragma once

#include <cstdint>

#include "base/span.h"
#include "base/status.h"

namespace enhancer {

/// The model package: everything that differs between models, in one checked blob that the
/// firmware finds in memory at run time. Layout: docs/firmware.md, written by
/// pipeline/targets/package_layout.py. All fields are little-endian; views point into the blob.

enum class TensorRole : std::uint8_t { kFeatures = 0, kMask = 1, kStateIn = 2, kStateOut = 3 };
/// Codes of the TFLite schema.
enum class TensorType : std::uint8_t { kInt16 = 7, kInt8 = 9 };

constexpr std::size_t element_bytes(TensorType type) { return type == TensorType::kInt16 ? 2 : 1; }

struct TensorRecord {
  TensorRole role;
  TensorType type;
  std::uint16_t state;  ///< Which state an input or output of kind state belongs to.
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

/// Recorded hops to replay: stored features in, stored mask expected, state carried from hop to
/// hop.
struct Golden {
  std::uint32_t hops = 0;
  Span<const std::uint8_t> features;
  Span<const std::uint8_t> mask;
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

constexpr std::size_t kMaxStates = 8;

struct ModelPackage {
  std::uint32_t crc32 = 0;
  std::uint32_t bytes = 0;
  FrontEndConstants front_end{};
  TensorRecord features{};
  TensorRecord mask{};
  std::size_t states = 0;
  TensorRecord state_in[kMaxStates]{};
  TensorRecord state_out[kMaxStates]{};

  NpuJobHeader npu_job{};                ///< Meaningful when npu_stream is not empty.
  Span<const std::uint8_t> npu_stream;   ///< Empty: no Vela-compiled form in the package.
  Span<const std::uint8_t> npu_weights;  ///< May be empty.
  Span<const std::uint8_t> tflite;       ///< Empty: no TFLite form in the package.
  Golden golden;                         ///< Zero hops: nothing to replay.
  bool has_memory_timing = false;
  MemoryTiming memory_timing{};
};

/// Check `memory` (the place where a package may lie; longer than the package is fine; aligned to
/// 16 bytes) and fill `package` with views into it.
Status parse_package(Span<const std::uint8_t> memory, ModelPackage& package);

}  // namespace enhancer
