#include "model/package.h"

#include <cmath>

#include "base/load.h"
#include "dsp/frame.h"
#include "model/container.h"

namespace enhancer {
namespace {

using Bytes = Span<const std::uint8_t>;

constexpr std::size_t kGoldenHeaderBytes = 16;

/// Cuts typed arrays off the front of a section; `complete()` is true when exactly all of the
/// section was taken.
class Cursor {
 public:
  explicit Cursor(Bytes bytes) : bytes_(bytes) {}

  template <typename T>
  Span<const T> take(std::size_t count) {
    const std::size_t wanted = count * sizeof(T);
    if (failed_ || wanted > bytes_.size()) {
      failed_ = true;
      return {};
    }
    const Span<const T> result(reinterpret_cast<const T*>(bytes_.data()), count);
    bytes_ = bytes_.subspan(wanted, bytes_.size() - wanted);
    return result;
  }
  bool complete() const { return !failed_ && bytes_.empty(); }

 private:
  Bytes bytes_;
  bool failed_ = false;
};

bool all_finite(Span<const float> values) {
  for (const float value : values) {
    if (!std::isfinite(value)) {
      return false;
    }
  }
  return true;
}

Status parse_front_end(Bytes bytes, FrontEndConstants& result) {
  if (bytes.size() < sizeof(FrontEndHeader)) {
    return malformed(Section::kFrontEnd);
  }
  const auto header = load<FrontEndHeader>(bytes);
  if (header.rate_hz != kRateHz || header.frame_samples != kFrameSamples ||
      header.hop_samples != kHopSamples) {
    return malformed(Section::kFrontEnd, header.frame_samples);
  }
  if (header.bands < 1 || header.bands > kMaxBands || header.weight_count > kMaxBandWeights ||
      !std::isfinite(header.power_exponent) || !(header.feature_limit > 0) ||
      header.conditioned > 1) {
    return malformed(Section::kFrontEnd, header.bands);
  }
  Cursor cursor(bytes.subspan(sizeof header, bytes.size() - sizeof header));
  result.header = header;
  result.mean = cursor.take<float>(header.bands);
  result.inverse_deviation = cursor.take<float>(header.bands);
  result.inverse_band_sum = cursor.take<float>(header.bands);
  result.weights = cursor.take<float>(header.weight_count);
  result.first_bin = cursor.take<std::uint16_t>(header.bands);
  result.bin_count = cursor.take<std::uint16_t>(header.bands);
  if (!cursor.complete()) {
    return malformed(Section::kFrontEnd, static_cast<std::uint32_t>(bytes.size()));
  }
  if (!all_finite(result.mean) || !all_finite(result.inverse_deviation) ||
      !all_finite(result.inverse_band_sum) || !all_finite(result.weights)) {
    return malformed(Section::kFrontEnd);
  }
  std::size_t weights = 0;
  for (std::size_t band = 0; band < header.bands; ++band) {
    if (result.first_bin[band] + result.bin_count[band] > kBins) {
      return malformed(Section::kFrontEnd, static_cast<std::uint32_t>(band));
    }
    weights += result.bin_count[band];
  }
  return weights == header.weight_count ? kOk : malformed(Section::kFrontEnd, header.weight_count);
}

bool record_is_sound(const TensorRecord& record) {
  const bool known_type = record.type == TensorType::kInt8 || record.type == TensorType::kInt16;
  const bool in_range = record.type == TensorType::kInt16
                            ? record.zero_point == 0
                            : record.zero_point >= -128 && record.zero_point <= 127;
  return known_type && in_range && record.bytes > 0 &&
         record.bytes % element_bytes(record.type) == 0 && std::isfinite(record.scale) &&
         record.scale > 0;
}

Status parse_tensors(Bytes bytes, ModelPackage& package) {
  if (bytes.size() % sizeof(TensorRecord) != 0) {
    return malformed(Section::kTensors);
  }
  bool has_input[kMaxStates] = {};
  bool has_output[kMaxStates] = {};
  bool has_features = false;
  bool has_mask = false;
  const auto accept = [](bool& seen, TensorRecord& target, const TensorRecord& record) {
    const bool first = !seen;
    seen = true;
    target = record;
    return first;
  };
  const auto count = static_cast<std::uint32_t>(bytes.size() / sizeof(TensorRecord));
  for (std::uint32_t index = 0; index < count; ++index) {
    const auto record =
        load<TensorRecord>(bytes.subspan(index * sizeof(TensorRecord), sizeof(TensorRecord)));
    if (!record_is_sound(record) || record.state >= kMaxStates) {
      return malformed(Section::kTensors, index);
    }
    bool unique = false;
    switch (record.role) {
      case TensorRole::kFeatures:
        unique = accept(has_features, package.features, record);
        break;
      case TensorRole::kMask:
        unique = accept(has_mask, package.mask, record);
        break;
      case TensorRole::kStateIn:
        unique = accept(has_input[record.state], package.state_in[record.state], record);
        break;
      case TensorRole::kStateOut:
        unique = accept(has_output[record.state], package.state_out[record.state], record);
        break;
    }
    if (!unique) {
      return malformed(Section::kTensors, index);
    }
  }
  const std::uint32_t bands = package.front_end.header.bands;
  if (!has_features || !has_mask ||
      package.features.bytes != bands * element_bytes(package.features.type) ||
      package.mask.bytes != bands * element_bytes(package.mask.type)) {
    return malformed(Section::kTensors, count);
  }
  package.states = 0;
  while (package.states < kMaxStates && has_input[package.states]) {
    ++package.states;
  }
  for (std::size_t state = 0; state < kMaxStates; ++state) {
    const TensorRecord& in = package.state_in[state];
    const TensorRecord& out = package.state_out[state];
    const bool used = state < package.states;
    if (has_input[state] != used || has_output[state] != used ||
        (used && (in.bytes != out.bytes || in.type != out.type))) {
      return malformed(Section::kTensors, count);
    }
  }
  return kOk;
}

bool fits(const TensorRecord& record, std::uint32_t arena_bytes) {
  return record.arena_offset <= arena_bytes && record.bytes <= arena_bytes - record.arena_offset;
}

Status parse_npu_job(Bytes bytes, ModelPackage& package) {
  if (bytes.size() != sizeof(NpuJobHeader) || package.npu_stream.empty() ||
      package.npu_stream.size() % sizeof(std::uint32_t) != 0) {
    return malformed(Section::kNpuJob);
  }
  package.npu_job = load<NpuJobHeader>(bytes);
  const NpuJobHeader& job = package.npu_job;
  if (job.weights_placement != WeightsPlacement::kFlash &&
      job.weights_placement != WeightsPlacement::kSramAtBoot) {
    return malformed(Section::kNpuJob, static_cast<std::uint32_t>(job.weights_placement));
  }
  bool inside = fits(package.features, job.arena_bytes) && fits(package.mask, job.arena_bytes);
  for (std::size_t state = 0; state < package.states; ++state) {
    inside = inside && fits(package.state_in[state], job.arena_bytes) &&
             fits(package.state_out[state], job.arena_bytes);
  }
  return inside ? kOk : malformed(Section::kNpuJob, job.arena_bytes);
}

Status parse_golden(Bytes bytes, ModelPackage& package) {
  if (bytes.size() < kGoldenHeaderBytes) {
    return malformed(Section::kGolden);
  }
  const auto hops = load<std::uint32_t>(bytes);
  const std::size_t data_bytes = bytes.size() - kGoldenHeaderBytes;
  const std::size_t hop_bytes = std::size_t{package.features.bytes} + package.mask.bytes;
  if (data_bytes % hop_bytes != 0 || data_bytes / hop_bytes != hops) {
    return malformed(Section::kGolden, hops);
  }
  Cursor cursor(bytes.subspan(kGoldenHeaderBytes, data_bytes));
  package.golden.hops = hops;
  package.golden.features = cursor.take<std::uint8_t>(std::size_t{hops} * package.features.bytes);
  package.golden.mask = cursor.take<std::uint8_t>(std::size_t{hops} * package.mask.bytes);
  return kOk;
}

}  // namespace

Status parse_package(Span<const std::uint8_t> memory, ModelPackage& package) {
  Container container;
  if (const Status status = open_container(memory, container); !status.ok()) {
    return status;
  }
  const auto& sections = container.sections;
  package = ModelPackage{};
  package.crc32 = container.crc32;
  package.bytes = container.bytes;
  package.npu_stream = sections[Section::kNpuStream];
  package.npu_weights = sections[Section::kNpuWeights];
  package.tflite = sections[Section::kTflite];
  if (const Status status = parse_front_end(sections[Section::kFrontEnd], package.front_end);
      !status.ok()) {
    return status;
  }
  if (const Status status = parse_tensors(sections[Section::kTensors], package); !status.ok()) {
    return status;
  }
  if (!sections[Section::kNpuJob].empty() || !package.npu_stream.empty()) {
    if (const Status status = parse_npu_job(sections[Section::kNpuJob], package); !status.ok()) {
      return status;
    }
  }
  const Bytes timing = sections[Section::kMemoryTiming];
  if (!timing.empty() && timing.size() != sizeof(MemoryTiming)) {
    return malformed(Section::kMemoryTiming);
  }
  package.has_memory_timing = !timing.empty();
  if (package.has_memory_timing) {
    package.memory_timing = load<MemoryTiming>(timing);
  }
  return sections[Section::kGolden].empty() ? kOk
                                            : parse_golden(sections[Section::kGolden], package);
}

}  // namespace enhancer
