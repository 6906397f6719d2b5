// The node of libtorch's autograd that stands for an operation written in Rust. See ffi.rs for the Rust side; the two agree
// on the types in the first block. The rules of this boundary stand in shim.cpp.
#pragma once
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/accumulate_grad.h>
#include <torch/csrc/autograd/functions/basic_ops.h>
#include <torch/csrc/autograd/saved_variable.h>
#include <torch/csrc/autograd/variable.h>

#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

namespace efference {

using at::Tensor;
using torch::autograd::variable_list;

extern "C" struct OpTable {
  const char *name;  // not terminated
  size_t name_length;
  int (*backward)(const void *op, Tensor *const *saved, size_t n_saved, Tensor *const *grads, size_t n_grads,
                  const bool *needs, Tensor **out, size_t n_inputs, char **message);
  void (*release)(void *op);
  void (*release_message)(char *message);
};

// Whether a tensor has f32 in the memory of the CPU, as they are: the key CPU says that it is strided, too. These questions are
// asked some hundred times a step, so no function of libtorch is called for them.
inline bool is_plain(const Tensor &t) {
  if (!t.defined()) return false;
  auto keys = t.key_set();
  return keys.has(c10::DispatchKey::CPU) && !keys.has(c10::DispatchKey::Negative) && t.dtype() == caffe2::TypeMeta::Make<float>();
}

// Where the numbers of a plain tensor are that is known to be dense, and how many; false if it has no memory.
inline bool elements(const Tensor &t, float **data, size_t *count) {
  try {
    auto *impl = t.unsafeGetTensorImpl();
    const auto &storage = impl->unsafe_storage();
    if (!storage) return false;
    *count = static_cast<size_t>(impl->numel());
    *data = static_cast<float *>(storage.unsafeGetStorageImpl()->mutable_data()) + impl->storage_offset();
    return true;
  } catch (const std::exception &) {
    return false;
  }
}

// How often a tensor was changed in place; 0 where nobody counts.
inline uint64_t version(const Tensor &t) {
  const auto &counter = t.unsafeGetTensorImpl()->version_counter();
  return counter.enabled() ? counter.current_version() : 0;
}

// Pointers to the tensors of a list; to those that are undefined too, unless they are to be null.
inline std::vector<Tensor *> lend(variable_list &list, bool undefined_is_null) {
  std::vector<Tensor *> pointers;
  pointers.reserve(list.size());
  for (auto &t : list) pointers.push_back(t.defined() || !undefined_is_null ? &t : nullptr);
  return pointers;
}

inline variable_list take(const std::vector<Tensor *> &pointers) {
  variable_list list;
  list.reserve(pointers.size());
  for (auto *t : pointers) {
    std::unique_ptr<Tensor> owned(t);
    list.push_back(t ? std::move(*t) : Tensor());
  }
  return list;
}

// The node of an operation that has run already, in Rust: it owns the Rust object and what that saved. (A node of our
// own rather than a `torch::autograd::Function`, whose making takes longer than many an operation.)
struct RustNode : torch::autograd::Node {
  void *op;
  const OpTable *table;
  size_t inputs = 0;
  std::vector<size_t> defined;  // which inputs the node has edges to: those that are defined
  // What was saved. Outputs are kept by libtorch, which knows how to hold them without a circle; of the others we
  // only need to see whether they were changed, which is a good deal cheaper.
  variable_list saved;
  std::vector<int64_t> versions;  // of the saved tensor; OUTPUT: it is the next one of `outputs`
  std::vector<torch::autograd::SavedVariable> outputs;
  // Inputs that must not change until the backward pass, though they were not saved: leaves, by the edges that lead to them,
  // and others. A version only grows, so the sum of all tells whether one was changed.
  std::vector<size_t> unchanged_edges;
  variable_list unchanged;
  uint64_t unchanged_version = 0;
  bool released = false;
  static constexpr int64_t OUTPUT = -1;

  RustNode(void *o, const OpTable *t) : op(o), table(t) {}
  ~RustNode() override { table->release(op); }

  std::string name() const override { return std::string(table->name, table->name_length); }

  void release_variables() override {
    std::lock_guard<std::mutex> lock(mutex_);
    saved.clear();
    outputs.clear();
    unchanged.clear();
    released = true;
  }

  // The saved tensors as they were saved.
  variable_list unpacked() {
    std::lock_guard<std::mutex> lock(mutex_);
    if (released) throw std::runtime_error(torch::autograd::ERR_BACKWARD_TWICE);
    if (version_of_unchanged() != unchanged_version) throw std::runtime_error(changed());
    auto all = saved;
    for (size_t i = 0, output = 0; i < all.size(); i++) {
      if (versions[i] == OUTPUT)
        all[i] = outputs[output++].unpack(getptr());
      else if (all[i].defined() && static_cast<int64_t>(version(all[i])) != versions[i])
        throw std::runtime_error(changed());
    }
    return all;
  }

  std::string changed() const {
    return "a tensor that the backward pass of '" + name() + "' needs has been modified by an inplace operation";
  }

  // Takes an input that is to stay as it is, to which the edge of this number leads if there is one.
  void expect_unchanged(const Tensor &t, size_t edge) {
    if (!t.defined()) return;
    if (t.requires_grad() && t.is_leaf()) {
      unchanged_edges.push_back(edge);
    } else {
      unchanged.push_back(t);
    }
    unchanged_version += version(t);
  }

  uint64_t version_of_unchanged() const {
    uint64_t sum = 0;
    for (auto i : unchanged_edges) {
      sum += version(static_cast<torch::autograd::AccumulateGrad &>(*next_edge(i).function).variable);
    }
    for (const auto &t : unchanged) sum += version(t);
    return sum;
  }

  variable_list apply(variable_list &&grads) override {
    auto all_saved = unpacked();
    auto needs = std::make_unique<bool[]>(inputs);
    for (size_t i = 0; i < defined.size(); i++) needs[defined[i]] = task_should_compute_output(i);

    bool differentiable = false;  // is the gradient itself to be differentiated?
    if (at::GradMode::is_enabled()) {
      for (const auto &t : all_saved) differentiable |= t.defined() && t.requires_grad();
      for (const auto &t : grads) differentiable |= t.defined() && t.requires_grad();
    }

    auto lent_saved = lend(all_saved, /*undefined_is_null=*/false);
    auto lent_grads = lend(grads, /*undefined_is_null=*/true);
    std::vector<Tensor *> out(inputs, nullptr);
    char *message = nullptr;
    int status;
    {
      at::AutoGradMode off(false);
      status = table->backward(op, lent_saved.data(), lent_saved.size(), lent_grads.data(), lent_grads.size(),
                               needs.get(), out.data(), out.size(), &message);
    }
    auto all = take(out);
    if (status) {
      std::string text = message ? message : "no message";
      table->release_message(message);
      throw std::runtime_error(text);
    }
    variable_list result;
    result.reserve(defined.size());
    for (auto i : defined) result.push_back(std::move(all[i]));
    if (differentiable) {
      // As Python's `once_differentiable`: asking for the second derivative is an error that says so.
      for (auto &t : result) {
        if (t.defined()) t = t.detach().set_requires_grad(true);
      }
      std::string text =
          "operation '" + name() + "' is differentiable only once: its backward pass is written by hand";
      auto error = c10::make_intrusive<torch::autograd::DelayedError>(text, result.size());
      at::AutoGradMode on(true);
      result = (*error)(std::move(result));
    }
    return result;
  }
};

}  // namespace efference
