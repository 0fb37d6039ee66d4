#include "model/package.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "base/load.h"
#include "dsp/frame.h"
#include "model/container.h"

namespace enhancer {
namespace {

using Bytes = Span<const std::uint8_t>;

constexpr std::size_t kGoldenHeaderBytes = 16;
/// Far above any memory of the boards; keeps sums of sizes within 32 bits.
constexpr std::uint32_t kMaxTensorBytes = std::uint32_t{16} << 20;

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
      !std::isfinite(header.power_exponent) || !std::isfinite(header.feature_limit) ||
      !(header.feature_limit > 0) || header.conditioned > 1) {
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
    // Bands are in order, and no bin is in more than two.
    const std::size_t next = band + 1;
    const std::size_t after = band + 2;
    if ((next < header.bands && result.first_bin[next] < result.first_bin[band]) ||
        (after < header.bands &&
         result.first_bin[after] < result.first_bin[band] + result.bin_count[band])) {
      return malformed(Section::kFrontEnd, result.first_bin[band]);
    }
  }
  return weights == header.weight_count ? kOk : malformed(Section::kFrontEnd, header.weight_count);
}

std::size_t element_bytes(TensorType type) {
  switch (type) {
    case TensorType::kInt8:
    case TensorType::kUint8:
      return 1;
    case TensorType::kInt16:
      return 2;
    case TensorType::kInt32:
      return 4;
  }
  return 0;
}

bool record_is_sound(const TensorRecord& record) {
  const std::size_t element = element_bytes(record.type);
  return element != 0 && record.bytes > 0 && record.bytes <= kMaxTensorBytes &&
         record.bytes % element == 0;
}

/// What the front end and the zero state need to know of a tensor's quantization.
bool is_quantized(const TensorRecord& record) {
  const bool in_range = record.type == TensorType::kInt16
                            ? record.zero_point == 0
                            : record.type == TensorType::kInt8 && record.zero_point >= -128 &&
                                  record.zero_point <= 127;
  return in_range && std::isnormal(record.scale) && record.scale > 0;
}

bool is_band_vector(const TensorList& list, std::uint32_t bands) {
  return list.size() == 1 && is_quantized(list[0]) &&
         list[0].bytes == bands * element_bytes(list[0].type);
}

bool are_pairs(const TensorList& in, const TensorList& out) {
  bool sound = in.size() == out.size();
  for (std::size_t state = 0; sound && state < in.size(); ++state) {
    sound = is_quantized(in[state]) && in[state].bytes == out[state].bytes &&
            in[state].type == out[state].type;
  }
  return sound;
}

/// One value, whose share of a half is a whole number of steps, in a model that remembers by
/// states.
bool gate_is_sound(const ModelPackage& package) {
  constexpr float kLargestHalf = 65536.0F;
  const TensorRecord& gate = package.gate[0];
  const float half = 0.5F / gate.scale;
  return package.gate.size() == 1 && is_quantized(gate) && gate.bytes == element_bytes(gate.type) &&
         half >= 1 && half <= kLargestHalf && half == std::floor(half) &&
         package.delayed_in.size() == 0 && package.variables.size() == 0;
}

Status parse_tensors(Bytes bytes, ModelPackage& package) {
  if (bytes.empty() || bytes.size() % sizeof(TensorRecord) != 0) {
    return malformed(Section::kTensors);
  }
  TensorList* const lists[] = {&package.inputs,    &package.outputs,   &package.state_in,
                               &package.state_out, &package.variables, &package.delayed_in,
                               &package.frame_out, &package.gate};
  const auto count = static_cast<std::uint32_t>(bytes.size() / sizeof(TensorRecord));
  for (std::uint32_t index = 0; index < count; ++index) {
    const auto record =
        load<TensorRecord>(bytes.subspan(index * sizeof(TensorRecord), sizeof(TensorRecord)));
    const auto role = static_cast<std::size_t>(record.role);
    if (role >= std::size(lists) || !record_is_sound(record) || !lists[role]->append(record)) {
      return malformed(Section::kTensors, index);
    }
  }
  if (package.inputs.size() == 0 || package.outputs.size() == 0 ||
      !are_pairs(package.state_in, package.state_out) ||
      !std::all_of(package.variables.begin(), package.variables.end(), is_quantized)) {
    return malformed(Section::kTensors, count);
  }
  if (package.gate.size() > 0 && !gate_is_sound(package)) {
    return malformed(Section::kTensors, count);
  }
  const std::uint32_t bands = package.front_end.header.bands;
  if (package.has_front_end &&
      !(is_band_vector(package.inputs, bands) && is_band_vector(package.outputs, bands))) {
    return malformed(Section::kTensors, count);
  }
  return kOk;
}

bool delay_is_sound(const DelayedFrame& frame, const ModelPackage& package) {
  if (frame.input >= package.delayed_in.size() || frame.source >= package.sources() ||
      frame.delay < 1 || frame.delay > kMaxDelay) {
    return false;
  }
  const TensorRecord& source = package.source(frame.source);
  const TensorRecord& input = package.delayed_in[frame.input];
  if (!is_quantized(source) || input.type != source.type || frame.row_bytes == 0 ||
      source.bytes % frame.row_bytes != 0) {
    return false;
  }
  const std::uint32_t rows = source.bytes / frame.row_bytes;
  const std::uint32_t input_row_bytes = input.bytes / rows;
  return input.bytes % rows == 0 && frame.offset <= input_row_bytes &&
         frame.row_bytes <= input_row_bytes - frame.offset;
}

/// Every part of every delayed input is said to come from somewhere.
Status parse_delays(Bytes bytes, ModelPackage& package) {
  const std::size_t count = bytes.size() / sizeof(DelayedFrame);
  if (bytes.size() % sizeof(DelayedFrame) != 0) {
    return malformed(Section::kDelays);
  }
  package.delays = {reinterpret_cast<const DelayedFrame*>(bytes.data()), count};
  std::uint64_t filled[TensorList::kCapacity] = {};
  for (const DelayedFrame& frame : package.delays) {
    if (!delay_is_sound(frame, package)) {
      return malformed(Section::kDelays, frame.input);
    }
    filled[frame.input] += package.source(frame.source).bytes;
  }
  for (std::uint32_t input = 0; input < package.delayed_in.size(); ++input) {
    if (filled[input] != package.delayed_in[input].bytes) {
      return malformed(Section::kDelays, input);
    }
  }
  return kOk;
}

bool fit(const TensorList& list, std::uint32_t arena_bytes) {
  return std::all_of(list.begin(), list.end(), [arena_bytes](const TensorRecord& record) {
    return record.arena_offset <= arena_bytes && record.bytes <= arena_bytes - record.arena_offset;
  });
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
  for (const TensorList* list :
       {&package.inputs, &package.outputs, &package.state_in, &package.state_out,
        &package.variables, &package.delayed_in, &package.frame_out, &package.gate}) {
    if (!fit(*list, job.arena_bytes)) {
      return malformed(Section::kNpuJob, job.arena_bytes);
    }
  }
  return kOk;
}

/// They replace the weights, and there must be a place to unpack them to.
Status parse_packed(Bytes bytes, ModelPackage& package) {
  if (package.npu_stream.empty() || !package.npu_weights.empty() ||
      package.npu_job.weights_placement != WeightsPlacement::kSramAtBoot) {
    return malformed(Section::kPackedWeights);
  }
  return parse_packed_weights(bytes, package.packed_weights);
}

Status parse_golden(Bytes bytes, ModelPackage& package) {
  if (bytes.size() < kGoldenHeaderBytes) {
    return malformed(Section::kGolden);
  }
  const auto hops = load<std::uint32_t>(bytes);
  const std::size_t data_bytes = bytes.size() - kGoldenHeaderBytes;
  const std::size_t input_bytes = package.inputs.bytes();
  const std::size_t hop_bytes = input_bytes + package.outputs.bytes();
  if (data_bytes % hop_bytes != 0 || data_bytes / hop_bytes != hops) {
    return malformed(Section::kGolden, hops);
  }
  Cursor cursor(bytes.subspan(kGoldenHeaderBytes, data_bytes));
  package.golden.hops = hops;
  package.golden.inputs = cursor.take<std::uint8_t>(hops * input_bytes);
  package.golden.outputs = cursor.take<std::uint8_t>(data_bytes - hops * input_bytes);
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
  package.has_front_end = !sections[Section::kFrontEnd].empty();
  if (package.has_front_end) {
    if (const Status status = parse_front_end(sections[Section::kFrontEnd], package.front_end);
        !status.ok()) {
      return status;
    }
  }
  if (const Status status = parse_tensors(sections[Section::kTensors], package); !status.ok()) {
    return status;
  }
  if (const Status status = parse_delays(sections[Section::kDelays], package); !status.ok()) {
    return status;
  }
  if (!sections[Section::kNpuJob].empty() || !package.npu_stream.empty()) {
    if (const Status status = parse_npu_job(sections[Section::kNpuJob], package); !status.ok()) {
      return status;
    }
  }
  if (const Bytes packed = sections[Section::kPackedWeights]; !packed.empty()) {
    if (const Status status = parse_packed(packed, package); !status.ok()) {
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
