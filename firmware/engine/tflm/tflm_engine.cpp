#include "engine/tflm/tflm_engine.h"

#include <cstring>

#include "engine/npu/pmu.h"
#include "engine/tflm/ethos_u_driver.h"
#include "platform/platform.h"
#include "tensorflow/lite/schema/schema_generated.h"

namespace enhancer {
namespace {

bool is_output(const TensorRecord& record) {
  return record.role == TensorRole::kMask || record.role == TensorRole::kStateOut;
}

Status bad_tensor(const TensorRecord& record) {
  return {Error::kTflmTensors, record.bytes, record.position};
}

}  // namespace

Status TflmEngine::load(const ModelPackage& package) {
  package_ = &package;
  flatbuffers::Verifier verifier(package.tflite.data(), package.tflite.size());
  if (!tflite::VerifyModelBuffer(verifier)) {
    return {Error::kTflmSchema, TFLITE_SCHEMA_VERSION, 0};
  }
  const tflite::Model& model = *tflite::GetModel(package.tflite.data());
  if (model.version() != TFLITE_SCHEMA_VERSION) {
    return {Error::kTflmSchema, TFLITE_SCHEMA_VERSION, model.version()};
  }
  if (add_operators(resolver_) != kTfLiteOk) {
    return {Error::kTflmOperator};
  }
  if (const Status status = check_operators(model); !status.ok()) {
    return status;
  }
  if (const Status status = start_ethos_u_driver(); !status.ok()) {
    return status;
  }
  const Span<std::uint8_t> arena = platform::npu_sram();
  interpreter_.emplace(&model, resolver_, arena.data(), arena.size());
  if (interpreter_->AllocateTensors() != kTfLiteOk) {
    return {Error::kArenaTooSmall, 0, static_cast<std::uint32_t>(arena.size())};
  }
  return check_tensors();
}

Status TflmEngine::check_operators(const tflite::Model& model) const {
  for (const tflite::OperatorCode* code : *model.operator_codes()) {
    const bool is_custom = code->builtin_code() == tflite::BuiltinOperator_CUSTOM;
    const TFLMRegistration* found =
        is_custom
            ? resolver_.FindOp(code->custom_code() != nullptr ? code->custom_code()->c_str() : "")
            : resolver_.FindOp(code->builtin_code());
    if (found == nullptr) {
      return {Error::kTflmOperator, 0, static_cast<std::uint32_t>(code->builtin_code())};
    }
  }
  return kOk;
}

TfLiteTensor* TflmEngine::tensor(const TensorRecord& record) {
  const std::size_t count =
      is_output(record) ? interpreter_->outputs_size() : interpreter_->inputs_size();
  if (record.position >= count) {
    return nullptr;
  }
  return is_output(record) ? interpreter_->output(record.position)
                           : interpreter_->input(record.position);
}

Status TflmEngine::check_tensors() {
  const auto fits = [this](const TensorRecord& record) {
    const TfLiteTensor* found = tensor(record);
    return found != nullptr && found->bytes == record.bytes &&
           static_cast<int>(found->type) == static_cast<int>(record.type);
  };
  for (const TensorRecord* record : {&package_->features, &package_->mask}) {
    if (!fits(*record)) {
      return bad_tensor(*record);
    }
  }
  for (std::size_t state = 0; state < package_->states; ++state) {
    for (const TensorRecord* record : {&package_->state_in[state], &package_->state_out[state]}) {
      if (!fits(*record)) {
        return bad_tensor(*record);
      }
    }
  }
  return kOk;
}

void TflmEngine::reset_state() {
  for (std::size_t state = 0; state < package_->states; ++state) {
    const TensorRecord& record = package_->state_out[state];
    // infer() carries outputs over to inputs. An int16 tensor has zero point 0.
    std::memset(tensor(record)->data.raw, package_->state_in[state].zero_point, record.bytes);
  }
}

Status TflmEngine::infer(Span<const std::uint8_t> features, Span<std::uint8_t> mask,
                         NpuCounters& counters) {
  for (std::size_t state = 0; state < package_->states; ++state) {
    const TensorRecord& record = package_->state_in[state];
    std::memcpy(tensor(record)->data.raw, tensor(package_->state_out[state])->data.raw,
                record.bytes);
  }
  std::memcpy(tensor(package_->features)->data.raw, features.data(), features.size());
  ethos_u55::pmu::start();
  const TfLiteStatus status = interpreter_->Invoke();
  counters = ethos_u55::pmu::stop();
  if (status != kTfLiteOk) {
    return {Error::kTflmInvoke};
  }
  std::memcpy(mask.data(), tensor(package_->mask)->data.raw, mask.size());
  return kOk;
}

MemoryUse TflmEngine::memory_use() const {
  MemoryUse use;
  use.arena_bytes = static_cast<std::uint32_t>(interpreter_->arena_used_bytes());
  use.arena_capacity_bytes = static_cast<std::uint32_t>(platform::npu_sram().size());
  use.weights_bytes = static_cast<std::uint32_t>(package_->tflite.size());
  return use;
}

}  // namespace enhancer
