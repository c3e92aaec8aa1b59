// ExecuTorch's runtime behind a handful of C functions, for Python without PyTorch: a program in memory, its method
// `forward`, tensors in and out. One call at a time.

#include <cstdint>
#include <memory>
#include <vector>

#include <executorch/extension/data_loader/buffer_data_loader.h>
#include <executorch/extension/module/module.h>
#include <executorch/extension/tensor/tensor.h>
#include <executorch/runtime/platform/runtime.h>

using executorch::aten::ScalarType;
using executorch::aten::SizesType;
using executorch::extension::BufferDataLoader;
using executorch::extension::Module;
using executorch::runtime::Error;
using executorch::runtime::EValue;

// The wheel carries the library of the pool, and not its header: what is called here, as it is exported.
namespace executorch::extension::threadpool {
class ThreadPool {
 public:
  bool _unsafe_reset_threadpool(uint32_t count);
  size_t get_thread_count() const;
};
ThreadPool* get_threadpool();
}  // namespace executorch::extension::threadpool

namespace {

struct Handle {
  std::unique_ptr<Module> module;
  std::vector<EValue> outputs;
};

}  // namespace

extern "C" {

// The program, which the caller keeps in memory until it is closed; null and the runtime's error code where it is none.
void* torchport_open(const void* data, size_t size, int* error) {
  executorch::runtime::runtime_init();
  auto handle = std::make_unique<Handle>();
  handle->module = std::make_unique<Module>(std::make_unique<BufferDataLoader>(data, size));
  Error code = handle->module->load(executorch::runtime::Program::Verification::InternalConsistency);
  if (code == Error::Ok) {
    code = handle->module->load_method("forward");
  }
  *error = static_cast<int>(code);
  return code == Error::Ok ? handle.release() : nullptr;
}

// Runs on `count` tensors; `sizes` holds the sizes of all of them, one after the other. The answer is an error code.
int torchport_run(void* opened, int count, void* const* data, const int* types, const int* ranks, const int* sizes) {
  auto* handle = static_cast<Handle*>(opened);
  std::vector<executorch::extension::TensorPtr> held;
  std::vector<EValue> inputs;
  for (int i = 0; i < count; ++i) {
    std::vector<SizesType> shape(sizes, sizes + ranks[i]);
    sizes += ranks[i];
    held.push_back(executorch::extension::from_blob(data[i], std::move(shape), static_cast<ScalarType>(types[i])));
    inputs.emplace_back(*held.back());
  }
  auto answer = handle->module->forward(inputs);
  if (!answer.ok()) {
    return static_cast<int>(answer.error());
  }
  handle->outputs = std::move(answer.get());
  return 0;
}

int torchport_outputs(void* opened) {
  return static_cast<int>(static_cast<Handle*>(opened)->outputs.size());
}

// The dtype, rank, sizes (at most 16) and memory of an output, which the next call overwrites; -1 where it is no tensor.
int torchport_output(void* opened, int index, int* rank, int* sizes, const void** data, size_t* bytes) {
  const EValue& value = static_cast<Handle*>(opened)->outputs[index];
  if (!value.isTensor() || value.toTensor().dim() > 16) {
    return -1;
  }
  const auto tensor = value.toTensor();
  *rank = static_cast<int>(tensor.dim());
  for (int i = 0; i < *rank; ++i) {
    sizes[i] = static_cast<int>(tensor.size(i));
  }
  *data = tensor.const_data_ptr();
  *bytes = tensor.nbytes();
  return static_cast<int>(tensor.scalar_type());
}

// The size of the process's one pool of threads; set first where `wanted` is not 0.
int torchport_threads(int wanted) {
  auto* pool = executorch::extension::threadpool::get_threadpool();
  if (pool != nullptr && wanted > 0) {
    pool->_unsafe_reset_threadpool(static_cast<uint32_t>(wanted));
  }
  return pool == nullptr ? 1 : static_cast<int>(pool->get_thread_count());
}

void torchport_close(void* opened) {
  delete static_cast<Handle*>(opened);
}
}
