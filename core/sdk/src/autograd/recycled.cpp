// New tensors on the CPU, small ones of which are old ones that nobody holds any more.
//
// A tensor is a handle, its description, the description of its memory, and the memory: making and freeing the last three takes
// some 1,500 instructions, and a step of a small agent makes dozens of the same shapes again and again. So the last handle of a
// small tensor does not free it: it is kept as it is, by the thread that let go of it, until one of its shape is asked for.
//
// How: besides its strong references, libtorch counts weak ones. A tensor that is made here holds a weak reference to itself, so when
// the last handle is gone libtorch does not delete it, but tells it to release what it holds. It then either goes to the list, or gives
// up the weak reference, and is deleted by libtorch. Rules: those of shim.cpp.
#include <ATen/EmptyTensor.h>
#include <ATen/core/Tensor.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/InferenceMode.h>
#include <c10/core/TensorImpl.h>

#include <cstdint>
#include <utility>

using at::Tensor;

namespace {

constexpr size_t SMALL = size_t(1) << 16;  // bytes of elements; larger tensors are not kept
constexpr size_t HELD = size_t(2) << 20;   // bytes that a thread keeps at most
constexpr size_t BUCKETS = 64;
constexpr size_t MOST = 16;  // tensors that one bucket keeps at most

struct Recycled;

// What a thread keeps. Nothing is done when it is made or gone, so that it is found by one call; `AtEnd` empties it.
struct Lists {
  Recycled *first[BUCKETS];
  uint8_t count[BUCKETS];
  size_t bytes;
  bool begun;
  bool over;  // this thread ends, and what it kept is freed already
};
thread_local Lists lists_of_thread = {};

struct AtEnd {
  ~AtEnd();
};

Lists &begun(Lists &lists) {
  static thread_local AtEnd at_end;
  (void)at_end;
  lists.begun = true;
  return lists;
}

Lists &lists_here() {
  auto &lists = lists_of_thread;
  return lists.begun ? lists : begun(lists);
}

size_t bucket_of(at::IntArrayRef sizes) {
  uint64_t hash = sizes.size();
  for (auto n : sizes) hash = (hash ^ static_cast<uint64_t>(n)) * 0x9e3779b97f4a7c15;
  return hash >> 58;
}
static_assert(BUCKETS == size_t(1) << (64 - 58));

struct Recycled final : c10::TensorImpl {
  Recycled *next = nullptr;

  Recycled(c10::Storage &&storage, c10::DispatchKeySet keys, caffe2::TypeMeta type)
      : c10::TensorImpl(std::move(storage), keys, type) {}

  static c10::DispatchKeySet keys() { return c10::DispatchKeySet(c10::DispatchKey::CPU); }

  // Whether it is as it was when it was made, and nothing else holds its memory.
  bool is_as_made() const {
    return storage_.unsafeGetStorageImpl() == made_of && storage_.use_count() == 1 && storage_.nbytes() == bytes() && storage_offset_ == 0 &&
           data_type_ == caffe2::TypeMeta::Make<float>() && key_set_ == made_with && is_contiguous_ && !extra_meta_ &&
           !is_wrapped_number_ && !custom_sizes_strides_ && !custom_device_ && !custom_layout_ &&
           pyobj_slot_.load_pyobj() == nullptr;
  }

  size_t bytes() const { return static_cast<size_t>(numel_) * sizeof(float); }

  // The last handle is gone. libtorch gives up a weak reference afterwards, and deletes the tensor if that was the last.
  void release_resources() override {
    if (is_as_made()) {
      // Where it came from, and its gradient. This may free other tensors, and have them come here.
      if (autograd_meta()) set_autograd_meta(nullptr);
      auto &lists = lists_here();
      auto bucket = bucket_of(sizes_and_strides_.sizes_arrayref());
      if (!lists.over && lists.count[bucket] < MOST && lists.bytes + bytes() <= HELD) {
        next = lists.first[bucket];
        lists.first[bucket] = this;
        lists.count[bucket]++;
        lists.bytes += bytes();
        return;
      }
    }
    c10::TensorImpl::release_resources();
    c10::raw::weak_intrusive_ptr::decref(this);
  }

  static Tensor make(at::IntArrayRef sizes, size_t bytes) {
    auto *allocator = c10::GetCPUAllocator();
    auto storage = c10::make_intrusive<c10::StorageImpl>(c10::StorageImpl::use_byte_size_t(), bytes, allocator, /*resizable=*/true);
    auto made = c10::make_intrusive<Recycled>(c10::Storage(std::move(storage)), keys(), caffe2::TypeMeta::Make<float>());
    if (sizes.size() != 1 || sizes[0] != 0) made->set_sizes_contiguous(sizes);
    made->made_with = made->key_set_;
    made->made_of = made->storage_.unsafeGetStorageImpl();
    c10::raw::weak_intrusive_ptr::incref(made.get());
    return Tensor(c10::intrusive_ptr<c10::TensorImpl, c10::UndefinedTensorImpl>::reclaim(made.release()));
  }

  // One that is kept of this shape; undefined if there is none.
  static Tensor take(at::IntArrayRef sizes) {
    auto &lists = lists_here();
    auto bucket = bucket_of(sizes);
    for (auto **place = &lists.first[bucket]; *place; place = &(*place)->next) {
      auto *found = *place;
      if (found->sizes_and_strides_.sizes_arrayref() != sizes) continue;
      *place = found->next;
      lists.count[bucket]--;
      lists.bytes -= found->bytes();
      c10::raw::intrusive_ptr::incref(found);
      // All strong references have one weak one in common.
      c10::raw::weak_intrusive_ptr::incref(found);
      return Tensor(c10::intrusive_ptr<c10::TensorImpl, c10::UndefinedTensorImpl>::reclaim(found));
    }
    return Tensor();
  }

 private:
  c10::DispatchKeySet made_with;
  c10::StorageImpl *made_of = nullptr;
};

AtEnd::~AtEnd() {
  auto &lists = lists_of_thread;
  lists.over = true;
  for (auto *&first : lists.first) {
    while (first) {
      auto *old = std::exchange(first, first->next);
      c10::raw::weak_intrusive_ptr::decref(old);
    }
  }
}

Tensor empty(at::IntArrayRef sizes) {
  size_t count = 1;
  bool small = true;
  for (auto n : sizes) {
    small &= n >= 0 && n <= static_cast<int64_t>(SMALL / sizeof(float));
    if (!small) break;
    count *= static_cast<size_t>(n);
    small &= count <= SMALL / sizeof(float);
  }
  // Larger ones, and sizes below zero, are libtorch's. A tensor that is made in inference mode may be used in no other.
  if (!small || c10::InferenceMode::is_enabled()) return at::detail::empty_cpu(sizes, at::kFloat);
  auto old = Recycled::take(sizes);
  return old.defined() ? old : Recycled::make(sizes, count * sizeof(float));
}

}  // namespace

extern "C" {

// A new f32 tensor on the CPU, and where its elements are, which are not initialised; null if there is no memory for it.
Tensor *efference_autograd_empty(const int64_t *sizes, size_t n_sizes, float **data) {
  try {
    auto made = empty(at::IntArrayRef(sizes, n_sizes));
    *data = static_cast<float *>(made.mutable_data_ptr());
    return new Tensor(std::move(made));
  } catch (const std::exception &) {
    return nullptr;
  }
}

// The same of the shape of another tensor.
Tensor *efference_autograd_empty_shaped(const Tensor *tensor, float **data) {
  auto sizes = tensor->sizes();
  return efference_autograd_empty(sizes.data(), sizes.size(), data);
}

// A new f32 tensor on the CPU of the same shape and strides as another; null if there is no memory for it.
Tensor *efference_autograd_empty_like(const Tensor *tensor) {
  try {
    if (tensor->is_contiguous()) return new Tensor(empty(tensor->sizes()));
    return new Tensor(at::detail::empty_strided_cpu(tensor->sizes(), tensor->strides(), at::kFloat));
  } catch (const std::exception &) {
    return nullptr;
  }
}

}
